//! What the front counts. Handles work unregistered; [`Metrics::register`] makes them visible.

use myelin_bus::Overflow;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters of a front; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) connections_opened: Counter,
    connections_refused: Family<RefusedLabels, Counter>,
    pub(crate) handshakes_pending: Gauge,
    handshake_failures: Family<HandshakeLabels, Counter>,
    disconnects: Family<DisconnectLabels, Counter>,
    pub(crate) messages_received: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    drops: Family<DropLabels, Counter>,
    /// The same over all routes, for programs.
    drops_total: [Counter; DropCause::ALL.len()],
    pub(crate) read_pauses: Counter,
    identity_conflicts: Family<IdentityLabels, Counter>,
}

/// Why a connection did not become a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum HandshakeFailure {
    /// The peer speaks HTTP.
    Http,
    /// The peer speaks TLS.
    Tls,
    /// The first bytes are not ZMTP.
    NotZmtp,
    /// An older ZMTP.
    Version,
    /// Socket types that do not talk to each other.
    Incompatible,
    /// The two ends speak different security mechanisms.
    Mechanism,
    /// The peer's credentials are not ones that we accept.
    Denied,
    /// The peer refused us.
    Refused,
    /// Any other violation of the protocol.
    Violation,
    /// The deadline passed.
    Timeout,
    /// Dropped because too many were pending.
    Evicted,
    /// The peer closed, or the socket failed.
    Closed,
}

/// A share of all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ConnectionShare {
    /// All there are.
    All,
    /// What one source may have.
    Source,
    /// What the peers of one route may have.
    Route,
    /// What one source may have at one route.
    SourceAtRoute,
}

impl ConnectionShare {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::All => "connections_max reached",
            Self::Source => "this source has its share of connections_max",
            Self::Route => "this route has its share of connections_max",
            Self::SourceAtRoute => "this source has its share of connections_max at this route",
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum DisconnectKind {
    /// The peer closed, or the socket failed.
    Peer,
    /// The peer broke the protocol or a limit.
    Protocol,
    /// All peers together left too much incomplete.
    Overload,
    /// The peer did not read.
    Slow,
    /// The peer was silent for too long.
    Silent,
    /// We closed.
    Local,
}

/// What dropped a message on its way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// The policy `drop_oldest`.
    DropOldest,
    /// The policy `drop_newest`; for a request, also that the queue of its service was full.
    DropNewest,
    /// The policy `disconnect`: what met the full queue, and what was in it.
    Disconnect,
    /// The connection ended with the message in its queue.
    Disconnected,
    /// The full queue of a service: the end of the longest line made room for another caller's request.
    EvictLongest,
    /// The request's caller had gone.
    CallerGone,
}

impl DropCause {
    const ALL: [Self; 6] = [Self::DropOldest, Self::DropNewest, Self::Disconnect, Self::Disconnected, Self::EvictLongest, Self::CallerGone];

    /// The name in labels: policies are called as in the configuration.
    const fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => Overflow::DropOldest.as_str(),
            Self::DropNewest => Overflow::DropNewest.as_str(),
            Self::Disconnect => Overflow::Disconnect.as_str(),
            Self::Disconnected => "disconnected",
            Self::EvictLongest => "evict_longest",
            Self::CallerGone => "caller_gone",
        }
    }
}

impl EncodeLabelValue for DropCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.as_str().encode(encoder)
    }
}

/// The drops of one route, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct RouteDrops {
    of_route: [Counter; DropCause::ALL.len()],
    total: [Counter; DropCause::ALL.len()],
}

impl RouteDrops {
    pub(crate) fn dropped(&self, cause: DropCause, messages: u64) {
        if messages > 0 {
            self.of_route[cause as usize].inc_by(messages);
            self.total[cause as usize].inc_by(messages);
        }
    }
}

