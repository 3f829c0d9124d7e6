//! Messages as they are given to a stream, and as it gives them.

use bytes::Bytes;
use myelin_wire::Subject;

use crate::config::Name;
use crate::consumer::Attempt;
use crate::error::StoreError;
use crate::log::{Place, Segment};
use crate::record::{BODY_BYTES_MAX, MessageRecord, Salt};
use crate::stream::{NewMessage, State};

/// A message to store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Publish {
    /// Its subject, which the stream should take.
    pub subject: Subject,
    /// A message of the same id within the stream's window is stored once. At most 255 bytes count.
    pub id: Option<Box<str>>,
    /// Opaque.
    pub headers: Bytes,
    /// Opaque.
    pub payload: Bytes,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// When it may be delivered, in milliseconds since 1970; default: at once.
    pub due_ms: Option<u64>,
    /// It is stored only if this is the last sequence on its subject, 0 for none.
    pub expected_last: Option<u64>,
    /// Everything up to this message was moved, where what has to go for a newer one is a dead letter first; default: nothing.
    pub may_evict_to: u64,
}

/// A message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its place in the stream.
    pub sequence: u64,
    /// Whether it had been stored before, under the same id.
    pub is_duplicate: bool,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the stream.
    pub sequence: u64,
    /// What it was published to.
    pub subject: Subject,
    /// When it was stored, in milliseconds since 1970.
    pub stored_ms: u64,
    /// When it expires, if it does.
    pub expires_ms: Option<u64>,
    /// The id it was published with.
    pub id: Option<Box<str>>,
    /// As published.
    pub headers: Bytes,
    /// As published.
    pub payload: Bytes,
}

/// A message that a consumer was given.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The message; `None` if it cannot be read any more.
    pub message: Option<Stored>,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// How earlier deliveries ended, the latest 32.
    pub attempts: Vec<Attempt>,
}

impl Publish {
    /// A message with nothing but its subject and payload.
    pub fn new(subject: Subject, payload: impl Into<Bytes>) -> Self {
        let (id, headers, payload) = (None, Bytes::new(), payload.into());
        Self { subject, id, headers, payload, expires_ms: None, due_ms: None, expected_last: None, may_evict_to: 0 }
    }

    /// Stores it, unless it is larger than the stream or any record takes. Returns its receipt, and the record to wait for.
    pub(super) fn put(&self, state: &mut State, now_ms: u64) -> Result<(Receipt, u64), StoreError> {
        let bytes = self.payload.len() + self.headers.len();
        if bytes > RECORDED_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, max: RECORDED_BYTES_MAX });
        }
        let max = usize::try_from(state.core.config.message_bytes_max).unwrap_or(usize::MAX);
        if self.payload.len() > max {
            return Err(StoreError::TooLarge { bytes: self.payload.len(), max });
        }
        let message = NewMessage {
            subject: &self.subject,
            id: self.id.as_deref().unwrap_or_default(),
            headers: &self.headers,
            payload: &self.payload,
            expires_ms: self.expires_ms.unwrap_or(0),
            due_ms: self.due_ms.unwrap_or(0),
            expected_last: self.expected_last,
        };
        let stored = state.publish_over(&message, self.may_evict_to, now_ms)?;
        Ok((Receipt { sequence: stored.sequence, is_duplicate: stored.is_duplicate }, stored.lsn))
    }
}

/// Most payload and headers of one message: a record holds them and its own fields.
const RECORDED_BYTES_MAX: usize = BODY_BYTES_MAX - 1024;

/// A message that is there, and perhaps not in memory.
#[derive(Debug)]
pub struct Found(Whereabouts);

#[derive(Debug)]
enum Whereabouts {
    Here(Stored),
    There(Segment, Place, Salt),
}

/// A message that a consumer was given, and that is perhaps not in memory.
#[derive(Debug)]
pub struct Leased {
    pub(super) found: Option<Found>,
    pub(super) sequence: u64,
    pub(super) deliveries: u32,
    pub(super) attempts: Vec<Attempt>,
}

/// A message that is there and that consumers may not have settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsettled {
    /// Its place in the stream.
    pub sequence: u64,
    /// Consumers that want it and have not settled it, each with how its deliveries ended.
    pub consumers: Vec<(Name, Vec<Attempt>)>,
    /// Whether any consumer wants it.
    pub is_wanted: bool,
}

impl Unsettled {
    /// What somebody else than a store of this crate tells of a message.
    #[must_use]
    pub fn new(sequence: u64, consumers: Vec<(Name, Vec<Attempt>)>, is_wanted: bool) -> Self {
        Self { sequence, consumers, is_wanted }
    }
}

impl Found {
    pub(super) fn look(state: &State, sequence: u64) -> Option<Self> {
        let (place, _) = state.core.place_of(sequence)?;
        if let Some(stored) = state.recent.get(sequence) {
            return Some(Self(Whereabouts::Here(stored.clone())));
        }
        Some(Self(Whereabouts::There(state.segment(place.segment)?, place, state.salt())))
    }

    /// Whether [`read`](Self::read) does not need the disk.
    pub fn is_here(&self) -> bool {
        matches!(self.0, Whereabouts::Here(_))
    }

    /// The message; `None` if it is damaged. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(self) -> std::io::Result<Option<Stored>> {
        match self.0 {
            Whereabouts::Here(stored) => Ok(Some(stored)),
            Whereabouts::There(segment, place, salt) => Ok(segment.read(place, salt)?.as_ref().and_then(stored)),
        }
    }
}

impl Leased {
    /// Its place in the stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it was delivered, this time included.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Whether [`read`](Self::read) does not need the disk.
    pub fn is_here(&self) -> bool {
        self.found.as_ref().is_none_or(Found::is_here)
    }

    /// With the message. Blocks for as long as the disk takes.
    pub fn read(self) -> Delivered {
        // What cannot be read is the policy's to settle: the caller sees that there was something.
        let message = self.found.and_then(|found| found.read().unwrap_or_default());
        Delivered { message, sequence: self.sequence, deliveries: self.deliveries, attempts: self.attempts }
    }
}

fn stored(body: &Bytes) -> Option<Stored> {
    let record = MessageRecord::parse(body).ok()?;
    Some(Stored {
        sequence: record.sequence,
        subject: Subject::new(record.subject).ok()?,
        stored_ms: record.stored_ms,
        expires_ms: (record.expires_ms != 0).then_some(record.expires_ms),
        id: (!record.id.is_empty()).then(|| record.id.into()),
        headers: body.slice_ref(record.headers),
        payload: body.slice_ref(record.payload),
    })
}
