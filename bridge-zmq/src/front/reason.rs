//! Why a connection ended, for the log, the metrics and the route.

use std::io;

use myelin_bus::outlet::OutletError;

use super::PeerId;
use crate::codec::CodecError;
use crate::metrics::{DisconnectKind, DropCause};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The peer closed the connection.
    #[error("closed by the peer")]
    PeerClosed,
    /// The peer closed with an ERROR command.
    #[error("closed by the peer: {reason}")]
    PeerError {
        /// The peer's words.
        reason: Box<str>,
    },
    /// The socket failed.
    #[error("read failed")]
    Read(#[source] io::Error),
    /// The write side ended first: the socket failed, or the queue's policy said disconnect.
    #[error("write side ended")]
    Outlet(#[source] OutletError),
    /// The peer broke the protocol or a limit.
    #[error("protocol violation")]
    Protocol(#[source] CodecError),
    /// All peers together left more incomplete than allowed, and this one would have added to it.
    #[error("incomplete messages exceed incomplete_bytes_max {max}")]
    Overload {
        /// The bound in bytes.
        max: usize,
    },
    /// The peer sends PINGs and reads none of the answers.
    #[error("peer reads no answers to its pings")]
    ControlOverflow,
    /// None of our PINGs had an answer.
    #[error("no sign of life after {missed} pings")]
    HeartbeatMissed {
        /// PINGs without an answer.
        missed: u32,
    },
    /// The peer's own PING promised more, and nothing came in time.
    #[error("silent for longer than its own ping promised")]
    TtlExpired,
    /// The route closed the connection.
    #[error("closed: {why}")]
    Closed {
        /// The reason, for the log.
        why: &'static str,
    },
    /// Another connection announced the same identity, and the policy is `hand_over`.
    #[error("identity handed over to connection {to}")]
    HandedOver {
        /// The connection that has it now.
        to: PeerId,
    },
    /// The listener or connector was closed, or the process shuts down.
    #[error("shut down")]
    Shutdown,
}

impl DisconnectReason {
    /// The class that metrics count.
    #[must_use]
    pub fn kind(&self) -> DisconnectKind {
        match self {
            Self::PeerClosed | Self::PeerError { .. } | Self::Read(_) | Self::Outlet(OutletError::Write(_)) => DisconnectKind::Peer,
            Self::Outlet(OutletError::SlowPeer { .. } | OutletError::Budget { .. }) | Self::ControlOverflow => DisconnectKind::Slow,
            Self::Outlet(_) | Self::Closed { .. } | Self::HandedOver { .. } | Self::Shutdown => DisconnectKind::Local,
            Self::Protocol(_) => DisconnectKind::Protocol,
            Self::Overload { .. } => DisconnectKind::Overload,
            Self::HeartbeatMissed { .. } | Self::TtlExpired => DisconnectKind::Silent,
        }
    }

    /// What the queue of a connection that ended so is counted as.
    pub(super) fn drop_cause(&self) -> DropCause {
        match self {
            Self::Outlet(OutletError::SlowPeer { .. } | OutletError::Budget { .. }) => DropCause::Disconnect,
            _ => DropCause::Disconnected,
        }
    }
}
