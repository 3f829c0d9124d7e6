//! What was not sent because it did not have to be: the meter.
//!
//! It counts what really would have gone over the wire between machines, frame by frame: the request that a caller of this machine made and the reply that
//! it got, both with the headers of their frames, and messages that were held back. What more a network would have carried (packets' headers, connections) is
//! derived from these counts, and called so.
//!
//! Bounds: [`KINDS_MAX`] kinds of agents, all others together; the history of `history`.

mod history;
mod metrics;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{AddAssign, Sub};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use self::history::History;
use self::metrics::MeterMetrics;

/// Kinds of agents that are counted apart; agents choose their kinds themselves.
pub const KINDS_MAX: usize = 32;

/// What all other kinds are counted as.
pub const KIND_OTHER: &str = "other";

/// What a connection costs before its first request, in bytes behind the headers of packets: the greetings of two ZMTP peers (64 each), their READY commands, REQ and
/// REP as libzmq writes them, and the options of TCP's first two packets.
pub const CONNECTION_BYTES: u64 = 64 + 64 + 40 + 27 + 2 * 8;

/// The packets of two connections that carry no poll: libzmq 4.3.5 was seen to use 16.5 for a poll with a connection of its own, 3 of which are the poll's.
pub const PACKETS_OF_TWO_CONNECTIONS: u64 = 27;

/// The packets that carry a poll on an open connection: the request, the reply with the acknowledgement of the request, and the acknowledgement of the reply.
pub const PACKETS_PER_POLL: u64 = 3;

/// What Ethernet (14), IPv4 (20) and TCP with timestamps (32) put before the bytes of a packet.
pub const PACKET_HEADER_BYTES: u64 = 66;

/// What was counted of one kind of agents, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Polls that were answered without their agent.
    pub polls_answered: u64,
    /// Connections of which at least one was.
    pub connections: u64,
    /// Messages that said what had been said before, and were not passed on.
    pub beats_suppressed: u64,
    /// Agents that were woken.
    pub wakes: u64,
    /// Bytes of the frames that these polls, their replies and those messages consist of.
    pub bytes_not_sent: u64,
}

impl Counts {
    /// Derived, not counted: the bytes that a network would have carried if each of these polls had gone to its agent, over connections like
    /// those on which they came, and every packet had arrived at the first try.
    #[must_use]
    pub fn wire_bytes_derived(&self) -> u64 {
        let packets = self.polls_answered * PACKETS_PER_POLL + self.beats_suppressed + self.connections * PACKETS_OF_TWO_CONNECTIONS / 2;
        self.bytes_not_sent + packets * PACKET_HEADER_BYTES + self.connections * CONNECTION_BYTES
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.polls_answered += more.polls_answered;
        self.connections += more.connections;
        self.beats_suppressed += more.beats_suppressed;
        self.wakes += more.wakes;
        self.bytes_not_sent += more.bytes_not_sent;
    }
}

impl Sub for Counts {
    type Output = Self;

    /// What was counted between two looks, the later one first.
    fn sub(self, earlier: Self) -> Self {
        Self {
            polls_answered: self.polls_answered - earlier.polls_answered,
            connections: self.connections - earlier.connections,
            beats_suppressed: self.beats_suppressed - earlier.beats_suppressed,
            wakes: self.wakes - earlier.wakes,
            bytes_not_sent: self.bytes_not_sent - earlier.bytes_not_sent,
        }
    }
}

/// What was counted, by kind of agent.
pub type ByKind = BTreeMap<Arc<str>, Counts>;

/// What the meter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time that it is about: at least as long as asked for, as far as the history goes back.
    pub span: Duration,
    /// What was counted in that time; kinds of which nothing was are left out.
    pub kinds: ByKind,
}

impl Reading {
    /// All kinds together.
    #[must_use]
    pub fn total(&self) -> Counts {
        self.kinds.values().fold(Counts::default(), |mut sum, counts| {
            sum += *counts;
            sum
        })
    }
}

/// The meter. Clones share it.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    metrics: MeterMetrics,
}

struct State {
    started: Instant,
    /// When something was counted last.
    changed: Instant,
    kinds: ByKind,
    history: History,
}

impl Meter {
    /// A meter that has counted nothing.
    #[must_use]
    pub fn new() -> Self {
        let now = Instant::now();
        let state = State { started: now, changed: now, kinds: BTreeMap::new(), history: History::new(now) };
        Self(Arc::new(Shared { state: Mutex::new(state), metrics: MeterMetrics::default() }))
    }

    /// Makes the counters visible under `myelin_meter_…`.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// What was counted in the last `since`, or since the start.
    #[must_use]
    pub fn read(&self, since: Option<Duration>) -> Reading {
        self.read_at(since, Instant::now())
    }

    /// Messages of a topic were held back.
    pub(crate) fn beats_suppressed(&self, kind: &str, messages: usize, bytes: usize) {
        self.add(kind, Counts { beats_suppressed: messages as u64, bytes_not_sent: bytes as u64, ..Counts::default() }, Instant::now());
    }

    fn read_at(&self, since: Option<Duration>, now: Instant) -> Reading {
        let mut state = self.0.state.lock();
        state.note(now);
        let (from, before) = match since {
            None => (state.started, None),
            Some(since) => state.history.before(now.checked_sub(since).unwrap_or(state.started)),
        };
        let counted = state.kinds.iter().map(|(kind, counts)| {
            let earlier = before.and_then(|before| before.get(kind)).copied().unwrap_or_default();
            (Arc::clone(kind), *counts - earlier)
        });
        let kinds = counted.filter(|(_, counts)| *counts != Counts::default()).collect();
        Reading { span: now.duration_since(from), kinds }
    }

    fn add(&self, kind: &str, counts: Counts, now: Instant) {
        let mut state = self.0.state.lock();
        // What comes now belongs to the time after the last look.
        state.note(now);
        let kind = state.kind(kind);
        *state.kinds.entry(Arc::clone(&kind)).or_default() += counts;
        state.changed = now;
        drop(state);
        self.0.metrics.add(&kind, counts);
    }
}

impl State {
    /// The name that a kind is counted under.
    fn kind(&self, kind: &str) -> Arc<str> {
        match self.kinds.get_key_value(kind) {
            Some((known, _)) => Arc::clone(known),
            None if self.kinds.len() < KINDS_MAX => kind.into(),
            None => KIND_OTHER.into(),
        }
    }

    fn note(&mut self, now: Instant) {
        self.history.note(&self.kinds, self.changed, now);
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("kinds", &self.0.state.lock().kinds).finish()
    }
}

/// A poll that was answered without its agent; it counts once the answer is on its way.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) meter: Meter,
    pub(crate) kind: Arc<str>,
    /// Of the frames of the request and of the reply.
    pub(crate) bytes: usize,
}

impl Saved {
    /// Counts it; `is_first` says whether it is the first of its connection.
    pub(crate) fn count(self, is_first: bool) {
        let counts = Counts { polls_answered: 1, connections: u64::from(is_first), bytes_not_sent: self.bytes as u64, ..Counts::default() };
        self.meter.add(&self.kind, counts, Instant::now());
    }
}

#[cfg(test)]
mod tests;
