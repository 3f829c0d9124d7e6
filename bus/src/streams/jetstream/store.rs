//! Storing a message.
//!
//! Per message: one publish with a reply address of the client's, and its answer. Many wait for theirs at a time; who is beyond
//! [`PUBLISHES_MAX`](super::PUBLISHES_MAX) waits for one of them, so a slow server is felt by its publishers.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use myelin_store::{Attempt, Name, StreamConfig};
use tokio::time::{Instant, timeout};

use super::super::dead;
use super::super::engine::Record;
use super::super::error::{PublishDurableError, StreamError, chain};
use super::super::step::{self, Step};
use super::super::verbs::Receipt;
use super::{JetStream, PATIENCE, delay, headers, info, own_name, read};
use crate::engine::Feature;

/// What the server says when a stream holds as much as it may; it has one number for all its reasons not to store.
const FULL: [&str; 3] = ["maximum messages exceeded", "maximum bytes exceeded", "maximum messages per subject exceeded"];

/// A number of the server's that its client has no name for: a message of the same id is being stored.
const DUPLICATE_IN_PROCESS: u64 = 10_158;
/// Between two looks whether it is.
const IN_PROCESS: Duration = Duration::from_millis(10);

/// Between two tries while nobody leads a stream.
const NO_LEADER: Duration = Duration::from_millis(50);

/// Stores a message. The future is small: those of hundreds of publishes at a time are moved and polled together, and what few of them need is apart.
pub(super) async fn store(engine: &JetStream, record: &Record) -> Result<Receipt, PublishDurableError> {
    let mut failure = None;
    if record.ttl.is_none() && record.delay.is_none() && engine.is_connected() {
        // Without room in the client for a large one it waits for some.
        if let Ok(payload) = engine.0.room.try_enter(record.payload.clone()) {
            match publish(engine, record.subject.as_str(), headers_of(record), payload).await {
                Ok(stored) => return receipt(&stored),
                Err(error) => failure = Some(error),
            }
        }
    }
    Box::pin(store_with_patience(engine, record, failure)).await
}

