//! What can be wrong with a configuration, always said in one line that names the place and the key.

use std::fmt;

use super::origin::Origin;

/// One fault of the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {}{problem}", KeyPrefix(.key))]
pub(crate) struct ConfigError {
    /// Where it was written.
    pub(crate) origin: Origin,
    /// The full key, such as `serve.listen`; empty when the fault concerns the whole file.
    pub(crate) key: String,
    /// What is wrong with it.
    pub(crate) problem: Problem,
}

/// The fact behind a [`ConfigError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// No such key, section or variable.
    #[error("unknown {what}{}", DidYouMean(.suggestion))]
    Unknown { what: &'static str, suggestion: Option<String> },
    /// A value of another TOML type.
    #[error("expected {expected}, found {found}")]
    WrongType { expected: String, found: String },
    /// The right type, and a text that means nothing.
    #[error("{found:?} is not {expected}{}", DidYouMean(.suggestion))]
    BadValue { found: String, expected: String, suggestion: Option<String> },
    /// A value that means something, outside of what is possible.
    #[error("{found} is out of range, allowed is {min} to {max}")]
    OutOfRange { found: String, min: String, max: String },
    /// A key that must be there.
    #[error("missing, {0}")]
    Missing(&'static str),
    /// Not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// The file cannot be read.
    #[error("cannot read the configuration file: {0}")]
    Unreadable(String),
}

impl ConfigError {
    pub(crate) fn new(origin: Origin, key: impl Into<String>, problem: Problem) -> Self {
        Self { origin, key: key.into(), problem }
    }
}

struct KeyPrefix<'a>(&'a str);

impl fmt::Display for KeyPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

struct DidYouMean<'a>(&'a Option<String>);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, ", did you mean {name}?"))
    }
}
