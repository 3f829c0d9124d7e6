//! What crosses a connection that has one payload per message and other users than us.
//!
//! A plain blob without meta travels as it is, so that any NATS client reads and writes it; everything else travels as an
//! envelope. Bytes that start as an envelope does are put into one even if they are a plain blob: so a reader that
//! finds no envelope, or a broken one, knows that the bytes are the message itself.

use bytes::Bytes;

use crate::{Body, EncodeError, Meta, decode_envelope, encode_envelope, envelope::is_tagged, envelope_len};

/// The payload that carries this message. A plain blob is not copied.
///
/// # Errors
/// [`EncodeError::TooLarge`].
pub fn encode_payload(meta: Option<&Meta>, body: &Body) -> Result<Bytes, EncodeError> {
    match as_plain(meta, body) {
        Some(blob) => Ok(blob.clone()),
        None => encode_envelope(meta, body),
    }
}

/// Bytes that [`encode_payload`] makes of this message, without making them.
pub fn payload_len(meta: Option<&Meta>, body: &Body) -> usize {
    as_plain(meta, body).map_or_else(|| envelope_len(meta, body), Bytes::len)
}

/// The message that a payload carries. Whatever is not an envelope is a foreign payload: a blob of just these bytes.
///
/// A blob is not copied. This includes envelopes of a version that this reader does not know, which is why readers are
/// upgraded before writers.
pub fn decode_payload(payload: Bytes) -> (Option<Box<Meta>>, Body) {
    decode_envelope(&payload).unwrap_or_else(|_| (None, Body::Blob(payload)))
}

fn as_plain<'a>(meta: Option<&Meta>, body: &'a Body) -> Option<&'a Bytes> {
    match (meta, body) {
        (None, Body::Blob(blob)) if !is_tagged(blob) => Some(blob),
        _ => None,
    }
}
