//! Answers as JSON.

use std::time::Duration;

use myelin_store::{ConsumerConfig, ConsumerInfo, Stored, StreamConfig, StreamInfo};
use serde_json::{Value, json};

use super::super::error::{ConsumeError, PublishDurableError, StreamError, chain};
use super::super::headers;
use super::super::letters::{Letter, LetterAttempt, ReplayError, Replayed};
use super::super::verbs::Receipt;
use super::asked::{DURABILITIES, ON_FULL, RETENTIONS};
use crate::wire::Filter;

/// Most consumers that are told with their stream; `CONSUMER.LIST` tells the rest.
const CONSUMERS_MAX: usize = 64;

fn word<T: PartialEq>(words: &[(&'static str, T)], meaning: &T) -> &'static str {
    words.iter().find(|(_, other)| other == meaning).map_or("", |(word, _)| word)
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(in super::super) fn config(config: &StreamConfig) -> Value {
    json!({
        "subjects": config.subjects.iter().map(Filter::as_str).collect::<Vec<_>>(),
        "retention": word(&RETENTIONS, &config.retention),
        "messages_max": config.messages_max,
        "bytes_max": config.bytes_max,
        "message_bytes_max": config.message_bytes_max,
        "age_max_ms": config.age_max.map(millis),
        "on_full": word(&ON_FULL, &config.on_full),
        "dedup_window_ms": millis(config.dedup_window),
        "durability": word(&DURABILITIES, &config.durability),
        "dead_letter_expired": config.dead_letter_expired,
        "dead_letter_evicted": config.dead_letter_evicted,
    })
}

pub(in super::super) fn consumer_config(config: &ConsumerConfig) -> Value {
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
        "consumers": info.consumers.iter().take(CONSUMERS_MAX).map(consumer).collect::<Vec<_>>(),
        "more_consumers": info.consumers.len() > CONSUMERS_MAX,
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
    let headers: Vec<_> =
        headers::decode(stored.headers.clone()).into_iter().map(|(name, value)| json!([name, String::from_utf8_lossy(&value)])).collect();
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

/// A dead letter without its payload.
pub(super) fn letter(letter: &Letter) -> Value {
    json!({
        "sequence": letter.sequence,
        "stream": letter.stream,
        "consumer": letter.consumer,
        "stream_sequence": letter.origin,
        "subject": letter.subject,
        "reason": letter.reason,
        "fault": letter.fault,
        "dead_ms": letter.dead_ms,
        "payload_bytes": letter.payload_bytes,
        "replays": letter.replays,
        "attempts": letter.attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

fn attempt(attempt: &LetterAttempt) -> Value {
    json!({ "at_ms": attempt.at_ms, "outcome": attempt.outcome, "error": attempt.error })
}

pub(super) fn replayed(replayed: &Replayed) -> Value {
    match replayed {
        Replayed::Stored(stored) => receipt(stored),
        Replayed::Answered { subject, bytes } => json!({ "answered": { "subject": subject.as_str(), "bytes": bytes } }),
    }
}

pub(super) fn replay_error(cause: &ReplayError) -> Value {
    match cause {
        ReplayError::Letter(cause) => stream_error(cause),
        ReplayError::Refused(cause) => publish_error(cause),
        ReplayError::Unanswered { subject, after } => {
            error("unanswered", true, cause, json!({ "subject": subject.as_str(), "after_ms": millis(*after) }))
        }
    }
}

/// So many workers wait that another one cannot.
pub(super) fn too_many() -> Value {
    json!({ "error": { "code": "too_many", "message": "too many workers wait for messages", "retryable": true } })
}

pub(super) fn answer_too_large(size: usize, max: usize) -> Value {
    let message = format!("the answer has {size} bytes, and the bus carries {max}: ask for less, or for the message as it is (raw)");
    json!({ "error": { "code": "too_large", "message": message, "retryable": false } })
}

fn error(code: &str, retryable: bool, cause: &dyn std::error::Error, facts: Value) -> Value {
    let mut error = json!({ "code": code, "message": chain(cause), "retryable": retryable });
    if let (Value::Object(error), Value::Object(facts)) = (&mut error, facts) {
        error.extend(facts);
    }
    json!({ "error": error })
}

pub(super) fn stream_error(cause: &StreamError) -> Value {
    let (code, facts) = match cause {
        StreamError::NoStore => ("no_store", Value::Null),
        StreamError::NoStream { stream } => ("no_stream", json!({ "stream": stream.as_str() })),
        StreamError::NoConsumer { stream, consumer } => {
            ("no_consumer", json!({ "stream": stream.as_str(), "consumer": consumer.as_str() }))
        }
        StreamError::NoMessage { stream, sequence } => ("no_message", json!({ "stream": stream.as_str(), "sequence": sequence })),
        StreamError::Overlap { other } => ("overlap", json!({ "other": other.as_str() })),
        StreamError::Invalid { field, reason } => ("invalid", json!({ "field": field, "reason": reason })),
        StreamError::StorageFull => ("storage_full", Value::Null),
        StreamError::Unreachable { .. } => ("unreachable", Value::Null),
        StreamError::Closed { stream, cause } => ("closed", json!({ "stream": stream.as_str(), "cause": cause })),
    };
    error(code, cause.is_retryable(), cause, facts)
}

pub(super) fn publish_error(cause: &PublishDurableError) -> Value {
    let (code, facts) = match cause {
        PublishDurableError::NoStream { subject } => ("no_stream", json!({ "subject": subject.as_str() })),
        PublishDurableError::StreamFull { stream, messages, bytes } => {
            ("stream_full", json!({ "stream": stream.as_str(), "messages": messages, "bytes": bytes }))
        }
        PublishDurableError::StorageFull => ("storage_full", Value::Null),
        PublishDurableError::WrongLastSequence { last } => ("wrong_last_sequence", json!({ "last": last })),
        PublishDurableError::TooLarge { size, max } => ("too_large", json!({ "size": size, "max": max })),
        PublishDurableError::Unreachable { .. } => ("unreachable", Value::Null),
        PublishDurableError::Refused { .. } => ("invalid", Value::Null),
        PublishDurableError::Closed { stream, cause } => ("closed", json!({ "stream": stream.as_str(), "cause": cause })),
    };
    error(code, cause.is_retryable(), cause, facts)
}

pub(super) fn consume_error(cause: &ConsumeError) -> Value {
    match cause {
        ConsumeError::Stream(cause) => stream_error(cause),
        ConsumeError::Stale { sequence } => error("stale", false, cause, json!({ "sequence": sequence })),
        ConsumeError::DeadLetter { sequence, .. } => error("dead_letter", cause.is_retryable(), cause, json!({ "sequence": sequence })),
    }
}
