//! What a verb that failed leaves behind: lines for a human, and an exit code for a script.

use std::process::ExitCode;

use crate::config::ConfigError;

/// Something failed while running, or a stop was forced.
pub(crate) const EXIT_RUNTIME: u8 = 1;
/// The command line or the configuration is wrong; `EX_USAGE` of sysexits.
pub(crate) const EXIT_USAGE: u8 = 64;

/// Why a verb ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// Printed to stderr, each on a line of its own; none when everything has been said on stdout.
    lines: Vec<String>,
}

impl Failure {
    /// Bad usage or configuration, exit code 64.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self { code: EXIT_USAGE, lines: vec![line.into()] }
    }

    /// A failure at run time, exit code 1.
    pub(crate) fn runtime(line: impl Into<String>) -> Self {
        Self { code: EXIT_RUNTIME, lines: vec![line.into()] }
    }

    /// Everything has been said; only the exit code is left.
    pub(crate) const fn silent(code: u8) -> Self {
        Self { code, lines: Vec::new() }
    }

    /// Adds a line, such as a hint.
    pub(crate) fn and(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    #[expect(clippy::print_stderr, reason = "the one place where a failure reaches the terminal")]
    pub(super) fn report(self) -> ExitCode {
        for line in &self.lines {
            eprintln!("myelin: {line}");
        }
        ExitCode::from(self.code)
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self { code: EXIT_USAGE, lines: errors.iter().map(ToString::to_string).collect() }
    }
}

impl From<std::io::Error> for Failure {
    /// An error of our own output. A reader that has seen enough, as in `myelin sub x | head`, is no failure.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::silent(0)
        } else {
            Self::runtime(format!("cannot write the output: {error}"))
        }
    }
}
