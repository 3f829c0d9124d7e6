//! Why a Redis cannot be used.

/// Why there is no mesh over a Redis. Each names the setting that is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisOpenError {
    /// A setting that makes no sense.
    #[error("setting {setting}: {reason}")]
    Setting {
        /// Its name in [`RedisConfig`](crate::RedisConfig).
        setting: &'static str,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// None of the servers could be reached.
    #[error("setting servers: none can be reached: {reason}")]
    Unreachable {
        /// What was tried, and what happened.
        reason: Box<str>,
    },
    /// A server does not let us in.
    #[error("settings user and password: the server refuses them: {reason}")]
    Refused {
        /// What the server says.
        reason: Box<str>,
    },
    /// A single server was expected and a cluster was found, or the other way round.
    #[error("setting cluster is {configured}, and the server says otherwise: {reason}")]
    Mode {
        /// As configured.
        configured: bool,
        /// What the server says.
        reason: Box<str>,
    },
}

impl RedisOpenError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether there is a mesh all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}
