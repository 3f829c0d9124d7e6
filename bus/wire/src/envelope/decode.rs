//! Reading envelopes, from whoever sent them.

use bytes::Bytes;
use rmp::Marker;
use thiserror::Error;

use super::{ELEMENTS, ELEMENTS_MAX, Field, TAG, VERSION, is_tagged, reader::Reader};
use crate::{
    AgentId, Body, CorrelationId, Frames, Headers, Kind, MessageId, Meta, Timestamp, TraceContext,
    frames::{Packer, header_len},
    limits::{FRAMES_MAX, HEADERS_MAX},
};

/// Why bytes are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They do not start with an array and our tag.
    #[error("not an envelope")]
    NotEnvelope,
    /// They start with our tag in a version that this reader does not know.
    #[error("envelope of unknown version {version:#04x}")]
    UnknownVersion {
        /// The last byte of the tag.
        version: u8,
    },
    /// They end inside the value that starts, or whose content starts, at this offset.
    #[error("envelope truncated in the value at byte {offset}")]
    Truncated {
        /// Where that value is.
        offset: usize,
    },
    /// An element is of another MessagePack type.
    #[error("{field} of an envelope has a value of type {found:#04x}")]
    WrongType {
        /// Which element.
        field: Field,
        /// First byte of the value found.
        found: u8,
    },
    /// An array declares more elements than its limit.
    #[error("{field} of an envelope has {count} entries, and the limit is {max}")]
    OverLimit {
        /// Which element.
        field: Field,
        /// Entries declared.
        count: u32,
        /// Entries allowed.
        max: u32,
    },
    /// An element has the right type and a value that is not allowed.
    #[error("{field} of an envelope has an invalid value")]
    Invalid {
        /// Which element.
        field: Field,
    },
    /// Bytes follow the envelope.
    #[error("{extra} bytes after the envelope")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

/// Reads an envelope: what it says about the message, if anything, and the body.
///
/// A blob, and every value that is kept as bytes, is a slice of `input`: nothing of it is copied, and `input` stays alive
/// as long as any of them. Frames are copied into packed form.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_envelope(input: &Bytes) -> Result<(Option<Box<Meta>>, Body), DecodeError> {
    if !is_tagged(input) {
        return Err(DecodeError::NotEnvelope);
    }
    let head = 1 + TAG.len();
    let version = input[head - 1];
    if version != VERSION {
        return Err(DecodeError::UnknownVersion { version });
    }
    // The low half of the first byte is the number of elements.
    let elements = input[0] & 0x0f;
    if !(ELEMENTS..=ELEMENTS_MAX).contains(&elements) {
        return Err(DecodeError::NotEnvelope);
    }

    let mut reader = Reader::new(input, head);
    let meta = read_meta(&mut reader)?;
    let body = read_body(&mut reader)?;
    for _ in ELEMENTS..elements {
        reader.skip(Field::Extension)?;
    }
    match reader.left() {
        0 => Ok((meta, body)),
        extra => Err(DecodeError::Trailing { extra }),
    }
}

fn read_meta(reader: &mut Reader<'_>) -> Result<Option<Box<Meta>>, DecodeError> {
    if reader.nil() {
        // A message without an id has no meta at all.
        let all_nil = (3..ELEMENTS).all(|_| reader.nil());
        return if all_nil { Ok(None) } else { Err(DecodeError::Invalid { field: Field::Id }) };
    }
    let id = reader.bin(Field::Id)?.try_into().map_err(|_| DecodeError::Invalid { field: Field::Id })?;
    let source = optional(reader, read_source)?;
    let kind = reader.uint(Field::Kind)?;
    let kind = u8::try_from(kind).map_err(|_| DecodeError::Invalid { field: Field::Kind })?;
    let time = reader.uint(Field::Time)?;
    let correlation = optional(reader, read_correlation)?;
    let trace = optional(reader, read_trace)?;
    let headers = optional(reader, read_headers)?.unwrap_or_default();
    Ok(Some(Box::new(Meta {
        id: MessageId::from_bytes(id),
        source,
        kind: Kind::from_u8(kind),
        time: Timestamp::from_unix_micros(time),
        correlation,
        trace,
        headers,
    })))
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if reader.nil() { Ok(None) } else { read(reader).map(Some) }
}

fn read_source(reader: &mut Reader<'_>) -> Result<AgentId, DecodeError> {
    let field = Field::Source;
    AgentId::new(reader.text(field)?).map_err(|_| DecodeError::Invalid { field })
}

fn read_correlation(reader: &mut Reader<'_>) -> Result<CorrelationId, DecodeError> {
    let field = Field::Correlation;
    CorrelationId::new(reader.bin_shared(field)?).map_err(|_| DecodeError::Invalid { field })
}

fn read_trace(reader: &mut Reader<'_>) -> Result<TraceContext, DecodeError> {
    let invalid = DecodeError::Invalid { field: Field::Trace };
    let bytes = reader.bin(Field::Trace)?.try_into().map_err(|_| invalid)?;
    TraceContext::from_bytes(bytes).map_err(|_| invalid)
}

fn read_headers(reader: &mut Reader<'_>) -> Result<Headers, DecodeError> {
    let field = Field::Headers;
    let max = u32::try_from(HEADERS_MAX).expect("64 fits");
    let mut headers = Headers::new();
    for _ in 0..reader.array(field, max)? {
        if reader.array(field, 2)? != 2 {
            return Err(DecodeError::Invalid { field });
        }
        let name = reader.text(field)?;
        let value = reader.text_or_bin_shared(field)?;
        headers.append(name, value).map_err(|_| DecodeError::Invalid { field })?;
    }
    Ok(headers)
}

fn read_body(reader: &mut Reader<'_>) -> Result<Body, DecodeError> {
    match reader.peek()? {
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => read_frames(reader).map(Body::Frames),
        _ => reader.bin_shared(Field::Body).map(Body::Blob),
    }
}

fn read_frames(reader: &mut Reader<'_>) -> Result<Frames, DecodeError> {
    let field = Field::Body;
    let count = reader.array(field, FRAMES_MAX)?;

    // Looks through first: what is allocated is what is there, and only once it is all there.
    let mut ahead = reader.clone();
    let mut packed_len = 0;
    for _ in 0..count {
        let len = ahead.bin(field)?.len();
        packed_len += header_len(len) + len;
    }

    let mut packer = Packer::with_capacity(packed_len);
    for _ in 0..count {
        packer.push(reader.bin(field)?).ok_or(DecodeError::Invalid { field })?;
    }
    packer.finish().ok_or(DecodeError::Invalid { field })
}
