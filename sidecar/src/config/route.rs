//! `[[route]]`: the sockets that are tied to one subject.

use std::fmt;
use std::time::Duration;

use myelin_bus::Overflow;

use super::endpoint::Endpoint;
use super::health::Thinning;
use super::origin::Origin;
use super::settings::Overrides;
use super::value::Value;

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
        /// Whether requests without a reply become dead letters.
        dead_letter_requests: bool,
    },
    /// PUB agents reach SUB agents.
    Topic {
        publishers: Side,
        subscribers: Side,
        overflow: Option<Overflow>,
        /// Which messages are not passed on.
        thinning: Thinning,
    },
    /// PUSH agents reach PULL agents. A full queue or stream always holds the producers back, as a PUSH socket would.
    Pipeline { producers: Side, consumers: Side, keeping: Keeping },
    /// One PAIR agent talks to one PAIR agent.
    Pair { a: Side, b: Side },
}

/// How a pipeline keeps its messages; what is `None` is not written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keeping {
    /// In the store; default: if there is one.
    pub(crate) durable: Option<bool>,
    /// Deliveries of one message before it is a dead letter.
    pub(crate) deliveries_max: Option<u32>,
    /// How long a consumer may show no progress.
    pub(crate) ack_wait: Option<Duration>,
    /// Most messages that wait.
    pub(crate) messages_max: Option<u64>,
    /// Most bytes that wait.
    pub(crate) bytes_max: Option<u64>,
    /// Oldest message that is delivered.
    pub(crate) age_max: Option<Duration>,
}

impl Keeping {
    /// Notes a value that was checked, if the key is one of these. Tells whether it is.
    pub(crate) fn set(&mut self, key: &str, value: &Value) -> bool {
        match (key, value) {
            ("durable", Value::Bool(on)) => self.durable = Some(*on),
            ("deliveries_max", Value::Count(count)) => self.deliveries_max = u32::try_from(*count).ok(),
            ("ack_wait", Value::Duration(time)) => self.ack_wait = Some(*time),
            ("messages_max", Value::Count(count)) => self.messages_max = Some(*count),
            ("bytes_max", Value::Size(bytes)) => self.bytes_max = Some(*bytes),
            ("age_max", Value::Duration(time)) => self.age_max = Some(*time),
            _ => return false,
        }
        true
    }

    /// The settings, besides `durable` itself, that mean something only in the store, and are written.
    pub(crate) fn written(&self) -> Vec<&'static str> {
        let all = [
            ("deliveries_max", self.deliveries_max.is_some()),
            ("ack_wait", self.ack_wait.is_some()),
            ("messages_max", self.messages_max.is_some()),
            ("bytes_max", self.bytes_max.is_some()),
            ("age_max", self.age_max.is_some()),
        ];
        all.into_iter().filter(|(_, is_written)| *is_written).map(|(name, _)| name).collect()
    }
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
            Self::Pipeline { producers, consumers, .. } => [(Role::Producers, producers), (Role::Consumers, consumers)],
            Self::Pair { a, b } => [(Role::A, a), (Role::B, b)],
        }
    }
}

impl Side {
    pub(crate) fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.connect.is_empty()
    }
}
