//! Reads what a sidecar tells about streams and messages.

use std::time::Duration;

use bytes::Bytes;
use myelin_store::{Attempt, ConsumerInfo, Delivered, Name, Outcome, Stored, StreamInfo};
use serde_json::Value;

use super::super::api::{asked, options};
use super::super::error::StreamError;
use super::super::headers;
use super::super::letters::Replayed;
use super::super::verbs::Receipt;
use super::header;
use crate::wire::{Body, Subject};
use crate::{Message, payload};

fn unreadable(what: &str) -> StreamError {
    StreamError::Unreachable { reason: format!("cannot read the answer: {what}").into() }
}

pub(super) fn bytes(body: &Body) -> Bytes {
    match body {
        Body::Blob(blob) => blob.clone(),
        Body::Frames(frames) => frames.first(),
    }
}

pub(super) fn json(body: &Body) -> Result<Value, StreamError> {
    serde_json::from_slice(&bytes(body)).map_err(|error| unreadable(&error.to_string()))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The server's word that nobody takes such requests.
pub(super) fn is_no_responders(message: &Message) -> bool {
    message.meta.as_ref().and_then(|meta| meta.header("Status")).is_some_and(|status| status.starts_with(b"503"))
}

fn name(value: &Value) -> Result<Name, StreamError> {
    Name::new(value.as_str().unwrap_or_default()).map_err(|error| unreadable(&error.to_string()))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

pub(super) fn stream(told: &Value) -> Result<StreamInfo, StreamError> {
    Ok(StreamInfo {
        config: asked::stream_config(name(&told["name"])?, told["config"].to_string().as_bytes())?,
        messages: number(&told["messages"]),
        bytes: number(&told["bytes"]),
        disk_bytes: number(&told["disk_bytes"]),
        first_sequence: number(&told["first_sequence"]),
        last_sequence: number(&told["last_sequence"]),
        first_ms: told["first_ms"].as_u64(),
        subjects: usize::try_from(number(&told["subjects"])).unwrap_or(usize::MAX),
        evicted: number(&told["evicted"]),
        expired: number(&told["expired"]),
        removed: number(&told["removed"]),
        ids_forgotten: number(&told["ids_forgotten"]),
        is_disk_full: told["is_disk_full"] == true,
        consumers: told["consumers"].as_array().into_iter().flatten().map(consumer).collect::<Result<_, _>>()?,
    })
}

pub(super) fn consumer(told: &Value) -> Result<ConsumerInfo, StreamError> {
    Ok(ConsumerInfo {
        config: asked::consumer_config(name(&told["name"])?, told["config"].to_string().as_bytes())?,
        waiting: number(&told["waiting"]),
        in_flight: usize::try_from(number(&told["in_flight"])).unwrap_or(usize::MAX),
        oldest_pending: told["oldest_pending"].as_u64(),
        oldest_ms: told["oldest_ms"].as_u64(),
        delivered: number(&told["delivered"]),
        redelivered: number(&told["redelivered"]),
        acked: number(&told["acked"]),
    })
}

pub(super) fn receipt(told: &Value) -> Result<Receipt, StreamError> {
    Ok(Receipt::new(name(&told["stream"])?, number(&told["sequence"]), told["duplicate"] == true))
}

/// That somebody answered a request that was dead, if that is what this says.
pub(super) fn answered(told: &Value) -> Option<Replayed> {
    let subject = Subject::new(told["answered"]["subject"].as_str()?).ok()?;
    Some(Replayed::Answered { subject, bytes: number(&told["answered"]["bytes"]) })
}

/// A stored message, if that is what this is: what its stream knows of it is in headers.
pub(super) fn stored(message: &Message) -> Option<Stored> {
    let meta = message.meta.as_deref()?;
    let text = |name: &str| header(&meta.headers, name);
    let own: Vec<_> = meta.headers.iter().filter(|(name, _)| !options::is_passing(name)).cloned().collect();
    Some(Stored {
        sequence: text(options::SEQUENCE)?.parse().ok()?,
        subject: Subject::new(&text(options::SUBJECT)?).ok()?,
        stored_ms: text(options::STORED)?.parse().ok()?,
        expires_ms: text(options::EXPIRES).and_then(|text| text.parse().ok()),
        id: text(options::ID).map(String::into_boxed_str),
        headers: headers::encode(&own),
        payload: payload::encode(Some(meta), &message.body).ok()?,
    })
}

pub(super) fn delivered(message: &Message) -> Option<Delivered> {
    let stored = stored(message)?;
    let headers = &message.meta.as_deref()?.headers;
    let attempts: Value = serde_json::from_str(&header(headers, options::ATTEMPTS).unwrap_or_default()).unwrap_or_default();
    Some(Delivered {
        sequence: stored.sequence,
        deliveries: header(headers, options::DELIVERIES)?.parse().ok()?,
        attempts: attempts.as_array().into_iter().flatten().filter_map(attempt).collect(),
        message: Some(stored),
    })
}

fn attempt(told: &Value) -> Option<Attempt> {
    const OUTCOMES: [Outcome; 5] = [Outcome::Nak, Outcome::Term, Outcome::AckWaitExpired, Outcome::WorkerGone, Outcome::Restart];
    let outcome = OUTCOMES.into_iter().find(|outcome| told["outcome"] == outcome.as_str())?;
    Some(Attempt { at_ms: number(&told["at_ms"]), outcome, error: told["error"].as_str().unwrap_or_default().into() })
}
