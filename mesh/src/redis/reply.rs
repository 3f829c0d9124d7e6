//! Reads what scripts answer. Anything else than expected is damage, never a panic.

use crate::store::StoreError;
use crate::{Key, Revision};
use bytes::Bytes;
use redis::Value;

pub(super) fn damaged(what: &str, value: &Value) -> StoreError {
    // The value itself stays out of the message: it may be long, and may be nobody's business.
    let kind = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "a text",
        Value::Array(_) => "a list",
        Value::ServerError(_) => "an error",
        _ => "something else",
    };
    StoreError::Damaged(format!("{what} was expected, and there was {kind}").into())
}

pub(super) fn list(value: Value) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(list) | Value::Set(list) => Ok(list),
        other => Err(damaged("a list", &other)),
    }
}

pub(super) fn number(value: &Value) -> Result<i64, StoreError> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::BulkString(text) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| damaged("a number", value))
        }
        other => Err(damaged("a number", other)),
    }
}

pub(super) fn count(value: &Value) -> Result<u64, StoreError> {
    u64::try_from(number(value)?).map_err(|_| damaged("a count", value))
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(damaged("bytes", &other)),
    }
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|_| StoreError::Damaged("a text that is none".into()))
}

pub(super) fn key(value: Value) -> Result<Key, StoreError> {
    Key::new(&text(value)?).map_err(|error| StoreError::Damaged(error.to_string().into()))
}

pub(super) fn revision(bytes: &[u8]) -> Result<Revision, StoreError> {
    bytes.try_into().map(Revision::from_bytes).map_err(|_| StoreError::Damaged("a revision that is none".into()))
}

/// Two values out of a list of two.
pub(super) fn pair(value: Value) -> Result<(Value, Value), StoreError> {
    let mut list = list(value)?.into_iter();
    match (list.next(), list.next(), list.next()) {
        (Some(first), Some(second), None) => Ok((first, second)),
        _ => Err(StoreError::Damaged("two values were expected".into())),
    }
}

/// An entry as it lies there: revision, the time at which it expires, record.
pub(super) struct Laid {
    pub(super) revision: Revision,
    /// Milliseconds since 1970 by the clock of the node; `None`: never.
    pub(super) expires_ms: Option<u64>,
    pub(super) record: Bytes,
}

pub(super) const LAID_HEAD: usize = Revision::BYTES + 8;

pub(super) fn laid(value: Value) -> Result<Option<Laid>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    let mut record = Bytes::from(bytes(value)?);
    if record.len() < LAID_HEAD {
        return Err(StoreError::Damaged("an entry that is too short".into()));
    }
    let head = record.split_to(LAID_HEAD);
    let (first, last) = head.split_at(Revision::BYTES);
    let expires_ms = last.iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
    Ok(Some(Laid { revision: revision(first)?, expires_ms: (expires_ms > 0).then_some(expires_ms), record }))
}
