//! Why a request was not done, as its answer says it.

use std::fmt::Display;

use myelin_mesh::error::{CompareError, ReadError, WatchError, WriteError};
use serde::{Deserialize, Serialize};

/// A code for programs, a text for people, and the two questions that every error answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    /// One of those in docs/memory.md.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
    /// Whether what was asked for may have been done all the same.
    pub(crate) may_have_happened: bool,
    /// Of a conflict, the revision that is there; none: nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
}

impl Refusal {
    /// Nothing was done, and asking again would not help.
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), ..Self::default() }
    }

    /// What is wrong with a field of the request.
    pub(super) fn invalid(field: &str, reason: impl Display) -> Self {
        Self::new("invalid", format!("{field}: {reason}"))
    }

    /// Nothing was done, and it may be asked again.
    pub(super) fn later(code: &str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::TooMany { .. } => "too_many",
            ReadError::AnswerTooLarge { .. } => "answer_too_large",
            ReadError::Unavailable { .. } => "unavailable",
            ReadError::Damaged { .. } => "damaged",
            ReadError::Closed => "closed",
            _ => "failed",
        };
        Self { retryable: error.is_retryable(), ..Self::new(code, error.to_string()) }
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        let code = match &error {
            WriteError::TooLarge { .. } | WriteError::CallTooLarge { .. } => "too_large",
            WriteError::TooMany { .. } => "too_many",
            WriteError::Full { .. } => "full",
            WriteError::Unavailable { .. } => "unavailable",
            WriteError::Unknown { .. } => "unknown",
            WriteError::Damaged { .. } => "damaged",
            WriteError::Closed => "closed",
            _ => "failed",
        };
        let (retryable, may_have_happened) = (error.is_retryable(), error.may_have_happened());
        Self { retryable, may_have_happened, ..Self::new(code, error.to_string()) }
    }
}

impl From<CompareError> for Refusal {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Conflict { current } => {
                Self { current: current.map(|revision| revision.to_string()), ..Self::new("conflict", error.to_string()) }
            }
            CompareError::Write(error) => error.into(),
            error => Self { may_have_happened: error.may_have_happened(), ..Self::new("failed", error.to_string()) },
        }
    }
}

impl From<WatchError> for Refusal {
    fn from(error: WatchError) -> Self {
        let code = match &error {
            WatchError::Unavailable { .. } => "unavailable",
            WatchError::Damaged { .. } => "damaged",
            WatchError::Closed => "closed",
            _ => "failed",
        };
        Self { retryable: error.is_retryable(), ..Self::new(code, error.to_string()) }
    }
}
