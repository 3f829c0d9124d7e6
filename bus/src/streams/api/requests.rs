//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use myelin_store::{Name, Stored};
use serde_json::{Value, json};

use super::super::error::StreamError;
use super::super::job::message_of;
use super::asked::{self, Fields, invalid};
use super::paging::Paging;
use super::server::Serving;
use super::{API, buried, describe, letters, options};
use crate::wire::{Body, Subject};
use crate::{Delivery, Message, Meta, ReplyTo};

/// What a request is answered with.
pub(super) enum Answer {
    Json(Value),
    /// A stored message as it is, what the stream knows of it in headers.
    Stored(Box<Stored>),
}

pub(super) type Answered = Result<Answer, StreamError>;

/// Most sequences of one answer.
const SEQUENCES_MAX: u64 = 4_096;

/// Answers one request.
pub(super) async fn answer(serving: Arc<Serving>, mut message: Message) {
    serving.metrics.requests.inc();
    let reply = message.reply.take();
    let verb = message.subject.as_str().strip_prefix(API).unwrap_or_default().to_owned();
    let answer = match verb.strip_prefix("STREAM.PUB.") {
        Some(subject) => Answer::Json(publish(&serving, subject, message).await),
        None if verb == "DLQ.BURY" => Answer::Json(buried::bury(&serving, message).await),
        None => match obey(&serving, &verb, &asked(&message.body)).await {
            Ok(answer) => answer,
            Err(error) => Answer::Json(describe::stream_error(&error)),
        },
    };
    let Some(reply) = &reply else { return };
    match answer {
        Answer::Json(answer) => say(&serving, reply, &answer),
        Answer::Stored(stored) => {
            let message = message_of(&stored);
            let envelope = message.meta.and_then(|meta| meta.envelope);
            let meta = Meta { headers: options::of_stored(&stored), envelope };
            send(&serving, reply, Some(&meta), message.body);
        }
    }
}

async fn publish(serving: &Serving, subject: &str, mut message: Message) -> Value {
    let publish = async {
        if serving.bus.shared().streams.is_none() {
            return Err(describe::stream_error(&StreamError::NoStore));
        }
        let subject = Subject::new(subject).map_err(|error| describe::stream_error(&invalid("subject", error.to_string())))?;
        let options = options::take(message.meta.as_deref_mut()).map_err(|error| describe::stream_error(&error))?;
        let stored = Message { subject, reply: None, meta: message.meta.take(), body: message.body.clone() };
        serving.bus.publish_durable(&stored, &options).await.map_err(|error| describe::publish_error(&error))
    };
    publish.await.map_or_else(|error| error, |receipt| describe::receipt(&receipt))
}

async fn obey(serving: &Serving, verb: &str, body: &[u8]) -> Answered {
    if serving.bus.shared().streams.is_none() {
        return Err(StreamError::NoStore);
    }
    let unknown = || invalid("request", format!("{verb:?} is nothing that can be asked"));
    let (group, rest) = verb.split_once('.').ok_or_else(unknown)?;
    let (verb, target) = rest.split_once('.').unwrap_or((rest, ""));
    match group {
        "STREAM" => stream(serving, verb, target, body).await,
        "CONSUMER" => consumer(serving, verb, target, body).await,
        "DLQ" => letters::letters(serving, verb, body).await,
        _ => Err(unknown()),
    }
}

