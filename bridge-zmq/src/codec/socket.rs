//! The socket types the bridge speaks.

use std::fmt;

use omq_proto::SocketType as Wire;

/// A ZeroMQ socket type, ours or the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Asks, strictly one question at a time.
    Req,
    /// Answers, strictly one question at a time.
    Rep,
    /// Asks or answers without taking turns.
    Dealer,
    /// Talks to many peers, each addressed.
    Router,
    /// Publishes.
    Pub,
    /// Subscribes.
    Sub,
    /// Publishes, and sees the subscriptions.
    XPub,
    /// Subscribes by messages.
    XSub,
    /// Hands out work.
    Push,
    /// Takes work.
    Pull,
    /// Talks to exactly one peer.
    Pair,
}

impl SocketType {
    /// The name in READY.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.to_wire().as_str()
    }

    /// Whether the peers of this type subscribe to it.
    #[must_use]
    pub const fn publishes(self) -> bool {
        matches!(self, Self::Pub | Self::XPub)
    }

    /// Whether this type subscribes to its peers.
    #[must_use]
    pub const fn subscribes(self) -> bool {
        matches!(self, Self::Sub | Self::XSub)
    }

    pub(super) const fn to_wire(self) -> Wire {
        match self {
            Self::Req => Wire::Req,
            Self::Rep => Wire::Rep,
            Self::Dealer => Wire::Dealer,
            Self::Router => Wire::Router,
            Self::Pub => Wire::Pub,
            Self::Sub => Wire::Sub,
            Self::XPub => Wire::XPub,
            Self::XSub => Wire::XSub,
            Self::Push => Wire::Push,
            Self::Pull => Wire::Pull,
            Self::Pair => Wire::Pair,
        }
    }

    /// `None` for the draft types, which talk to none of ours.
    pub(super) const fn from_wire(wire: Wire) -> Option<Self> {
        Some(match wire {
            Wire::Req => Self::Req,
            Wire::Rep => Self::Rep,
            Wire::Dealer => Self::Dealer,
            Wire::Router => Self::Router,
            Wire::Pub => Self::Pub,
            Wire::Sub => Self::Sub,
            Wire::XPub => Self::XPub,
            Wire::XSub => Self::XSub,
            Wire::Push => Self::Push,
            Wire::Pull => Self::Pull,
            Wire::Pair => Self::Pair,
            _ => return None,
        })
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
