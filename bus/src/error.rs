//! What can go wrong, one enum per operation.

use std::time::Duration;

use crate::wire::Subject;

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The payload is larger than the bus carries.
    #[error("payload of {size} bytes is larger than {max}")]
    TooLarge {
        /// Bytes of this payload.
        size: usize,
        /// Bytes that the bus carries.
        max: usize,
    },
    /// The bus has been drained, or drains and this is a request.
    #[error("the bus is closed")]
    Closed,
    /// There is no connection to the server, and no sign of one within the client's patience.
    #[error("not connected: {reason}")]
    Disconnected {
        /// What the client says about it.
        reason: Box<str>,
    },
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody is subscribed to the subject; known at once, nothing was sent.
    #[error("no responders on {subject:?}")]
    NoResponders {
        /// What was requested.
        subject: Subject,
    },
    /// Somebody got the request and nobody replied in time.
    #[error("no reply from {subject:?} within {after:?}")]
    Timeout {
        /// What was requested.
        subject: Subject,
        /// The patience of this request.
        after: Duration,
    },
    /// The payload is larger than the bus carries.
    #[error("payload of {size} bytes is larger than {max}")]
    TooLarge {
        /// Bytes of this payload.
        size: usize,
        /// Bytes that the bus carries.
        max: usize,
    },
    /// So many requests wait for replies that another would exceed the bound.
    #[error("{max} requests are waiting for replies already")]
    TooManyWaiting {
        /// The bound, `EmbeddedConfig::requests_max`.
        max: usize,
    },
    /// The bus is draining or closed.
    #[error("the bus is closed")]
    Closed,
    /// There is no connection to the server, and no sign of one within the client's patience.
    #[error("not connected: {reason}")]
    Disconnected {
        /// What the client says about it.
        reason: Box<str>,
    },
}

/// Why a subscription was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Another subscription would exceed the bound.
    #[error("{max} subscriptions exist already")]
    TooMany {
        /// The bound, `EmbeddedConfig::subscriptions_max`.
        max: usize,
    },
    /// The bus is draining or closed.
    #[error("the bus is closed")]
    Closed,
    /// There is no connection to the server, and no sign of one within the client's patience.
    #[error("not connected: {reason}")]
    Disconnected {
        /// What the client says about it.
        reason: Box<str>,
    },
}

/// Why there is no bus behind a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be understood.
    #[error("{url:?} is not a server URL: {reason}")]
    Url {
        /// What was given.
        url: Box<str>,
        /// The part that is wrong.
        reason: Box<str>,
    },
    /// Nothing usable answers there.
    #[error("cannot connect to {url:?}: {reason}")]
    Unreachable {
        /// What was given.
        url: Box<str>,
        /// What the client says about it.
        reason: Box<str>,
    },
    /// The server is too old for streams.
    #[error("{feature} needs a server of version {since}, this one is {server}")]
    Unsupported {
        /// The newest of what it lacks.
        feature: Box<str>,
        /// The first version that has it.
        since: Box<str>,
        /// The version of the server.
        server: Box<str>,
    },
    /// The file that says who we are cannot be used.
    #[error("credentials file {path:?}: {reason}", path = path.display().to_string())]
    Credentials {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: Box<str>,
    },
}

/// Nobody is subscribed to the subject of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no responders")]
pub struct NoResponders;

impl PublishError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Disconnected { .. })
    }

    /// Whether a receiver may have got the message all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Disconnected { .. })
    }
}

impl RequestError {
    /// Whether the same call may succeed later. Check [`may_have_happened`](Self::may_have_happened) before repeating what must not run twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoResponders { .. } | Self::Timeout { .. } | Self::TooManyWaiting { .. } | Self::Disconnected { .. } => true,
            Self::TooLarge { .. } | Self::Closed => false,
        }
    }

    /// Whether a responder may have acted on the request.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Disconnected { .. } => true,
            Self::NoResponders { .. } | Self::TooLarge { .. } | Self::TooManyWaiting { .. } | Self::Closed => false,
        }
    }
}

impl SubscribeError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooMany { .. } | Self::Disconnected { .. } => true,
            Self::Closed => false,
        }
    }

    /// Whether the subscription may exist all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl ConnectError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether a connection may exist all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge { size, max } => Self::TooLarge { size, max },
            PublishError::Closed => Self::Closed,
            PublishError::Disconnected { reason } => Self::Disconnected { reason },
        }
    }
}
