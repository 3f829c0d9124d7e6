//! What is known about a message besides its body.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{AgentId, CorrelationId, Headers, MessageId, TraceContext};

/// Everything an envelope says about a message. Optional on the bus: a message from a foreign client has none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// Id of this message; a deduplicating stream tells copies by it.
    pub id: MessageId,
    /// Who sent it, if it said so.
    pub source: Option<AgentId>,
    /// What it is for.
    pub kind: Kind,
    /// When its sender made it, by the sender's clock.
    pub time: Timestamp,
    /// Which message or conversation it belongs to.
    pub correlation: Option<CorrelationId>,
    /// Where it belongs in a distributed trace.
    pub trace: Option<TraceContext>,
    /// Everything else.
    pub headers: Headers,
}

impl Meta {
    /// A new id and the time `now`; everything else is empty.
    pub fn new(kind: Kind, now: SystemTime) -> Self {
        Self::with_id(MessageId::at(now), kind, now.into())
    }

    /// As [`Meta::new`], for a message that has its id and time already.
    pub const fn with_id(id: MessageId, kind: Kind, time: Timestamp) -> Self {
        Self { id, source: None, kind, time, correlation: None, trace: None, headers: Headers::new() }
    }
}

/// What a message is for. A kind that this version does not know is carried on unchanged.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Kind(u8);

impl Kind {
    /// Something that happened, for whoever listens. The default.
    pub const EVENT: Self = Self(0);
    /// A question that expects replies.
    pub const REQUEST: Self = Self(1);
    /// An answer to a request.
    pub const REPLY: Self = Self(2);
    /// An answer that says why there is none.
    pub const ERROR: Self = Self(3);

    /// The kind of this number, known or not.
    pub const fn from_u8(kind: u8) -> Self {
        Self(kind)
    }

    /// Its number in the envelope.
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// Its name, if this version knows it.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::EVENT => Some("event"),
            Self::REQUEST => Some("request"),
            Self::REPLY => Some("reply"),
            Self::ERROR => Some("error"),
            _ => None,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_unix_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn unix_micros(self) -> u64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn unix_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The same time for `std`; `None` where the platform cannot express it.
    pub fn to_system_time(self) -> Option<SystemTime> {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(self.0))
    }
}

/// Cuts below a microsecond; a clock before 1970 reads as 1970.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}
