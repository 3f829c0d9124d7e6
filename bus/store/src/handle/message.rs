//! Messages as they are given to a stream, and as it gives them.

use bytes::Bytes;
use myelin_wire::Subject;

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
        Self { subject, id: None, headers: Bytes::new(), payload: payload.into(), expires_ms: None, due_ms: None, expected_last: None }
    }

    /// As the stream's state takes it, unless no record could hold it.
    pub(super) fn as_new(&self) -> Result<NewMessage<'_>, StoreError> {
        let bytes = self.payload.len() + self.headers.len();
        if bytes > RECORDED_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, max: RECORDED_BYTES_MAX });
        }
        Ok(NewMessage {
            subject: &self.subject,
            id: self.id.as_deref().unwrap_or_default(),
            headers: &self.headers,
            payload: &self.payload,
            expires_ms: self.expires_ms.unwrap_or(0),
            due_ms: self.due_ms.unwrap_or(0),
            expected_last: self.expected_last,
        })
    }
}

/// Most payload and headers of one message: a record holds them and its own fields.
const RECORDED_BYTES_MAX: usize = BODY_BYTES_MAX - 1024;

pub(super) fn find(state: &State, sequence: u64) -> Option<(Segment, Place, Salt)> {
    let (place, _) = state.core.place_of(sequence)?;
    Some((state.segment(place.segment)?, place, state.salt()))
}

pub(super) fn load(segment: &Segment, place: Place, salt: Salt) -> std::io::Result<Option<Stored>> {
    let Some(body) = segment.read(place, salt)? else { return Ok(None) };
    Ok(stored(&body))
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
