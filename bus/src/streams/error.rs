//! What can go wrong with streams, one enum per operation.

use myelin_store::{CreateError, Name, StoreError};

use crate::wire::Subject;

/// Why nothing was done to a stream or a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// This bus has no store.
    #[error("this bus stores nothing: give it a directory")]
    NoStore,
    /// There is no stream of this name.
    #[error("stream {stream:?} not found", stream = stream.as_str())]
    NoStream {
        /// What was asked for.
        stream: Name,
    },
    /// The stream has no consumer of this name.
    #[error("consumer {consumer:?} of stream {stream:?} not found", consumer = consumer.as_str(), stream = stream.as_str())]
    NoConsumer {
        /// The stream.
        stream: Name,
        /// What was asked for.
        consumer: Name,
    },
    /// Another stream or consumer takes some of the same messages.
    #[error("{other:?} takes some of the same messages", other = other.as_str())]
    Overlap {
        /// That stream or consumer.
        other: Name,
    },
    /// A setting makes no sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// The stream has no message of this sequence, or it cannot be read any more.
    #[error("stream {stream:?} has no message {sequence}", stream = stream.as_str())]
    NoMessage {
        /// The stream.
        stream: Name,
        /// What was asked for.
        sequence: u64,
    },
    /// The disk is full, and so is the reserve.
    #[error("the disk is full")]
    StorageFull,
    /// The sidecar that has the streams did not answer.
    #[error("the sidecar does not answer: {reason}")]
    Unreachable {
        /// What the connection says about it.
        reason: Box<str>,
    },
    /// The server is too old for what was asked.
    #[error("{feature} needs a server of version {since}, this one is {server}")]
    Unsupported {
        /// What was asked for.
        feature: Box<str>,
        /// The first version that has it.
        since: Box<str>,
        /// The version of the server.
        server: Box<str>,
    },
    /// The stream is closed or cannot be written any more.
    #[error("stream {stream:?} is closed: {cause}", stream = stream.as_str())]
    Closed {
        /// The stream.
        stream: Name,
        /// What happened first.
        cause: Box<str>,
    },
}

/// Why a message is not known to be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishDurableError {
    /// No stream stores this subject.
    #[error("no stream stores {subject:?}")]
    NoStream {
        /// What was published to.
        subject: Subject,
    },
    /// The stream holds as much as its limits allow, and does not drop.
    #[error("stream {stream:?} is full: {messages} messages, {bytes} bytes", stream = stream.as_str())]
    StreamFull {
        /// The stream.
        stream: Name,
        /// Messages in it.
        messages: u64,
        /// Bytes of their records.
        bytes: u64,
    },
    /// The disk is full. Acks and deletes still work, and free some.
    #[error("the disk is full")]
    StorageFull,
    /// The last message on the subject is another than expected.
    #[error("the last sequence on the subject is {last}")]
    WrongLastSequence {
        /// The sequence that was found, 0 if there is none.
        last: u64,
    },
    /// The message is larger than the bus carries, or than its stream stores.
    #[error("payload of {size} bytes is larger than {max}")]
    TooLarge {
        /// Bytes of this payload.
        size: usize,
        /// Bytes that there may be.
        max: usize,
    },
    /// The sidecar that has the streams did not answer.
    #[error("the sidecar does not answer: {reason}")]
    Unreachable {
        /// What the connection says about it.
        reason: Box<str>,
    },
    /// The message, or what is asked for with it, makes no sense to the server.
    #[error("{reason}")]
    Refused {
        /// What it says.
        reason: Box<str>,
    },
    /// The server is too old for what was asked.
    #[error("{feature} needs a server of version {since}, this one is {server}")]
    Unsupported {
        /// What was asked for.
        feature: Box<str>,
        /// The first version that has it.
        since: Box<str>,
        /// The version of the server.
        server: Box<str>,
    },
    /// The stream is closed or broke while the message was being stored.
    #[error("stream {stream:?} is closed: {cause}", stream = stream.as_str())]
    Closed {
        /// The stream.
        stream: Name,
        /// What happened first.
        cause: Box<str>,
    },
}

/// Why a worker got nothing, or could not say what became of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The consumer, its stream or the store is gone.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The message is not this worker's any more: `ack_wait` was over, and another may have it.
    #[error("message {sequence} is not this delivery's any more")]
    Stale {
        /// Its place in the stream.
        sequence: u64,
    },
    /// The message should have become a dead letter, and that was refused. It comes again.
    #[error("message {sequence} cannot become a dead letter")]
    DeadLetter {
        /// Its place in the stream.
        sequence: u64,
        /// Why not.
        #[source]
        cause: Box<PublishDurableError>,
    },
}

impl StreamError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::StorageFull | Self::Unreachable { .. })
    }

    /// Whether it may have been done all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Unreachable { .. })
    }

    pub(crate) fn of(stream: &Name, error: StoreError) -> Self {
        let closed = |cause: String| Self::Closed { stream: stream.clone(), cause: cause.into() };
        match error {
            StoreError::StorageFull => Self::StorageFull,
            StoreError::Overlap { other } => Self::Overlap { other },
            StoreError::Broken { cause } => Self::Closed { stream: stream.clone(), cause },
            other => closed(other.to_string()),
        }
    }

    pub(crate) fn of_create(stream: &Name, error: CreateError) -> Self {
        match error {
            CreateError::Overlap { other } => Self::Overlap { other },
            full if full.is_disk_full() => Self::StorageFull,
            other => Self::Closed { stream: stream.clone(), cause: chain(&other).into() },
        }
    }
}

/// An error with its causes, for where only a text is kept.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl PublishDurableError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::StreamFull { .. } | Self::StorageFull | Self::Unreachable { .. })
    }

    /// Whether it may be stored all the same. With a message id, publishing again is safe.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Unreachable { .. })
    }

    pub(crate) fn of(stream: &Name, error: StoreError) -> Self {
        let stream = stream.clone();
        match error {
            StoreError::StreamFull { messages, bytes } => Self::StreamFull { stream, messages, bytes },
            StoreError::StorageFull => Self::StorageFull,
            StoreError::WrongLastSequence { last } => Self::WrongLastSequence { last },
            StoreError::TooLarge { bytes, max } => Self::TooLarge { size: bytes, max },
            StoreError::Broken { cause } => Self::Closed { stream, cause },
            other => Self::Closed { stream, cause: other.to_string().into() },
        }
    }
}

impl ConsumeError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stream(error) => error.is_retryable(),
            Self::Stale { .. } => false,
            Self::DeadLetter { cause, .. } => cause.is_retryable(),
        }
    }

    /// Whether it may have been done all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Stream(error) => error.may_have_happened(),
            Self::Stale { .. } => false,
            Self::DeadLetter { cause, .. } => cause.may_have_happened(),
        }
    }
}
