//! What a store reports. The policy above makes the errors of each operation of it.

use crate::error::{ReadError, WatchError, WriteError};
use crate::limits;

/// Why a store did not do what it was asked. Which variant it is decides what callers may repeat, so it is better to say `Unknown` once too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// It has no room, and did nothing.
    Full(Box<str>),
    /// It cannot be reached or is overloaded, and certainly did nothing.
    Unavailable(Box<str>),
    /// It was given a write and may have done it. A read that fails is never this.
    Unknown(Box<str>),
    /// A read found more than [`READ_BYTES_MAX`](crate::limits::READ_BYTES_MAX). Never of a write.
    TooMuch,
    /// What it holds makes no sense.
    Damaged(Box<str>),
    /// It was closed.
    Closed,
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(reason) | StoreError::Unavailable(reason) | StoreError::Unknown(reason) => Self::Unavailable { reason },
            StoreError::TooMuch => Self::AnswerTooLarge { max: limits::READ_BYTES_MAX },
            StoreError::Damaged(reason) => Self::Damaged { reason },
            StoreError::Closed => Self::Closed,
        }
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full(reason) => Self::Full { reason },
            StoreError::Unavailable(reason) => Self::Unavailable { reason },
            StoreError::Unknown(reason) => Self::Unknown { reason },
            StoreError::TooMuch => unreachable!("a write reads nothing"),
            StoreError::Damaged(reason) => Self::Damaged { reason },
            StoreError::Closed => Self::Closed,
        }
    }
}

impl From<ReadError> for WatchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable { reason } => Self::Unavailable { reason },
            ReadError::Damaged { reason } => Self::Damaged { reason },
            ReadError::Closed => Self::Closed,
            // A single entry that no mesh would have written.
            ReadError::AnswerTooLarge { .. } => Self::Damaged { reason: error.to_string().into() },
            ReadError::TooMany { .. } => unreachable!("a watch reads no more keys at once than it may"),
        }
    }
}

impl From<StoreError> for WatchError {
    fn from(error: StoreError) -> Self {
        ReadError::from(error).into()
    }
}
