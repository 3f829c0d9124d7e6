//! What was not sent, as `myelin traffic` and `$MYELIN.API.TRAFFIC` show it.

use std::time::Duration;

use myelin_bridge_zmq::meter::{Counts, Meter};
use serde::{Deserialize, Serialize};

/// What may be asked; an empty request asks for everything since the start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TrafficRequest {
    /// Only of the last so many milliseconds, to ten seconds within the last hour, to five minutes within the last day.
    pub(crate) since_ms: Option<u64>,
}

/// The reply to `$MYELIN.API.TRAFFIC`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TrafficReply {
    /// The time that it is about.
    pub(crate) span_ms: u64,
    pub(crate) total: TrafficEntry,
    /// By kind of agent, by name.
    pub(crate) kinds: Vec<TrafficEntry>,
}

/// What was counted of one kind of agents, or of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrafficEntry {
    /// Empty for the total.
    pub(crate) kind: String,
    /// Health polls of agents elsewhere that were answered here.
    pub(crate) polls_answered: u64,
    /// Connections of which at least one was.
    pub(crate) connections: u64,
    /// Messages of topics that were not passed on because nothing had changed.
    pub(crate) beats_suppressed: u64,
    /// Agents that were woken.
    pub(crate) wakes: u64,
    /// Bytes of the frames of these polls, their replies and these messages, counted.
    pub(crate) bytes_not_sent: u64,
    /// What a network would have carried for them, derived from the counts.
    pub(crate) derived: Derived,
}

/// What is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Derived {
    /// Bytes with the headers of packets, and the greetings of connections.
    pub(crate) wire_bytes: u64,
}

impl TrafficEntry {
    fn new(kind: &str, counts: &Counts) -> Self {
        Self {
            kind: kind.to_owned(),
            polls_answered: counts.polls_answered,
            connections: counts.connections,
            beats_suppressed: counts.beats_suppressed,
            wakes: counts.wakes,
            bytes_not_sent: counts.bytes_not_sent,
            derived: Derived { wire_bytes: counts.wire_bytes_derived() },
        }
    }
}

/// The reply to a request of these bytes, or what is wrong with it.
pub(super) fn reply(meter: &Meter, request: &[u8]) -> Result<TrafficReply, serde_json::Error> {
    let request = if request.is_empty() { TrafficRequest::default() } else { serde_json::from_slice(request)? };
    let reading = meter.read(request.since_ms.map(Duration::from_millis));
    Ok(TrafficReply {
        span_ms: u64::try_from(reading.span.as_millis()).unwrap_or(u64::MAX),
        total: TrafficEntry::new("", &reading.total()),
        kinds: reading.kinds.iter().map(|(kind, counts)| TrafficEntry::new(kind, counts)).collect(),
    })
}
