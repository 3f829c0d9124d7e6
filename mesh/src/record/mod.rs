//! A value as it is stored, the same in every store.
//!
//! ```text
//! byte 0   high nibble: encoding of the body (0 plain); low nibble: content type (0 bytes, 1 JSON, 2 MessagePack, 3 text, 15 other)
//! …        content type 15: one byte of length, then the media type
//! …        the body
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::{ContentType, Value};

/// A record that nobody of ours wrote, or that changed since.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RecordError(&'static str);

/// Makes records.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) compress_from_bytes: usize,
}

impl Encoder {
    pub(crate) fn encode(&self, value: &Value) -> Bytes {
        let mut record = BytesMut::with_capacity(value.bytes.len() + 2);
        put_head(&mut record, &value.content_type);
        record.put_slice(&value.bytes);
        record.freeze()
    }
}

/// Reads a record. A plain body shares the bytes of the record.
pub(crate) fn decode(mut record: Bytes) -> Result<Value, RecordError> {
    let content_type = take_head(&mut record)?;
    Ok(Value { bytes: record, content_type })
}

const TYPES: [ContentType; 4] = [ContentType::BYTES, ContentType::JSON, ContentType::MESSAGE_PACK, ContentType::TEXT];
const OTHER: u8 = 15;

fn put_head(record: &mut BytesMut, content_type: &ContentType) {
    match TYPES.iter().position(|known| known == content_type) {
        Some(code) => record.put_u8(code as u8),
        None => {
            let text = content_type.as_str();
            record.put_u8(OTHER);
            record.put_u8(u8::try_from(text.len()).expect("a content type has at most 127 bytes"));
            record.put_slice(text.as_bytes());
        }
    }
}

fn take_head(record: &mut Bytes) -> Result<ContentType, RecordError> {
    let head = take(record, 1)?[0];
    if head >> 4 != 0 {
        return Err(RecordError("an encoding that this version does not know"));
    }
    match head & 15 {
        OTHER => {
            let length = usize::from(take(record, 1)?[0]);
            let text = take(record, length)?;
            let text = str::from_utf8(&text).map_err(|_| RecordError("a content type that is no text"))?;
            ContentType::new(text).map_err(|_| RecordError("a content type that is none"))
        }
        code => TYPES.get(usize::from(code)).cloned().ok_or(RecordError("a content type that this version does not know")),
    }
}

fn take(record: &mut Bytes, bytes: usize) -> Result<Bytes, RecordError> {
    if record.len() < bytes { Err(RecordError("a record that ends too early")) } else { Ok(record.split_to(bytes)) }
}
