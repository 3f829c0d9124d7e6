//! A message and what is known about it as one MessagePack value, for connections that carry a single payload.
//!
//! The value is an array: format tag, id, source, kind, time, correlation, trace context, headers, body. `docs/wire.md`
//! specifies each element and what a reader must accept.
//!
//! What the decoder promises for any input:
//! - *it returns*: no panic, no recursion, work linear in the length of the input;
//! - *nothing is allocated because the input says so*: a declared length is first compared with what is there, a declared
//!   count with its limit;
//! - *a blob is not copied*: it is a slice of the input and keeps the input alive. Frames are copied once, into their
//!   packed form.

mod decode;
mod encode;
mod reader;

use std::fmt;

pub use decode::{DecodeError, decode_envelope};
pub use encode::{EncodeError, encode_envelope, envelope_len};

/// First element of every envelope; the last character is the version of the format.
pub(crate) const TAG: [u8; 4] = [0xa3, b'm', b'y', VERSION];

const VERSION: u8 = b'1';

/// Elements of an envelope of this version.
const ELEMENTS: u8 = 9;

/// Elements that a reader accepts: what follows the ninth is skipped, and the array header stays one byte.
const ELEMENTS_MAX: u8 = 15;

/// Whether `payload` starts as an envelope of any version does. Such bytes are never sent as a bare payload.
pub(crate) fn is_tagged(payload: &[u8]) -> bool {
    match payload.first_chunk::<5>() {
        Some([array, tag @ .., _version]) => array >> 4 == 0x9 && tag == &TAG[..3],
        None => false,
    }
}

/// An element of the envelope, named in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// Id of the message.
    Id,
    /// Id of its sender.
    Source,
    /// What it is for.
    Kind,
    /// When it was made.
    Time,
    /// What it belongs to.
    Correlation,
    /// Its place in a trace.
    Trace,
    /// Names and values.
    Headers,
    /// The blob or the frames.
    Body,
    /// What a later version appended.
    Extension,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Kind => "kind",
            Self::Time => "time",
            Self::Correlation => "correlation",
            Self::Trace => "trace",
            Self::Headers => "headers",
            Self::Body => "body",
            Self::Extension => "extension",
        })
    }
}
