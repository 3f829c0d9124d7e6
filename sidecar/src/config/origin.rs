//! Where a value was written.

use std::fmt;
use std::path::PathBuf;

/// The place an operator has to edit to change a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody wrote it: the built-in default.
    Default,
    /// A line of a configuration file, counted from 1; line 0 is the file as a whole.
    File { path: PathBuf, line: usize },
    /// An environment variable.
    Env(String),
    /// A command line flag, with its dashes.
    Flag(String),
}

impl Origin {
    /// How a message begins that is about a value from here: nothing for a default, which is nowhere to be edited.
    pub(crate) fn prefix(&self) -> String {
        match self {
            Self::Default => String::new(),
            place => format!("{place}: "),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
