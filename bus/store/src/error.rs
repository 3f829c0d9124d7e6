//! What a stream refuses to do.

use crate::config::Name;

/// Why a verb did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The stream holds as much as its limits allow, and does not drop.
    #[error("the stream is full: {messages} messages, {bytes} bytes")]
    StreamFull {
        /// Messages in it.
        messages: u64,
        /// Bytes of their records.
        bytes: u64,
    },
    /// The disk has no space for another message. Acks and deletes still work, and free some.
    #[error("the disk is full")]
    StorageFull,
    /// The last message on the subject is another than the publisher expected.
    #[error("the last sequence on the subject is {last}")]
    WrongLastSequence {
        /// The sequence that was found, 0 if there is none.
        last: u64,
    },
    /// Messages have to be told of before they go for this one: publish it again when everything up to there is moved.
    #[error("everything up to message {to} has to be moved first")]
    MustMove {
        /// The last one that has to go.
        to: u64,
    },
    /// Another consumer of the work queue would get some of the same messages.
    #[error("consumer {other:?} takes some of the same messages of a work queue", other = other.as_str())]
    Overlap {
        /// That consumer.
        other: Name,
    },
    /// There is no such consumer, or no more.
    #[error("no such consumer")]
    NoConsumer,
    /// The message is larger than the stream stores, or than any record can be.
    #[error("{bytes} bytes are more than {max}")]
    TooLarge {
        /// Bytes of its payload; with its headers, where a record is what cannot hold them.
        bytes: usize,
        /// Most that there can be.
        max: usize,
    },
    /// Room is being made; the same call will succeed soon. Async verbs wait for it and do not return this.
    #[error("room is being made")]
    Busy,
    /// Writing to the disk failed, so that nobody knows what is on it. The stream takes nothing until it is opened again.
    #[error("the stream is closed: {cause}")]
    Broken {
        /// What the system said first.
        cause: Box<str>,
    },
    /// The store was closed, or the stream deleted.
    #[error("the stream is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::StreamFull { .. } | Self::StorageFull | Self::Busy)
    }

    /// Whether it may be on disk all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Closed)
    }
}
