//! From a request to its answer.

use std::sync::Arc;

use bytes::Bytes;
use myelin_store::{Name, Stored};
use serde_json::{Value, json};

use super::super::error::{StreamError, chain};
use super::super::job::message_of;
use super::super::letters::{self, Filters};
use super::asked::{self, Fields, invalid};
use super::server::Serving;
use super::{API, buried, describe, options};
use crate::wire::{Body, Subject};
use crate::{Delivery, Message, Meta, ReplyTo};

/// What a request is answered with.
enum Answer {
    Json(Value),
    /// A stored message as it is, what the stream knows of it in headers.
    Stored(Box<Stored>),
}

type Answered = Result<Answer, StreamError>;

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

async fn obey(serving: &Arc<Serving>, verb: &str, body: &[u8]) -> Answered {
    if serving.bus.shared().streams.is_none() {
        return Err(StreamError::NoStore);
    }
    let unknown = || invalid("request", format!("{verb:?} is nothing that can be asked"));
    let (group, rest) = verb.split_once('.').ok_or_else(unknown)?;
    let (verb, target) = rest.split_once('.').unwrap_or((rest, ""));
    match group {
        "STREAM" => stream(serving, verb, target, body).await,
        "CONSUMER" => consumer(serving, verb, target, body).await,
        "DLQ" => dead_letters(serving, verb, body).await,
        _ => Err(unknown()),
    }
}

async fn stream(serving: &Arc<Serving>, verb: &str, target: &str, body: &[u8]) -> Answered {
    let bus = &serving.bus;
    if verb == "LIST" {
        let streams = bus.list_streams().await?;
        return json_of(json!({ "streams": streams.iter().map(describe::stream).collect::<Vec<_>>() }));
    }
    let name = name(target)?;
    match verb {
        "CREATE" | "UPDATE" => {
            let config = match verb {
                "UPDATE" => asked::changed(bus.stream_info(&name).await?.config, body)?,
                _ => asked::stream_config(name, body)?,
            };
            let info = bus.ensure_stream(&config).await?;
            follow(serving).await;
            json_of(describe::stream(&info))
        }
        "INFO" => json_of(describe::stream(&bus.stream_info(&name).await?)),
        "DELETE" => {
            let deleted = bus.delete_stream(&name).await?;
            follow(serving).await;
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
            // Read from the disk: not where the other requests are read.
            tokio::task::yield_now().await;
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
        let info = bus.stream_info(&name(target)?).await?;
        return json_of(json!({ "consumers": info.consumers.iter().map(describe::consumer).collect::<Vec<_>>() }));
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

async fn dead_letters(serving: &Serving, verb: &str, body: &[u8]) -> Answered {
    // They are read from the disk: not where the other requests are read.
    tokio::task::yield_now().await;
    let Some(streams) = &serving.bus.shared().streams else { return Err(StreamError::NoStore) };
    let mut fields = Fields::parse(body)?;
    match verb {
        "LIST" => {
            let filters = Filters {
                stream: fields.text("stream")?,
                subject: fields.filter("subject")?,
                reason: fields.text("reason")?,
                older_than: fields.duration("older_than_ms")?,
            };
            let from = fields.number("from")?.unwrap_or(0);
            let max = fields.number("max")?.unwrap_or(letters::LISTED_MAX);
            fields.end()?;
            let page = letters::list(streams, &filters, from, max).await?;
            let listed: Vec<Value> = page.letters.iter().map(describe::letter).collect();
            json_of(json!({ "letters": listed, "next": page.next }))
        }
        "SHOW" => {
            let sequence = sequence(&mut fields)?;
            let is_raw = fields.flag("raw")?.unwrap_or(false);
            fields.end()?;
            found(letters::get(streams, sequence).await?, &letters::name(), sequence, is_raw)
        }
        "REPLAY" => {
            let sequence = sequence(&mut fields)?;
            let to = fields.text("to")?.map(|to| Subject::new(&to).map_err(|error| invalid("to", error.to_string()))).transpose()?;
            fields.end()?;
            let replayed = letters::replay(streams, sequence, to.as_ref()).await?;
            json_of(replayed.map_or_else(|error| describe::publish_error(&error), |receipt| describe::receipt(&receipt)))
        }
        "PURGE" => {
            let mut purged = 0;
            let sequences = fields.list("sequences")?.ok_or_else(|| invalid("sequences", "say which letters"))?;
            fields.end()?;
            for sequence in sequences {
                let sequence = sequence.as_u64().ok_or_else(|| invalid("sequences", format!("{sequence} is no sequence")))?;
                purged += u64::from(letters::remove(streams, sequence).await?);
            }
            json_of(json!({ "purged": purged }))
        }
        other => Err(invalid("request", format!("DLQ.{other} is nothing that can be asked"))),
    }
}

/// Captures what the streams store now. If that fails, what is published plainly is not stored, and says so nowhere else.
async fn follow(serving: &Arc<Serving>) {
    if let Err(error) = serving.captures.follow(serving).await {
        tracing::error!(error = chain(&error), "plain publishes on a stream's subjects are not stored");
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the end of every verb")]
fn json_of(value: Value) -> Answered {
    Ok(Answer::Json(value))
}

fn found(stored: Option<Stored>, stream: &Name, sequence: u64, is_raw: bool) -> Answered {
    let stored = stored.ok_or_else(|| StreamError::NoMessage { stream: stream.clone(), sequence })?;
    Ok(if is_raw { Answer::Stored(Box::new(stored)) } else { Answer::Json(describe::stored(&stored)) })
}

fn sequence(fields: &mut Fields) -> Result<u64, StreamError> {
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
