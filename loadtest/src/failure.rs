//! One error for the whole harness: it is only ever shown to the person at the terminal.

use std::error::Error;

/// What could not be done, and why.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Failure {
    what: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

pub(crate) type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// The message and each of its causes, on one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Adds what was being done to an error from below.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Error + Send + Sync + 'static> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| Failure { what: what(), source: Some(Box::new(error)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let low = std::io::Error::other("refused");
        let error = Err::<(), _>(low).doing(|| "connecting".to_owned()).unwrap_err();
        assert_eq!(error.chain(), "connecting: refused");
        assert_eq!(Failure::new("no route").chain(), "no route");
    }
}