/// What became of a connection that announced an identity which another connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum IdentityConflict {
    /// It was closed.
    Refused,
    /// The other one was closed.
    HandedOver,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IdentityLabels {
    outcome: IdentityConflict,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    share: ConnectionShare,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    reason: HandshakeFailure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DisconnectLabels {
    reason: DisconnectKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    route: String,
    policy: DropCause,
}

impl Metrics {
    /// Makes the counters visible in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let mut add = Adder(registry.sub_registry_with_prefix("myelin_zmq"));
        add.metric("connections", "Established ZMTP connections", self.connections.clone());
        add.metric("connections_opened", "ZMTP connections that finished their handshake", self.connections_opened.clone());
        add.metric(
            "connections_refused",
            "Connections closed at once because this share of connections_max was taken",
            self.connections_refused.clone(),
        );
        add.metric("handshakes_pending", "Connections in their handshake", self.handshakes_pending.clone());
        add.metric("handshake_failures", "Connections that did not become a session, by reason", self.handshake_failures.clone());
        add.metric("disconnects", "Sessions that ended, by reason", self.disconnects.clone());
        add.metric("messages_received", "Messages received from ZMTP peers", self.messages_received.clone());
        add.metric("messages_sent", "Messages queued for ZMTP peers", self.messages_sent.clone());
        add.metric("received_bytes", "Bytes received from ZMTP peers after the handshake", self.bytes_received.clone());
        add.metric("sent_bytes", "Bytes of messages queued for ZMTP peers", self.bytes_sent.clone());
        add.metric(
            "messages_dropped",
            "Messages dropped on their way to a ZMTP peer or before they had one, by route and policy",
            self.drops.clone(),
        );
        add.metric("read_pauses", "Times a peer was not read because a receiver behind it was full", self.read_pauses.clone());
        add.metric("identity_conflicts", "Connections that announced an identity in use, by outcome", self.identity_conflicts.clone());
    }

    pub(crate) fn identity_conflict(&self, outcome: IdentityConflict) {
        self.identity_conflicts.get_or_create(&IdentityLabels { outcome }).inc();
    }

    /// Connections that announced an identity in use, with this outcome.
    #[must_use]
    pub fn identity_conflicts(&self, outcome: IdentityConflict) -> u64 {
        self.identity_conflicts.get_or_create(&IdentityLabels { outcome }).get()
    }

    pub(crate) fn connection_refused(&self, share: ConnectionShare) {
        self.connections_refused.get_or_create(&RefusedLabels { share }).inc();
    }

    /// Connections closed at once because this share was taken.
    #[must_use]
    pub fn connections_refused(&self, share: ConnectionShare) -> u64 {
        self.connections_refused.get_or_create(&RefusedLabels { share }).get()
    }

    pub(crate) fn handshake_failed(&self, reason: HandshakeFailure) {
        self.handshake_failures.get_or_create(&HandshakeLabels { reason }).inc();
    }

    pub(crate) fn disconnected(&self, reason: DisconnectKind) {
        self.disconnects.get_or_create(&DisconnectLabels { reason }).inc();
    }

    /// The drop counters of a route, or of a group of routes that no operator has named.
    pub(crate) fn route_drops(&self, route: &str) -> RouteDrops {
        let of = |policy| self.drops.get_or_create(&DropLabels { route: route.to_owned(), policy }).clone();
        RouteDrops { of_route: DropCause::ALL.map(of), total: self.drops_total.clone() }
    }

    /// For sockets of no route: only the total counts.
    pub(crate) fn unlisted_drops(&self) -> RouteDrops {
        RouteDrops { of_route: Default::default(), total: self.drops_total.clone() }
    }

    /// Connections that failed their handshake for this reason.
    #[must_use]
    pub fn handshake_failures(&self, reason: HandshakeFailure) -> u64 {
        self.handshake_failures.get_or_create(&HandshakeLabels { reason }).get()
    }

    /// Established connections now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// Messages dropped so far for this cause.
    #[must_use]
    pub fn drops(&self, policy: DropCause) -> u64 {
        self.drops_total[policy as usize].get()
    }

    /// Messages received so far.
    #[must_use]
    pub fn messages_received(&self) -> u64 {
        self.messages_received.get()
    }

    /// Messages queued for peers so far.
    #[must_use]
    pub fn messages_sent(&self) -> u64 {
        self.messages_sent.get()
    }
}

impl From<Overflow> for DropCause {
    fn from(policy: Overflow) -> Self {
        match policy {
            Overflow::DropOldest => Self::DropOldest,
            Overflow::DropNewest => Self::DropNewest,
            Overflow::Disconnect => Self::Disconnect,
            // Drops nothing while the connection lives.
            Overflow::Block => Self::Disconnected,
        }
    }
}

struct Adder<'a>(&'a mut Registry);

impl Adder<'_> {
    fn metric(&mut self, name: &str, help: &str, metric: impl prometheus_client::registry::Metric) {
        self.0.register(name, help, metric);
    }
}