async fn stream(serving: &Serving, verb: &str, target: &str, body: &[u8]) -> Answered {
    let bus = &serving.bus;
    if verb == "LIST" {
        let (paging, streams) = (Paging::parse(body)?, bus.list_streams().await?);
        return json_of(paging.page("streams", &streams, |info| info.config.name.as_str(), describe::stream));
    }
    let name = name(target)?;
    match verb {
        "CREATE" | "UPDATE" => {
            let config = match verb {
                "UPDATE" => asked::changed(bus.stream_info(&name).await?.config, body)?,
                _ => asked::stream_config(name, body)?,
            };
            let info = bus.ensure_stream(&config).await?;
            json_of(describe::stream(&info))
        }
        "INFO" => json_of(describe::stream(&bus.stream_info(&name).await?)),
        "DELETE" => {
            let deleted = bus.delete_stream(&name).await?;
            json_of(json!({ "deleted": deleted }))
        }
        "PURGE" => {
            let mut fields = Fields::parse(body)?;
            let filter = fields.filter("filter")?;
            fields.end()?;
            json_of(json!({ "purged": bus.purge_stream(&name, filter.as_ref()).await? }))
        }
        "DROP" => {
            let mut fields = Fields::parse(body)?;
            let sequence = sequence(&mut fields)?;
            fields.end()?;
            json_of(json!({ "dropped": bus.delete_message(&name, sequence).await? }))
        }
        "SEQUENCES" => {
            let mut fields = Fields::parse(body)?;
            let from = fields.number("from")?.unwrap_or(0);
            let max = fields.number("max")?.unwrap_or(SEQUENCES_MAX).min(SEQUENCES_MAX);
            let filter = fields.filter("filter")?;
            fields.end()?;
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            json_of(json!({ "sequences": bus.sequences(&name, from, max, filter.as_ref()).await? }))
        }
        "GET" => {
            let mut fields = Fields::parse(body)?;
            let sequence = sequence(&mut fields)?;
            let is_raw = fields.flag("raw")?.unwrap_or(false);
            fields.end()?;
            found(bus.get_stored(&name, sequence).await?, &name, sequence, is_raw)
        }
        other => Err(invalid("request", format!("STREAM.{other} is nothing that can be asked"))),
    }
}

async fn consumer(serving: &Serving, verb: &str, target: &str, body: &[u8]) -> Answered {
    let bus = &serving.bus;
    if verb == "LIST" {
        let (paging, mut info) = (Paging::parse(body)?, bus.stream_info(&name(target)?).await?);
        info.consumers.sort_unstable_by(|one, two| one.config.name.cmp(&two.config.name));
        return json_of(paging.page("consumers", &info.consumers, |info| info.config.name.as_str(), describe::consumer));
    }
    let (stream, name) = two_names(target)?;
    match verb {
        "CREATE" => {
            let created = bus.ensure_consumer(&stream, &asked::consumer_config(name, body)?).await?;
            json_of(describe::consumer(&created.info().await?))
        }
        "INFO" => json_of(describe::consumer(&bus.consumer(&stream, &name).await?.info().await?)),
        "DELETE" => json_of(json!({ "deleted": bus.delete_consumer(&stream, &name).await? })),
        other => Err(invalid("request", format!("CONSUMER.{other} is nothing that can be asked"))),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the end of every verb")]
pub(super) fn json_of(value: Value) -> Answered {
    Ok(Answer::Json(value))
}

pub(super) fn found(stored: Option<Stored>, stream: &Name, sequence: u64, is_raw: bool) -> Answered {
    let stored = stored.ok_or_else(|| StreamError::NoMessage { stream: stream.clone(), sequence })?;
    Ok(if is_raw { Answer::Stored(Box::new(stored)) } else { Answer::Json(describe::stored(&stored)) })
}

pub(super) fn sequence(fields: &mut Fields) -> Result<u64, StreamError> {
    fields.number("sequence")?.ok_or_else(|| invalid("sequence", "say which message"))
}

fn name(text: &str) -> Result<Name, StreamError> {
    Name::new(text).map_err(|error| invalid("name", error.to_string()))
}

/// `<stream>.<consumer>`
pub(super) fn two_names(target: &str) -> Result<(Name, Name), StreamError> {
    let (stream, consumer) = target.split_once('.').ok_or_else(|| invalid("request", "ends in <stream>.<consumer>"))?;
    Ok((name(stream)?, name(consumer)?))
}

/// The bytes of a request, from whichever kind of caller.
pub(super) fn asked(body: &Body) -> Bytes {
    match body {
        Body::Blob(blob) => blob.clone(),
        Body::Frames(frames) => frames.slices().last().map(Bytes::copy_from_slice).unwrap_or_default(),
    }
}

/// Answers with JSON, or with an error if that is more than the bus carries.
pub(super) fn say(serving: &Serving, reply: &ReplyTo, answer: &Value) {
    let text = answer.to_string();
    let max = serving.bus.payload_bytes_max();
    let text = if text.len() > max { describe::answer_too_large(text.len(), max).to_string() } else { text };
    send(serving, reply, None, Body::from(text));
}

/// Sends an answer, with headers too. Whoever asked is not waited for.
pub(super) fn send(serving: &Serving, reply: &ReplyTo, meta: Option<&Meta>, body: Body) {
    let subject = serving.bus.reply_subject(reply);
    let delivery = Delivery { subject: &subject, reply: None, meta, bodies: std::slice::from_ref(&body) };
    let _answered = serving.bus.dispatch(delivery);
}
