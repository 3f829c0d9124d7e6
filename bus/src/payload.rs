//! Messages as they cross a NATS connection: a blob as it is; frames, and what is known about a message, in an envelope that the next sidecar
//! opens again; headers beside them.

use bytes::Bytes;

use crate::Meta;
use crate::wire::{self, Body, EncodeError};

/// The payload of a body. A blob about which nothing is known but headers is not copied.
///
/// # Errors
/// When the frames and their envelope are larger than any payload may be.
pub(crate) fn encode(meta: Option<&Meta>, body: &Body) -> Result<Bytes, EncodeError> {
    wire::encode_payload(meta.and_then(|meta| meta.envelope.as_deref()), body)
}

/// The message of a payload that came with `headers`.
pub(crate) fn decode(payload: Bytes, headers: Vec<(Box<str>, Bytes)>) -> (Option<Box<Meta>>, Body) {
    let (envelope, body) = wire::decode_payload(payload);
    let is_known = envelope.is_some() || !headers.is_empty();
    (is_known.then(|| Box::new(Meta { headers, envelope })), body)
}
