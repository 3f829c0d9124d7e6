//! Streams of a sidecar behind our connection, asked for by request.
//!
//! A server that answers none of these requests is a NATS server, or a sidecar without a store: then this bus has no streams, and says so when
//! it is asked.

mod errors;
mod inbox;
mod letters;
mod told;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use myelin_store::{ConsumerConfig, ConsumerInfo, Delivered, Name, Outcome, Stored, StreamConfig, StreamInfo};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::inbox::{Call, Inbox};
use super::api::settle::Place;
use super::api::{API, describe, options};
use super::engine::{Failure, Placed, Record, StreamEngine};
use super::error::{ConsumeError, PublishDurableError, StreamError};
use super::headers;
use super::verbs::PublishOptions;
use crate::bus::Shared;
use crate::wire::{Body, Filter, Subject};
use crate::{Bus, Delivery, Message, RequestError, payload};

/// How long a sidecar may take to answer: a full disk, or a purge of a large stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a sidecar waits at most for one request for messages.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The other side of the connection of the bus that has this engine.
#[derive(Debug)]
pub(crate) struct Attached {
    shared: Weak<Shared>,
    /// Where messages come to. Made when the first worker asks, and there for as long as the bus: its subscription is what tells the sidecar
    /// that the workers live.
    inbox: Mutex<Option<Arc<Inbox>>>,
}

impl Attached {
    pub(crate) fn new(shared: Weak<Shared>) -> Self {
        Self { shared, inbox: Mutex::default() }
    }

    fn bus(&self) -> Result<Bus, StreamError> {
        let gone = || StreamError::Unreachable { reason: "its bus is gone".into() };
        self.shared.upgrade().map(Bus::from_shared).ok_or_else(gone)
    }

    async fn request(&self, message: Message) -> Result<Message, StreamError> {
        let reply = self.bus()?.request_message(&message, PATIENCE).await;
        reply.map_err(|error| match error {
            RequestError::NoResponders { .. } => StreamError::NoStore,
            error => StreamError::Unreachable { reason: error.to_string().into() },
        })
    }

    /// Asks with JSON; the answer, unless it is an error.
    async fn ask(&self, verb: &str, body: Value) -> Result<Value, StreamError> {
        let body = if body.is_null() { Body::default() } else { Body::from(body.to_string()) };
        let reply = self.request(Message::new(request_subject(verb)?, body)).await?;
        let answer = told::json(&reply.body)?;
        errors::stream_error(&answer).map_or(Ok(answer), Err)
    }

    /// Everything of a list that is told in pages.
    async fn pages(&self, verb: &str, field: &str) -> Result<Vec<Value>, StreamError> {
        let (mut all, mut asked) = (Vec::new(), Value::Null);
        loop {
            let mut page = self.ask(verb, asked).await?;
            if let Value::Array(entries) = page[field].take() {
                all.extend(entries);
            }
            if page["more"] != true || page["next"].is_null() {
                return Ok(all);
            }
            asked = json!({ "from": page["next"] });
        }
    }

    /// A stream with all its consumers, of which some are told with it.
    async fn whole(&self, mut told: Value) -> Result<StreamInfo, StreamError> {
        if told["more_consumers"] == true {
            let verb = format!("CONSUMER.LIST.{}", told["name"].as_str().unwrap_or_default());
            told["consumers"] = self.pages(&verb, "consumers").await?.into();
        }
        told::stream(&told)
    }

    /// A worker's word, confirmed.
    async fn say(&self, place: &Place, word: String) -> Result<bool, ConsumeError> {
        let reply = self.request(Message::new(place.subject(), word)).await?;
        if told::bytes(&reply.body) == "+OK" {
            return Ok(true);
        }
        let answer = told::json(&reply.body)?;
        match errors::consume_error(&answer) {
            Some(ConsumeError::Stale { .. }) | None => Ok(false),
            Some(error) => Err(error),
        }
    }

