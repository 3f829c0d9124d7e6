//! A value as it is stored, the same in every store.
//!
//! ```text
//! byte 0   high nibble: encoding of the body (0 plain, 1 deflate with the vocabulary); low nibble: content type (0 bytes, 1 JSON,
//!          2 MessagePack, 3 text, 15 other)
//! …        content type 15: one byte of length, then the media type
//! …        encoding 1: bytes of the body before it was compressed, 7 bits at a time, the lowest first, the high bit: there are more
//! …        the body
//! ```
//!
//! A record has no checksum: a Redis keeps its own, and the embedded store adds one.

mod deflate;
mod offload;
#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) use self::offload::{decode_all, decode_one, encode_all};
use crate::{ContentType, Value, limits};

/// A record that nobody of ours wrote, or that changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RecordError(&'static str);

/// Makes records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoder {
    pub(crate) compress_from_bytes: usize,
}

const TYPES: [ContentType; 4] = [ContentType::BYTES, ContentType::JSON, ContentType::MESSAGE_PACK, ContentType::TEXT];
const OTHER: u8 = 15;
const PLAIN: u8 = 0;
const DEFLATE: u8 = 1;

impl Encoder {
    pub(crate) fn encode(&self, value: &Value) -> Bytes {
        let mut record = BytesMut::with_capacity(value.bytes.len() + 2 + value.content_type.as_str().len());
        if value.bytes.len() >= self.compress_from_bytes {
            put_head(&mut record, DEFLATE, &value.content_type);
            put_length(&mut record, value.bytes.len());
            if deflate::compress(&value.bytes, &mut record) {
                // It waits in queues and caches: what is not used of its memory is given back.
                return Bytes::copy_from_slice(&record);
            }
            record.clear();
        }
        put_head(&mut record, PLAIN, &value.content_type);
        record.put_slice(&value.bytes);
        record.freeze()
    }
}

/// Reads a record. A plain body shares the bytes of the record.
pub(crate) fn decode(mut record: Bytes) -> Result<Value, RecordError> {
    let (encoding, content_type) = take_head(&mut record)?;
    let bytes = match encoding {
        PLAIN => record,
        DEFLATE => {
            let length = take_length(&mut record)?;
            deflate::decompress(&record, length).ok_or(RecordError("a compressed body that makes no sense"))?.into()
        }
        _ => return Err(RecordError("an encoding that this version does not know")),
    };
    Ok(Value { bytes, content_type })
}

/// Bytes that come out of a compressed record; `None`: it is a plain one, or none at all.
pub(crate) fn compressed_bytes(record: &Bytes) -> Option<usize> {
    let mut record = record.clone();
    match take_head(&mut record) {
        Ok((DEFLATE, _)) => take_length(&mut record).ok(),
        Ok(_) | Err(_) => None,
    }
}

fn put_head(record: &mut BytesMut, encoding: u8, content_type: &ContentType) {
    match TYPES.iter().position(|known| known == content_type) {
        Some(code) => record.put_u8(encoding << 4 | code as u8),
        None => {
            let text = content_type.as_str();
            record.put_u8(encoding << 4 | OTHER);
            record.put_u8(u8::try_from(text.len()).expect("a content type has at most 127 bytes"));
            record.put_slice(text.as_bytes());
        }
    }
}

fn take_head(record: &mut Bytes) -> Result<(u8, ContentType), RecordError> {
    let head = take(record, 1)?[0];
    let content_type = match head & 15 {
        OTHER => {
            let length = usize::from(take(record, 1)?[0]);
            let text = take(record, length)?;
            let text = str::from_utf8(&text).map_err(|_| RecordError("a content type that is no text"))?;
            ContentType::new(text).map_err(|_| RecordError("a content type that is none"))?
        }
        code => TYPES.get(usize::from(code)).cloned().ok_or(RecordError("a content type that this version does not know"))?,
    };
    Ok((head >> 4, content_type))
}

fn put_length(record: &mut BytesMut, mut length: usize) {
    while length > 127 {
        record.put_u8(length as u8 | 128);
        length >>= 7;
    }
    record.put_u8(length as u8);
}

fn take_length(record: &mut Bytes) -> Result<usize, RecordError> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let byte = take(record, 1)?[0];
        length |= usize::from(byte & 127) << shift;
        if byte < 128 {
            return if length > limits::VALUE_BYTES_CEILING { Err(RecordError("a body that is too large")) } else { Ok(length) };
        }
    }
    Err(RecordError("a length that is too long"))
}

fn take(record: &mut Bytes, bytes: usize) -> Result<Bytes, RecordError> {
    if record.len() < bytes { Err(RecordError("a record that ends too early")) } else { Ok(record.split_to(bytes)) }
}