fn headers_of(record: &Record) -> HeaderMap {
    let mut map = headers::of_record(&record.headers);
    if let Some(id) = &record.id {
        map.insert(header::NATS_MESSAGE_ID, &**id);
    }
    if let Some(last) = record.expected_last {
        map.insert(header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
    }
    map
}

/// Stores a message that takes more than one publish, or that failed in a way that may pass: `failure`.
async fn store_with_patience(
    engine: &JetStream,
    record: &Record,
    mut failure: Option<PublishError>,
) -> Result<Receipt, PublishDurableError> {
    engine.connected().await.map_err(|reason| PublishDurableError::Unreachable { reason })?;
    let mut map = headers_of(record);
    let mut subject = record.subject.as_str().to_owned();
    let mut delayed_for = None;
    if record.ttl.is_some() || record.delay.is_some() {
        let stream = taker(engine, record).await?;
        let kept = record.ttl.map(|ttl| limit(engine, &stream, &mut map, record.delay.unwrap_or_default() + ttl)).transpose();
        let kept = kept.map_err(|error| refused(record, error))?;
        match record.delay {
            Some(delay) => {
                subject = delay::schedule(engine, &stream, record, &mut map, delay, kept).await?;
                delayed_for = Some(stream.name);
            }
            None => kept.into_iter().for_each(|kept| map.insert(header::NATS_MESSAGE_TTL, format!("{}s", kept.as_secs()))),
        }
    }
    let end = Instant::now() + PATIENCE;
    let stored = loop {
        let unwritten = |_| PublishDurableError::Unreachable { reason: "the connection does not keep up".into() };
        let outcome = match failure.take() {
            Some(error) => Err(error),
            None => {
                let payload = timeout(PATIENCE, engine.0.room.enter(record.payload.clone())).await.map_err(unwritten)?;
                publish(engine, &subject, map.clone(), payload).await
            }
        };
        match outcome {
            Ok(stored) => break stored,
            // The servers of a cluster are storing one of the same id just now, for somebody else: soon it is there, or not.
            Err(error) if is_in_process(&error) && Instant::now() < end => tokio::time::sleep(IN_PROCESS).await,
            // Nobody was there to store it; somebody is soon where a stream takes it, once its servers have chosen who leads.
            Err(error) if error.kind() == PublishErrorKind::StreamNotFound => match unanswered(engine, record).await {
                PublishDurableError::Unreachable { .. } if Instant::now() < end => tokio::time::sleep(NO_LEADER).await,
                error => return Err(error),
            },
            Err(error) => match (failed(engine, record, &error).await, record.expected_last) {
                // The servers of a cluster do not say which is the last; it may be one that is being stored, and never will be.
                (PublishDurableError::WrongLastSequence { last: 0 }, Some(expected)) => match last(engine, record).await? {
                    last if last != expected => return Err(PublishDurableError::WrongLastSequence { last }),
                    _ if Instant::now() >= end => {
                        let reason = "another publish on this subject does not come to an end";
                        return Err(PublishDurableError::Unreachable { reason: reason.into() });
                    }
                    _ => tokio::time::sleep(IN_PROCESS).await,
                },
                (error, _) => return Err(error),
            },
        }
    };
    if let Some(stream) = delayed_for {
        // Its place in the stream is given when it is due.
        return Ok(Receipt::new(stream, stored.sequence, stored.duplicate));
    }
    receipt(&stored)
}

fn receipt(stored: &PublishAck) -> Result<Receipt, PublishDurableError> {
    let stream = own_name(&stored.stream).or_else(|| Name::new(&stored.stream).ok());
    let stream = stream.ok_or_else(|| PublishDurableError::Refused {
        reason: format!("it is stored in {:?}, which has no name that can be said here", stored.stream).into(),
    })?;
    Ok(Receipt::new(stream, stored.sequence, stored.duplicate))
}

async fn publish(engine: &JetStream, subject: &str, map: HeaderMap, payload: Bytes) -> Result<PublishAck, PublishError> {
    let message = PublishMessage::build().payload(payload);
    // Without any, the server has none to read and to keep.
    let message = if map.is_empty() { message } else { message.headers(map) };
    let sent = engine.0.context.send_publish(subject.to_owned(), message).await?;
    if dead::is_letter(subject) {
        step::passed(Step::LetterSent).await;
    }
    sent.await
}

fn server_error(error: &PublishError) -> Option<&async_nats::jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn is_in_process(error: &PublishError) -> bool {
    server_error(error).is_some_and(|error| error.error_code().0 == DUPLICATE_IN_PROCESS)
}

/// The last sequence on a message's subject, 0 for none.
async fn last(engine: &JetStream, record: &Record) -> Result<u64, PublishDurableError> {
    let stream = taker(engine, record).await?.name;
    let last = read::last(engine, &stream, record.subject.as_str()).await.map_err(|error| refused(record, error))?;
    Ok(last.map_or(0, |message| message.sequence))
}

/// The stream that a message goes to.
async fn taker(engine: &JetStream, record: &Record) -> Result<StreamConfig, PublishDurableError> {
    let found = info::taker(engine, record.subject.as_str()).await.map_err(|error| refused(record, error))?;
    found.ok_or_else(|| PublishDurableError::NoStream { subject: record.subject.clone() })
}

fn limit(engine: &JetStream, stream: &StreamConfig, map: &mut HeaderMap, ttl: Duration) -> Result<Duration, StreamError> {
    engine.require(Feature::TTL)?;
    Ok(headers::expire(map, stream, Attempt::now_ms(), ttl))
}

pub(super) fn refused(record: &Record, error: StreamError) -> PublishDurableError {
    match error {
        StreamError::NoStream { .. } | StreamError::NoStore => PublishDurableError::NoStream { subject: record.subject.clone() },
        StreamError::Unreachable { reason } => PublishDurableError::Unreachable { reason },
        StreamError::Unsupported { feature, since, server } => PublishDurableError::Unsupported { feature, since, server },
        other => PublishDurableError::Refused { reason: other.to_string().into() },
    }
}

async fn failed(engine: &JetStream, record: &Record, error: &PublishError) -> PublishDurableError {
    let server = server_error(error);
    let text = server.map(ToString::to_string).unwrap_or_default();
    let max = engine.0.client.max_payload();
    match (error.kind(), server.map(async_nats::jetstream::Error::error_code)) {
        (PublishErrorKind::WrongLastSequence, _) => PublishDurableError::WrongLastSequence { last: number_in(&text) },
        (PublishErrorKind::MaxPayloadExceeded, _) => PublishDurableError::TooLarge { size: record.payload.len(), max },
        (_, Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)) => {
            let config = info::taker(engine, record.subject.as_str()).await.ok().flatten();
            let max = config.map_or(max, |config| usize::try_from(config.message_bytes_max).unwrap_or(max).min(max));
            PublishDurableError::TooLarge { size: record.payload.len(), max }
        }
        (_, Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)) => {
            PublishDurableError::WrongLastSequence { last: number_in(&text) }
        }
        (_, Some(ErrorCode::STORAGE_RESOURCES_EXCEEDED | ErrorCode::INSUFFICIENT_RESOURCES)) => PublishDurableError::StorageFull,
        // Who was asked does not lead the stream any more.
        (_, Some(ErrorCode::CLUSTER_NOT_AVAILABLE | ErrorCode::CLUSTER_NOT_LEADER)) => {
            PublishDurableError::Unreachable { reason: text.into() }
        }
        (_, Some(_)) if FULL.iter().any(|full| text.contains(full)) => full(engine, record).await,
        (_, Some(_)) => PublishDurableError::Refused { reason: text.into() },
        (_, None) => PublishDurableError::Unreachable { reason: chain(error).into() },
    }
}

/// Nobody answered: no stream stores the subject, or the one that does has nobody who leads it just now.
async fn unanswered(engine: &JetStream, record: &Record) -> PublishDurableError {
    match info::takers(engine, record.subject.as_str()).await {
        Err(error) => refused(record, error),
        Ok(takers) if takers.is_empty() => PublishDurableError::NoStream { subject: record.subject.clone() },
        // Not asked for more: one that is just being made is listed before it is there.
        Ok(takers) => PublishDurableError::Unreachable { reason: format!("nobody leads {takers:?} now").into() },
    }
}

/// How much is in it has to be asked for.
async fn full(engine: &JetStream, record: &Record) -> PublishDurableError {
    let Ok(Some(config)) = info::taker(engine, record.subject.as_str()).await else {
        return PublishDurableError::Refused { reason: "the stream is full".into() };
    };
    let (messages, bytes) = info::raw(engine, &config.name).await.map_or((0, 0), |info| (info.state.messages, info.state.bytes));
    PublishDurableError::StreamFull { stream: config.name, messages, bytes }
}

/// The server says the last sequence in its text, behind `sequence: `; some of its versions do not.
fn number_in(text: &str) -> u64 {
    let digits = text.split("sequence: ").nth(1).unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
