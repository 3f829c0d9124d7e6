//! Answers as JSON.

use std::time::Duration;

use myelin_store::{ConsumerConfig, ConsumerInfo, Stored, StreamConfig, StreamInfo};
use serde_json::{Value, json};

use super::super::error::{ConsumeError, PublishDurableError, StreamError, chain};
use super::super::headers;
use super::super::verbs::Receipt;
use super::asked::{DURABILITIES, ON_FULL, RETENTIONS};
use crate::wire::Filter;

fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, other)| other == meaning).map_or("", |(word, _)| word)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn config(config: &StreamConfig) -> Value {
    json!({
        "subjects": config.subjects.iter().map(Filter::as_str).collect::<Vec<_>>(),
        "retention": word(&RETENTIONS, &config.retention),
        "messages_max": config.messages_max,
        "bytes_max": config.bytes_max,
        "age_max_ms": config.age_max.map(millis),
        "on_full": word(&ON_FULL, &config.on_full),
        "dedup_window_ms": millis(config.dedup_window),
        "durability": word(&DURABILITIES, &config.durability),
        "dead_letter_expired": config.dead_letter_expired,
    })
}

fn consumer_config(config: &ConsumerConfig) -> Value {
    json!({
        "filter": config.filter.as_ref().map(Filter::as_str),
        "in_flight_max": config.in_flight_max,
        "ack_wait_ms": millis(config.ack_wait),
        "deliveries_max": config.deliveries_max,
        "backoff_ms": config.backoff.iter().copied().map(millis).collect::<Vec<_>>(),
    })
}

pub(super) fn stream(info: &StreamInfo) -> Value {
    json!({
        "name": info.config.name.as_str(),
        "config": config(&info.config),
        "messages": info.messages,
        "bytes": info.bytes,
        "disk_bytes": info.disk_bytes,
        "first_sequence": info.first_sequence,
        "last_sequence": info.last_sequence,
        "first_ms": info.first_ms,
        "subjects": info.subjects,
        "evicted": info.evicted,
        "expired": info.expired,
        "removed": info.removed,
        "ids_forgotten": info.ids_forgotten,
        "is_disk_full": info.is_disk_full,
        "consumers": info.consumers.iter().map(consumer).collect::<Vec<_>>(),
    })
}

pub(super) fn consumer(info: &ConsumerInfo) -> Value {
    json!({
        "name": info.config.name.as_str(),
        "config": consumer_config(&info.config),
        "waiting": info.waiting,
        "in_flight": info.in_flight,
        "oldest_pending": info.oldest_pending,
        "oldest_ms": info.oldest_ms,
        "delivered": info.delivered,
        "redelivered": info.redelivered,
        "acked": info.acked,
    })
}

pub(super) fn receipt(receipt: &Receipt) -> Value {
    json!({ "stream": receipt.stream.as_str(), "sequence": receipt.sequence, "duplicate": receipt.is_duplicate })
}

/// A stored message; its payload as text where it is one, else in hexadecimal.
pub(super) fn stored(stored: &Stored) -> Value {
    let headers: Vec<_> = headers::decode(stored.headers.clone())
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let (text, hex) = match str::from_utf8(&stored.payload) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(stored.payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
    };
    json!({
        "sequence": stored.sequence,
        "subject": stored.subject.as_str(),
        "stored_ms": stored.stored_ms,
        "expires_ms": stored.expires_ms,
        "id": stored.id,
        "headers": headers,
        "payload": text,
        "payload_hex": hex,
        "payload_bytes": stored.payload.len(),
    })
}

fn error(code: &str, retryable: bool, cause: &dyn std::error::Error) -> Value {
    json!({ "error": { "code": code, "message": chain(cause), "retryable": retryable } })
}

pub(super) fn stream_error(cause: &StreamError) -> Value {
    let code = match cause {
        StreamError::NoStore => "no_store",
        StreamError::NoStream { .. } => "no_stream",
        StreamError::NoConsumer { .. } => "no_consumer",
        StreamError::Overlap { .. } => "overlap",
        StreamError::Invalid { .. } => "invalid",
        StreamError::StorageFull => "storage_full",
        StreamError::Closed { .. } => "closed",
    };
    error(code, cause.is_retryable(), cause)
}

pub(super) fn publish_error(cause: &PublishDurableError) -> Value {
    let code = match cause {
        PublishDurableError::NoStream { .. } => "no_stream",
        PublishDurableError::StreamFull { .. } => "stream_full",
        PublishDurableError::StorageFull => "storage_full",
        PublishDurableError::WrongLastSequence { .. } => "wrong_last_sequence",
        PublishDurableError::TooLarge { .. } => "too_large",
        PublishDurableError::Closed { .. } => "closed",
    };
    error(code, cause.is_retryable(), cause)
}

pub(super) fn consume_error(cause: &ConsumeError) -> Value {
    match cause {
        ConsumeError::Stream(cause) => stream_error(cause),
        ConsumeError::Stale { .. } => error("stale", false, cause),
        ConsumeError::DeadLetter { .. } => error("dead_letter", cause.is_retryable(), cause),
    }
}
