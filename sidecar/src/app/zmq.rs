//! The live ZeroMQ peers, as `myelin zmq` and `$MYELIN.API.ZMQ.PEERS` show them.

use std::time::SystemTime;

use myelin_bridge_zmq::front::{FailedHandshake, Front, Passed, PeerQuery, PeerStatus};
use myelin_bus::Bus;
use myelin_bus::outlet::{Budget, Queued};
use serde::{Deserialize, Serialize};

use super::pipelines::{self, PipelineEntry, PipelinesSource};

/// Peers in one reply when the request does not say.
const PAGE_DEFAULT: usize = 256;
const PAGE_MAX: usize = 1_000;

/// More than one entry takes as JSON: four bytes for each of 255 of an identity, and some names. A reply has to fit into a payload.
const ENTRY_BYTES: usize = 2 * 1024;

/// What may be asked; an empty request asks for the first page of everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PeersRequest {
    /// Only this route.
    pub(crate) route: Option<String>,
    /// `next` of the page before.
    pub(crate) after: u64,
    /// Peers in the reply: 256 unless said, at most 1,000.
    pub(crate) limit: Option<usize>,
}

/// The reply to `$MYELIN.API.ZMQ.PEERS`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PeersReply {
    /// Oldest connection first.
    pub(crate) peers: Vec<PeerEntry>,
    /// What to ask `after` for the rest; null when there is none.
    pub(crate) next: Option<u64>,
    /// The last 100 connections that did not become a session, oldest first; on the first page only.
    pub(crate) failures: Vec<FailureEntry>,
    /// Pipelines that are kept in a stream; on the first page only.
    #[serde(default)]
    pub(crate) pipelines: Vec<PipelineEntry>,
    /// Bytes that wait for peers, over the whole process, NATS clients included.
    pub(crate) queued_bytes: usize,
    /// Their bound, `limits.queued_bytes`.
    pub(crate) queued_bytes_max: usize,
}

/// One established connection. Times are Unix milliseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PeerEntry {
    pub(crate) id: u64,
    /// The route, `hub`, `discovery`, or the name of an attached agent.
    pub(crate) route: String,
    pub(crate) side: String,
    /// What the peer is.
    pub(crate) socket: String,
    /// What we are to it.
    pub(crate) our_socket: String,
    pub(crate) mechanism: String,
    /// Printable; other bytes are escaped as in Rust and Python. Empty when it has none.
    pub(crate) identity: String,
    pub(crate) remote: String,
    pub(crate) since_ms: u64,
    pub(crate) last_seen_ms: u64,
    /// It closed the connection while it was held back, and the last it said is still to be read.
    #[serde(default)]
    pub(crate) has_left: bool,
    pub(crate) queued: Amount,
    /// Messages that were dropped instead of reaching it.
    pub(crate) dropped: u64,
    /// Whether it is served at most once although its route promises more: it answers no PING.
    #[serde(default)]
    pub(crate) at_most_once: bool,
    pub(crate) received: Amount,
    pub(crate) sent: Amount,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amount {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// A connection that did not become a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FailureEntry {
    pub(crate) at_ms: u64,
    pub(crate) route: String,
    pub(crate) side: String,
    pub(crate) remote: String,
    pub(crate) reason: String,
}

/// What the reply is made of.
#[derive(Clone)]
pub(super) struct PeersSource {
    pub(super) front: Front,
    pub(super) budget: Budget,
    /// The largest reply in bytes.
    pub(super) payload_bytes_max: usize,
    pub(super) bus: Bus,
    pub(super) pipelines: PipelinesSource,
}

impl PeersSource {
    /// The reply to a request of these bytes, or what is wrong with it.
    pub(super) async fn reply(&self, request: &[u8]) -> Result<PeersReply, serde_json::Error> {
        let request = if request.is_empty() { PeersRequest::default() } else { serde_json::from_slice(request)? };
        // Half for peers, half for failures.
        let entries_max = (self.payload_bytes_max / ENTRY_BYTES / 2).max(1);
        let limit = request.limit.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX.min(entries_max));
        let page = self.front.peers(&PeerQuery { route: request.route.clone(), after: request.after, limit });
        let now = SystemTime::now();
        let is_asked =
            |failure: &FailedHandshake| request.after == 0 && request.route.as_ref().is_none_or(|route| **route == *failure.route);
        let mut failures = self.front.handshake_failures();
        failures.retain(is_asked);
        failures.drain(..failures.len().saturating_sub(entries_max));
        let pipelines = (self.pipelines)();
        let pipelines = match request.after {
            0 => pipelines::entries(&self.bus, &pipelines, request.route.as_deref()).await,
            _ => Vec::new(),
        };
        Ok(PeersReply {
            peers: page.peers.iter().map(|peer| PeerEntry::new(peer, now)).collect(),
            pipelines,
            next: page.next,
            failures: failures.iter().map(FailureEntry::new).collect(),
            queued_bytes: self.budget.queued_bytes(),
            queued_bytes_max: self.budget.bytes_max(),
        })
    }
}

impl PeerEntry {
    fn new(peer: &PeerStatus, now: SystemTime) -> Self {
        Self {
            id: peer.id,
            route: peer.route.to_string(),
            side: peer.side.to_owned(),
            socket: peer.socket_type.to_string(),
            our_socket: peer.ours.to_string(),
            mechanism: peer.mechanism.to_owned(),
            identity: peer.identity.escape_ascii().to_string(),
            remote: peer.remote.clone(),
            since_ms: unix_ms(peer.since),
            last_seen_ms: unix_ms(now.checked_sub(peer.silent).unwrap_or(now)),
            has_left: peer.has_left,
            queued: peer.queued.into(),
            dropped: peer.dropped,
            at_most_once: peer.is_at_most_once,
            received: peer.received.into(),
            sent: peer.sent.into(),
        }
    }
}

impl FailureEntry {
    fn new(failure: &FailedHandshake) -> Self {
        Self {
            at_ms: unix_ms(failure.at),
            route: failure.route.to_string(),
            side: failure.side.to_owned(),
            remote: failure.remote.clone(),
            reason: failure.reason.clone(),
        }
    }
}

impl From<Queued> for Amount {
    fn from(queued: Queued) -> Self {
        Self { messages: queued.messages as u64, bytes: queued.bytes as u64 }
    }
}

impl From<Passed> for Amount {
    fn from(passed: Passed) -> Self {
        Self { messages: passed.messages, bytes: passed.bytes }
    }
}

/// Unix time in milliseconds; a clock before 1970 reads as 1970.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