    /// A worker is gone without a word: told without waiting.
    pub(crate) fn release(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) {
        let Ok(bus) = self.bus() else { return };
        let place = Place { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery };
        give_back(&bus, &place.subject());
    }

    /// Makes a dead letter of a message.
    pub(crate) async fn term(
        &self,
        stream: &Name,
        consumer: &Name,
        sequence: u64,
        delivery: u32,
        reason: &str,
    ) -> Result<(), ConsumeError> {
        let place = Place { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery };
        if self.say(&place, format!("+TERM {reason}")).await? { Ok(()) } else { Err(ConsumeError::Stale { sequence }) }
    }

    /// A place for one answer of several messages.
    async fn call(&self, bus: &Bus, messages_max: usize) -> Result<Call, StreamError> {
        let (inbox, is_new) = {
            let mut inbox = self.inbox.lock();
            match &*inbox {
                Some(inbox) => (Arc::clone(inbox), false),
                None => {
                    let made = Inbox::open(bus).map_err(|error| StreamError::Unreachable { reason: error.to_string().into() })?;
                    *inbox = Some(Arc::clone(&made));
                    (made, true)
                }
            }
        };
        if is_new {
            // The server has the subscription before the request, whose answers would go nowhere else.
            bus.flush().await;
        }
        Ok(Inbox::call(&inbox, messages_max))
    }

    /// One request for messages.
    async fn fetch(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        let bus = self.bus()?;
        let unreachable = |reason: String| ConsumeError::Stream(StreamError::Unreachable { reason: reason.into() });
        let mut call = self.call(&bus, max).await?;
        let asked = json!({ "max": max, "wait_ms": told::millis(wait) }).to_string();
        let mut request = Message::new(request_subject(&format!("CONSUMER.NEXT.{stream}.{consumer}"))?, asked);
        request.reply = Some(call.address());
        bus.publish_message(request).await.map_err(|error| unreachable(error.to_string()))?;
        let end = Instant::now() + wait + PATIENCE;
        loop {
            let Ok(last) = tokio::time::timeout_at(end, call.next()).await else {
                return Err(unreachable(format!("no answer within {:?}", wait + PATIENCE)));
            };
            let Some(last) = last else { continue };
            if told::is_no_responders(&last) {
                return Err(StreamError::NoStore.into());
            }
            if let Some(error) = errors::consume_error(&told::json(&last.body)?) {
                return Err(error);
            }
            return Ok(call.take().iter().filter_map(told::delivered).collect());
        }
    }
}

fn request_subject(verb: &str) -> Result<Subject, StreamError> {
    let invalid = |error: crate::wire::SubjectError| StreamError::Invalid { field: "subject", reason: error.to_string().into() };
    Subject::new(&format!("{API}{verb}")).map_err(invalid)
}

/// Why a message is not known to be stored, when it was asked for in vain.
fn refused(subject: &Subject, error: StreamError) -> PublishDurableError {
    match error {
        StreamError::NoStore => PublishDurableError::NoStream { subject: subject.clone() },
        StreamError::Unreachable { reason } => PublishDurableError::Unreachable { reason },
        other => PublishDurableError::Refused { reason: other.to_string().into() },
    }
}

/// Gives a message back that nobody works on.
fn give_back(bus: &Bus, settle: &Subject) {
    let body = Body::from("-GONE");
    let delivery = Delivery { subject: settle, reply: None, meta: None, bodies: std::slice::from_ref(&body) };
    let _told = bus.dispatch(delivery);
}

