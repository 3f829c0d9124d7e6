//! Reading messages beside any consumer. The stream's leader answers, so that what was acknowledged is seen.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessage;
use myelin_store::{Name, Stored};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::error::StreamError;
use super::headers::{self, Held};
use super::settings::EVERYTHING;
use super::{JetStream, server_name};
use crate::wire::Filter;

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

/// The last message on a subject.
pub(super) async fn last(engine: &JetStream, stream: &Name, subject: &str) -> Result<Option<StreamMessage>, StreamError> {
    look(engine, stream, &json!({ "last_by_subj": subject })).await
}

/// When the first message at or behind `from` that a filter takes was stored.
pub(super) async fn next_stored_ms(engine: &JetStream, stream: &Name, from: u64, filter: Option<&Filter>) -> Option<u64> {
    let wanted = filter.map_or(EVERYTHING, Filter::as_str);
    let message = look(engine, stream, &json!({ "seq": from.max(1), "next_by_subj": wanted })).await.ok()??;
    Some(super::millis(message.time))
}

async fn look(engine: &JetStream, stream: &Name, asked: &Value) -> Result<Option<StreamMessage>, StreamError> {
    let got = engine.ask::<Got>(format!("STREAM.MSG.GET.{}", server_name(stream)), asked).await;
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
