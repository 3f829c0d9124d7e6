//! The life of a sidecar, in order.

use std::fmt;

/// Where a sidecar is in its life; it only ever moves forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Binding and connecting; nobody can reach us reliably.
    Starting,
    /// Everything is bound.
    Ready,
    /// A stop was asked for: `/readyz` says no, so that whoever routes to us stops.
    Refusing,
    /// No new requests; what is under way finishes, until the deadline.
    Draining,
    /// Sockets are written out and state is on disk.
    Flushed,
    /// Nothing runs any more.
    Stopped,
}

impl Phase {
    /// The name in logs and in `/readyz`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Refusing => "refusing",
            Self::Draining => "draining",
            Self::Flushed => "flushed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
