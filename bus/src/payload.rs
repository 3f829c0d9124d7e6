//! Messages as they cross a NATS connection: a blob as it is, frames in an envelope that the next sidecar opens again, headers beside them.

use bytes::Bytes;

use crate::Meta;
use crate::wire::{self, Body, EncodeError};

/// The payload of a body. A blob is not copied.
///
/// # Errors
/// When the frames and their envelope are larger than any payload may be.
pub(crate) fn encode(body: &Body) -> Result<Bytes, EncodeError> {
    wire::encode_payload(None, body)
}

/// The message of a payload that came with `headers`. Those of an envelope, if it is one, stand behind them.
pub(crate) fn decode(payload: Bytes, headers: Vec<(Box<str>, Bytes)>) -> (Option<Box<Meta>>, Body) {
    let (enclosed, body) = wire::decode_payload(payload);
    let mut meta = Meta { headers };
    if let Some(enclosed) = enclosed {
        meta.headers.extend(enclosed.headers.iter().map(|(name, value)| (name.into(), value.clone())));
    }
    ((!meta.headers.is_empty()).then(|| Box::new(meta)), body)
}
