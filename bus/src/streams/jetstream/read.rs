//! Reading messages beside any consumer. The stream's leader answers, so that what was acknowledged is seen.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessage;
use futures_util::StreamExt;
use myelin_store::{Name, Stored, StreamConfig};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::{StreamError, chain};
use super::headers::{self, Held};
use super::settings::EVERYTHING;
use super::{JetStream, PATIENCE, server_name};
use crate::wire::Filter;

/// Most messages of one batch, and most of their bytes, which are read in passing and not kept.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

pub(super) async fn get(engine: &JetStream, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
    let config = super::info::config(engine, stream).await?;
    let Some(message) = look(engine, stream, &json!({ "seq": sequence })).await? else { return Ok(None) };
    Ok(held(&message).stored(Some(&config)))
}

/// The first message at or behind `from` costs one request, and so does each after it.
pub(super) async fn sequences(
    engine: &JetStream,
    stream: &Name,
    mut from: u64,
    max: usize,
    filter: Option<&Filter>,
) -> Result<Vec<u64>, StreamError> {
    let wanted = filter.map_or(EVERYTHING, Filter::as_str);
    let mut found = Vec::new();
    while found.len() < max {
        let Some(message) = look(engine, stream, &json!({ "seq": from.max(1), "next_by_subj": wanted })).await? else { break };
        found.push(message.sequence);
        from = message.sequence + 1;
    }
    Ok(found)
}

/// Whether a message is still there.
pub(super) async fn is_there(engine: &JetStream, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
    Ok(look(engine, stream, &json!({ "seq": sequence })).await?.is_some())
}

/// The last message on a subject.
pub(super) async fn last(engine: &JetStream, stream: &Name, subject: &str) -> Result<Option<StreamMessage>, StreamError> {
    look(engine, stream, &json!({ "last_by_subj": subject })).await
}

/// The first message at or behind `from` that a filter takes.
pub(super) async fn next(
    engine: &JetStream,
    stream: &Name,
    from: u64,
    filter: Option<&Filter>,
) -> Result<Option<StreamMessage>, StreamError> {
    let wanted = filter.map_or(EVERYTHING, Filter::as_str);
    look(engine, stream, &json!({ "seq": from.max(1), "next_by_subj": wanted })).await
}

/// A message in passing: its place, and when it expires.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) sequence: u64,
    pub(super) expires_ms: Option<u64>,
}

/// Some messages at or behind `from`, in order, by one request; none if there are none. Any server of a cluster that has the stream answers, so
/// the newest may be missing.
pub(super) async fn batch(engine: &JetStream, stream: &StreamConfig, from: u64) -> Result<Vec<Passed>, StreamError> {
    let unreachable = |reason: &dyn std::error::Error| StreamError::Unreachable { reason: chain(reason).into() };
    let client = &engine.0.client;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unreachable(&error))?;
    let asked = json!({ "seq": from.max(1), "next_by_subj": EVERYTHING, "batch": BATCH_MAX, "max_bytes": BATCH_BYTES_MAX });
    let verb = format!("$JS.API.DIRECT.GET.{}", server_name(&stream.name));
    client.publish_with_reply(verb, inbox, asked.to_string().into()).await.map_err(|error| unreachable(&error))?;
    let mut passed = Vec::new();
    loop {
        let answer = tokio::time::timeout(PATIENCE, answers.next()).await.map_err(|elapsed| unreachable(&elapsed))?;
        let Some(message) = answer else { return Err(StreamError::Unreachable { reason: "the connection is closed".into() }) };
        match message.status {
            None => passed.extend(pass(stream, message)),
            // The end of the batch, or no message there.
            Some(status) if status.as_u16() == 204 || status.as_u16() == 404 => return Ok(passed),
            Some(status) => return Err(StreamError::Unreachable { reason: format!("a read ended with status {status}").into() }),
        }
    }
}

fn pass(stream: &StreamConfig, message: async_nats::Message) -> Option<Passed> {
    let read = StreamMessage::try_from(message).ok()?;
    let expires_ms = held(&read).stored(Some(stream)).and_then(|stored| stored.expires_ms);
    Some(Passed { sequence: read.sequence, expires_ms })
}

async fn look(engine: &JetStream, stream: &Name, asked: &Value) -> Result<Option<StreamMessage>, StreamError> {
    let got = engine.look::<Got>(format!("STREAM.MSG.GET.{}", server_name(stream)), asked).await;
    match got {
        Ok(Got { mut message }) => {
            // The client keeps one value of each name.
            let headers = message.headers.take().map(|encoded| headers::parse(&encoded)).unwrap_or_default();
            let read = StreamMessage::try_from(message).map(|read| Some(StreamMessage { headers, ..read }));
            read.map_err(|error| StreamError::Closed { stream: stream.clone(), cause: error.to_string().into() })
        }
        Err(refusal) if refusal.is(&[ErrorCode::NO_MESSAGE_FOUND]) => Ok(None),
        Err(refusal) => Err(refusal.of(stream, None)),
    }
}

fn held(message: &StreamMessage) -> Held<'_> {
    Held {
        subject: &message.subject,
        sequence: message.sequence,
        time: message.time,
        headers: Some(&message.headers),
        payload: message.payload.clone(),
    }
}
