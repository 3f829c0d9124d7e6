//! Ids of messages, agents and conversations.

use std::{
    borrow::Borrow,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use thiserror::Error;

use crate::{
    Timestamp,
    limits::{AGENT_ID_BYTES_MAX, CORRELATION_BYTES_MAX},
};

/// Id of one message: 16 bytes, printed and parsed as a UUID.
///
/// Ids made here are UUIDs of version 7: they sort by the time they were made, strictly within one process and to the
/// millisecond across machines, and carry 62 random bits. Ids from elsewhere are any 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId([u8; 16]);

/// Who sent a message: 1 to 255 bytes of text without control characters. Cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(Arc<str>);

/// What ties a message to another, usually a reply to its request: 1 to 255 opaque bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrelationId(Bytes);

/// Why a value is not an id.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdError {
    /// Nothing was given.
    #[error("empty id")]
    Empty,
    /// Longer than the limit.
    #[error("id of {len} bytes is longer than {max}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A control character in an agent id.
    #[error("agent id {id:?} has a control character at byte {offset}")]
    Control {
        /// What was given.
        id: Box<str>,
        /// Where the character is.
        offset: usize,
    },
    /// Text that is not a UUID of 32 hex digits, with or without hyphens.
    #[error("message id is not a uuid")]
    NotUuid,
}

impl MessageId {
    /// A new id for a message made at `now`, greater than every id this process made before, even if the clock went
    /// back.
    pub fn at(now: SystemTime) -> Self {
        /// Milliseconds, and 12 bits of a counter that carries into them.
        static LAST: AtomicU64 = AtomicU64::new(0);
        const MILLIS_MAX: u64 = (1 << 48) - 1;

        let floor = Timestamp::from(now).unix_millis().min(MILLIS_MAX) << 12;
        let next = |last: u64| floor.max(last + 1);
        let ordered = match LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last))) {
            Ok(last) | Err(last) => next(last),
        };

        let version = 7 << 12;
        let upper = (ordered >> 12) << 16 | version | (ordered & 0x0fff);
        let variant = 0b10 << 62;
        let lower = variant | fastrand::u64(..) >> 2;
        Self((u128::from(upper) << 64 | u128::from(lower)).to_be_bytes())
    }

    /// Takes an id made elsewhere.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as bytes, in the order in which ids compare.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.0);
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            id >> 80 & 0xffff,
            id >> 64 & 0xffff,
            id >> 48 & 0xffff,
            id & 0xffff_ffff_ffff,
        )
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MessageId {
    type Err = IdError;

    /// Hyphens are ignored, wherever they are.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut id = 0_u128;
        let mut digits = 0;
        for character in text.chars().filter(|character| *character != '-') {
            let digit = character.to_digit(16).ok_or(IdError::NotUuid)?;
            digits += 1;
            if digits > 32 {
                return Err(IdError::NotUuid);
            }
            id = id << 4 | u128::from(digit);
        }
        if digits == 32 { Ok(Self(id.to_be_bytes())) } else { Err(IdError::NotUuid) }
    }
}

impl AgentId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`IdError::Empty`], [`IdError::TooLong`] or [`IdError::Control`].
    pub fn new(id: &str) -> Result<Self, IdError> {
        check_len(id.len(), AGENT_ID_BYTES_MAX)?;
        match id.char_indices().find(|(_, character)| character.is_control()) {
            Some((offset, _)) => Err(IdError::Control { id: id.into(), offset }),
            None => Ok(Self(id.into())),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for AgentId {
    type Err = IdError;

    fn from_str(id: &str) -> Result<Self, IdError> {
        Self::new(id)
    }
}

impl Borrow<str> for AgentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl CorrelationId {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`IdError::Empty`] or [`IdError::TooLong`].
    pub fn new(id: impl Into<Bytes>) -> Result<Self, IdError> {
        let id = id.into();
        check_len(id.len(), CORRELATION_BYTES_MAX)?;
        Ok(Self(id))
    }

    /// The id as bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// The usual case: a reply names the message it answers.
impl From<MessageId> for CorrelationId {
    fn from(id: MessageId) -> Self {
        Self(Bytes::copy_from_slice(&id.0))
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn check_len(len: usize, max: usize) -> Result<(), IdError> {
    match len {
        0 => Err(IdError::Empty),
        len if len > max => Err(IdError::TooLong { len, max }),
        _ => Ok(()),
    }
}
