//! The words of an outlet: its bounds, what it says of a push, why it ends.

use std::io;

use crate::Overflow;

/// The bounds of an outlet and what happens at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutletConfig {
    /// Bytes that may wait, the ones being written included.
    pub bytes_max: usize,
    /// Messages that may wait, the ones being written not counted.
    pub messages_max: usize,
    /// What happens to a message that would exceed a bound. `Block` takes it and reports [`Pushed::over`]: the producer is expected to wait for
    /// [`Outlet::relieved`](super::Outlet::relieved), so the queue exceeds its bound by at most one batch per producer.
    pub overflow: Overflow,
}

/// What became of the messages of one push. Drops are counted by the outlet; a producer of a `Block` outlet looks at `over`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Messages that were queued or written.
    pub accepted: usize,
    /// Messages that were dropped, older ones included.
    pub dropped: usize,
    /// A bound with policy `Block` is exceeded; wait for [`Outlet::relieved`](super::Outlet::relieved) before the next push.
    pub over: bool,
}

/// How much waits in an outlet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// Bytes, the ones being written included.
    pub bytes: usize,
    /// Messages, the ones being written included.
    pub messages: usize,
}

/// Why an outlet stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutletError {
    /// The socket refused a write.
    #[error("write failed")]
    Write(#[source] io::Error),
    /// The peer did not read and its policy is `disconnect`.
    #[error("peer did not read: more than {bytes_max} bytes or {messages_max} messages waited")]
    SlowPeer {
        /// The byte bound.
        bytes_max: usize,
        /// The message bound.
        messages_max: usize,
    },
    /// The peer did not read, its policy is `disconnect`, and its share of the budget of all peers was used up.
    #[error("peer did not read: its share of the {bytes_max} bytes that all peers may have waiting is used up")]
    Budget {
        /// The bound of the budget.
        bytes_max: usize,
    },
    /// [`Outlet::close`](super::Outlet::close) was called.
    #[error("closed")]
    Closed,
}
