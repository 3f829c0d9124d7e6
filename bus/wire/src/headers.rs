//! Headers of a message: names with values, in the order they were given, duplicates included.

use bytes::Bytes;
use thiserror::Error;

use crate::limits::{HEADER_NAME_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX};

/// At most [`HEADERS_MAX`] headers of together at most [`HEADERS_BYTES_MAX`] bytes of names and values.
///
/// Names are compared byte by byte, upper case differs from lower case, as in NATS. No headers cost no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<(Box<str>, Bytes)>,
    bytes: usize,
}

/// Why a header is refused. The headers stay as they were.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The message has [`HEADERS_MAX`] headers already.
    #[error("more than {max} headers")]
    TooMany {
        /// Headers allowed.
        max: usize,
    },
    /// All headers together would be longer than [`HEADERS_BYTES_MAX`].
    #[error("headers of {len} bytes are longer than {max}")]
    TooLarge {
        /// Bytes of all names and values, with the new one.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The name is empty, longer than [`HEADER_NAME_BYTES_MAX`], or not visible ASCII without `:`.
    #[error("header name is not 1 to {HEADER_NAME_BYTES_MAX} visible ascii characters without `:`")]
    Name,
    /// The value contains a line break, which would end the header on a NATS connection.
    #[error("value of header {name:?} has a line break at byte {offset}")]
    Value {
        /// The header's name.
        name: Box<str>,
        /// Where the line break is.
        offset: usize,
    },
}

impl Headers {
    /// No headers.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), bytes: 0 }
    }

    /// Adds a header after all others, also if the name exists already.
    ///
    /// # Errors
    /// See [`HeaderError`].
    pub fn append(&mut self, name: &str, value: impl Into<Bytes>) -> Result<(), HeaderError> {
        let value = value.into();
        if self.entries.len() == HEADERS_MAX {
            return Err(HeaderError::TooMany { max: HEADERS_MAX });
        }
        let visible = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if name.is_empty() || name.len() > HEADER_NAME_BYTES_MAX || !visible {
            return Err(HeaderError::Name);
        }
        if let Some(offset) = value.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            let name = name.into();
            return Err(HeaderError::Value { name, offset });
        }
        let len = self.bytes.saturating_add(name.len()).saturating_add(value.len());
        if len > HEADERS_BYTES_MAX {
            return Err(HeaderError::TooLarge { len, max: HEADERS_BYTES_MAX });
        }
        self.entries.push((name.into(), value));
        self.bytes = len;
        Ok(())
    }

    /// The first value under this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.get_all(name).next()
    }

    /// Every value under this name, in order.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &Bytes> {
        self.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Removes every header of this name and returns how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.entries.len();
        self.entries.retain(|(found, _)| **found != *name);
        self.bytes = self.entries.iter().map(|(name, value)| name.len() + value.len()).sum();
        before - self.entries.len()
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Bytes)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// Number of headers, duplicates included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
