//! Reads what a sidecar says went wrong, into the errors that a store in this process gives.

use std::time::Duration;

use myelin_store::Name;
use serde_json::Value;

use super::super::error::{ConsumeError, PublishDurableError, StreamError};
use super::super::letters::ReplayError;
use crate::wire::Subject;

/// The fields that [`StreamError::Invalid`] can name; others are said in its reason.
const FIELDS: [&str; 20] = [
    "request",
    "subjects",
    "retention",
    "messages_max",
    "bytes_max",
    "message_bytes_max",
    "age_max_ms",
    "on_full",
    "dedup_window_ms",
    "durability",
    "deliveries_max",
    "in_flight_max",
    "ack_wait",
    "ack_wait_ms",
    "backoff_ms",
    "filter",
    "name",
    "reason",
    "to",
    "sequence",
];

fn code(error: &Value) -> &str {
    error["code"].as_str().unwrap_or_default()
}

fn text(error: &Value, field: &str) -> Box<str> {
    error[field].as_str().or_else(|| error["message"].as_str()).unwrap_or("the sidecar refused").into()
}

fn name(error: &Value, field: &str) -> Option<Name> {
    Name::new(error[field].as_str()?).ok()
}

fn number(error: &Value, field: &str) -> u64 {
    error[field].as_u64().unwrap_or(0)
}

/// The error in an answer, if there is one.
pub(super) fn stream_error(answer: &Value) -> Option<StreamError> {
    let error = answer.get("error")?;
    let unknown = || StreamError::Unreachable { reason: text(error, "message") };
    let known = match code(error) {
        "no_store" => Some(StreamError::NoStore),
        "no_stream" => name(error, "stream").map(|stream| StreamError::NoStream { stream }),
        "no_consumer" => {
            let both = name(error, "stream").zip(name(error, "consumer"));
            both.map(|(stream, consumer)| StreamError::NoConsumer { stream, consumer })
        }
        "no_message" => name(error, "stream").map(|stream| StreamError::NoMessage { stream, sequence: number(error, "sequence") }),
        "overlap" => name(error, "other").map(|other| StreamError::Overlap { other }),
        "invalid" => {
            let field = FIELDS.into_iter().find(|field| error["field"] == *field);
            let reason = text(error, if field.is_some() { "reason" } else { "message" });
            Some(StreamError::Invalid { field: field.unwrap_or("request"), reason })
        }
        "storage_full" => Some(StreamError::StorageFull),
        "unsupported" => {
            Some(StreamError::Unsupported { feature: text(error, "feature"), since: text(error, "since"), server: text(error, "server") })
        }
        "closed" => name(error, "stream").map(|stream| StreamError::Closed { stream, cause: text(error, "cause") }),
        _ => None,
    };
    Some(known.unwrap_or_else(unknown))
}

pub(super) fn publish_error(answer: &Value, subject: &Subject) -> Option<PublishDurableError> {
    let error = answer.get("error")?;
    let size = |field| usize::try_from(number(error, field)).unwrap_or(usize::MAX);
    let known = match code(error) {
        "no_store" | "no_stream" => Some(PublishDurableError::NoStream { subject: subject.clone() }),
        "stream_full" => name(error, "stream").map(|stream| PublishDurableError::StreamFull {
            stream,
            messages: number(error, "messages"),
            bytes: number(error, "bytes"),
        }),
        "storage_full" => Some(PublishDurableError::StorageFull),
        "unsupported" => Some(PublishDurableError::Unsupported {
            feature: text(error, "feature"),
            since: text(error, "since"),
            server: text(error, "server"),
        }),
        "wrong_last_sequence" => Some(PublishDurableError::WrongLastSequence { last: number(error, "last") }),
        "too_large" => Some(PublishDurableError::TooLarge { size: size("size"), max: size("max") }),
        "unreachable" => Some(PublishDurableError::Unreachable { reason: text(error, "message") }),
        "closed" => name(error, "stream").map(|stream| PublishDurableError::Closed { stream, cause: text(error, "cause") }),
        _ => None,
    };
    Some(known.unwrap_or_else(|| PublishDurableError::Refused { reason: text(error, "message") }))
}

pub(super) fn replay_error(answer: &Value) -> Option<ReplayError> {
    let error = answer.get("error")?;
    let subject = || Subject::new(error["subject"].as_str().unwrap_or_default()).ok();
    let of_publish = ["stream_full", "wrong_last_sequence", "too_large"].contains(&code(error));
    match (code(error), subject()) {
        ("unanswered", Some(subject)) => Some(ReplayError::Unanswered { subject, after: Duration::from_millis(number(error, "after_ms")) }),
        ("no_stream", Some(subject)) => publish_error(answer, &subject).map(ReplayError::Refused),
        // No subject is named: the errors of a publish that have none do not need one.
        _ if of_publish => publish_error(answer, &Subject::new("none").ok()?).map(ReplayError::Refused),
        _ => stream_error(answer).map(ReplayError::Letter),
    }
}

pub(super) fn consume_error(answer: &Value) -> Option<ConsumeError> {
    let error = answer.get("error")?;
    let sequence = number(error, "sequence");
    match code(error) {
        "stale" => Some(ConsumeError::Stale { sequence }),
        "dead_letter" => {
            let cause = PublishDurableError::Refused { reason: text(error, "message") };
            Some(ConsumeError::DeadLetter { sequence, cause: Box::new(cause) })
        }
        _ => stream_error(answer).map(ConsumeError::Stream),
    }
}
