//! `[[route]]`: the sockets that are tied to one subject.

use std::fmt;

use myelin_bus::Overflow;

use super::endpoint::Endpoint;
use super::origin::Origin;
use super::settings::Overrides;

/// One configured route.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Unique name; the subject is made of it.
    pub(crate) name: String,
    pub(crate) kind: RouteKind,
    /// What of `[security]` is different for its sockets.
    pub(crate) security: Overrides,
    /// The line of its `[[route]]`.
    pub(crate) origin: Origin,
}

/// What a route does with its two sides.
#[derive(Debug, Clone)]
pub(crate) enum RouteKind {
    /// REQ and DEALER callers reach the REP or ROUTER of one agent or of several replicas.
    Service {
        callers: Side,
        agents: Side,
        /// Requests outstanding per REP agent; more wait in the fair queue.
        window: u32,
        /// What happens to a waiting request whose caller has gone.
        on_caller_gone: Linger,
        /// The reply to send at once when no agent is attached; `None` stays silent, as an absent agent would.
        fail_fast: Option<String>,
    },
    /// PUB agents reach SUB agents.
    Topic { publishers: Side, subscribers: Side, overflow: Option<Overflow> },
    /// PUSH agents reach PULL agents. A full queue always holds the producers back, as a PUSH socket would.
    Pipeline { producers: Side, consumers: Side },
    /// One PAIR agent talks to one PAIR agent.
    Pair { a: Side, b: Side },
}

/// The endpoints of one side of a route: where we bind, and where we connect to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) bind: Vec<Endpoint>,
    pub(crate) connect: Vec<Endpoint>,
    /// The line it was written on; `None` when the side is absent.
    pub(crate) origin: Option<Origin>,
}

/// What happens to a request that waits for an agent while its caller has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Linger {
    /// It is delivered, as libzmq would.
    #[default]
    Deliver,
    /// It is dropped and counted.
    Drop,
}

impl Linger {
    /// The name in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Drop => "drop",
        }
    }
}

/// Which side of which kind: decides what the socket of a peer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Callers,
    Agents,
    Publishers,
    Subscribers,
    Producers,
    Consumers,
    A,
    B,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Callers => "callers",
            Self::Agents => "agents",
            Self::Publishers => "publishers",
            Self::Subscribers => "subscribers",
            Self::Producers => "producers",
            Self::Consumers => "consumers",
            Self::A => "a",
            Self::B => "b",
        }
    }

    /// The socket types that peers of this side may have, as ZMTP spells them.
    pub(crate) const fn peer_sockets(self) -> &'static [&'static str] {
        match self {
            Self::Callers => &["REQ", "DEALER"],
            Self::Agents => &["REP", "ROUTER"],
            Self::Publishers => &["PUB", "XPUB"],
            Self::Subscribers => &["SUB", "XSUB"],
            Self::Producers => &["PUSH"],
            Self::Consumers => &["PULL"],
            Self::A | Self::B => &["PAIR"],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl RouteKind {
    /// The name in the file.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Service { .. } => "service",
            Self::Topic { .. } => "topic",
            Self::Pipeline { .. } => "pipeline",
            Self::Pair { .. } => "pair",
        }
    }

    /// Both sides, the one that sends first, if one does.
    pub(crate) const fn sides(&self) -> [(Role, &Side); 2] {
        match self {
            Self::Service { callers, agents, .. } => [(Role::Callers, callers), (Role::Agents, agents)],
            Self::Topic { publishers, subscribers, .. } => [(Role::Publishers, publishers), (Role::Subscribers, subscribers)],
            Self::Pipeline { producers, consumers } => [(Role::Producers, producers), (Role::Consumers, consumers)],
            Self::Pair { a, b } => [(Role::A, a), (Role::B, b)],
        }
    }
}

impl Side {
    pub(crate) fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.connect.is_empty()
    }
}