impl StreamEngine for Attached {
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        let answer = self.ask(&format!("STREAM.CREATE.{}", config.name), describe::config(config)).await?;
        told::stream(&answer)
    }

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        let answer = self.ask(&format!("STREAM.DELETE.{stream}"), Value::Null).await?;
        Ok(answer["deleted"] == true)
    }

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        self.whole(self.ask(&format!("STREAM.INFO.{stream}"), Value::Null).await?).await
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        let mut streams = Vec::new();
        for told in self.pages("STREAM.LIST", "streams").await? {
            streams.push(self.whole(told).await?);
        }
        Ok(streams)
    }

    async fn store(&self, record: &Record) -> Result<Placed, PublishDurableError> {
        let refused = |error| refused(&record.subject, error);
        let mut told = headers::decode(record.headers.clone());
        let Record { id, ttl, delay, expected_last, .. } = record;
        options::give(&mut told, &PublishOptions { id: id.clone(), ttl: *ttl, delay: *delay, expected_last_sequence: *expected_last });
        let (meta, body) = payload::decode(record.payload.clone(), told);
        let subject = request_subject(&format!("STREAM.PUB.{}", record.subject)).map_err(refused)?;
        let reply = self.request(Message { subject, reply: None, meta, body }).await.map_err(refused)?;
        let answer = told::json(&reply.body).map_err(refused)?;
        match errors::publish_error(&answer, &record.subject) {
            Some(error) => Err(error),
            None => told::receipt(&answer).map(Placed::Stored).map_err(refused),
        }
    }

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        let asked = Body::from(json!({ "sequence": sequence, "raw": true }).to_string());
        let reply = self.request(Message::new(request_subject(&format!("STREAM.GET.{stream}"))?, asked)).await?;
        if let Some(stored) = told::stored(&reply) {
            return Ok(Some(stored));
        }
        match errors::stream_error(&told::json(&reply.body)?) {
            Some(StreamError::NoMessage { .. }) | None => Ok(None),
            Some(error) => Err(error),
        }
    }

    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        let asked = json!({ "from": from, "max": max, "filter": filter.map(Filter::as_str) });
        let answer = self.ask(&format!("STREAM.SEQUENCES.{stream}"), asked).await?;
        Ok(answer["sequences"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
    }

    async fn remove(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
        let answer = self.ask(&format!("STREAM.DROP.{stream}"), json!({ "sequence": sequence })).await?;
        Ok(answer["dropped"] == true)
    }

    async fn purge(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError> {
        let answer = self.ask(&format!("STREAM.PURGE.{stream}"), json!({ "filter": filter.map(Filter::as_str) })).await?;
        Ok(answer["purged"].as_u64().unwrap_or(0))
    }

    async fn put_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError> {
        let asked = describe::consumer_config(config);
        told::consumer(&self.ask(&format!("CONSUMER.CREATE.{stream}.{}", config.name), asked).await?)
    }

    async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<ConsumerConfig, StreamError> {
        Ok(self.consumer_info(stream, consumer).await?.config)
    }

    async fn consumer_info(&self, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
        told::consumer(&self.ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), Value::Null).await?)
    }

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        let answer = self.ask(&format!("CONSUMER.DELETE.{stream}.{consumer}"), Value::Null).await?;
        Ok(answer["deleted"] == true)
    }

    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let delivered = self.fetch(stream, consumer, max.clamp(1, inbox::MESSAGES_MAX), left.min(WAIT_MAX)).await?;
            if !delivered.is_empty() || Instant::now() >= end {
                return Ok(delivered);
            }
        }
    }

    async fn ack(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        self.say(&Place { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery }, "+ACK".to_owned()).await
    }

    async fn fail(&self, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError> {
        let Failure { sequence, delivery, outcome, error, delay } = failure;
        let word = match outcome {
            Outcome::WorkerGone => "-GONE".to_owned(),
            _ => format!("-NAK {}", json!({ "delay_ms": delay.map(told::millis), "error": error })),
        };
        self.say(&Place { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery }, word).await
    }

    async fn extend(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        self.say(&Place { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery }, "+WPI".to_owned()).await
    }
}

/// The value of a header, as text.
fn header(headers: &[(Box<str>, Bytes)], name: &str) -> Option<String> {
    let value = headers.iter().find(|(found, _)| **found == *name).map(|(_, value)| value)?;
    Some(String::from_utf8_lossy(value).into_owned())
}
