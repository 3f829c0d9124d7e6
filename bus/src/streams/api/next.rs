//! Messages to a worker in another process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::consumer::Consumer;
use super::super::error::StreamError;
use super::super::job::Job;
use super::asked::{Fields, invalid};
use super::hands::Hand;
use super::server::Serving;
use super::settle::Place;
use super::{API, STATUS, describe, options, requests};
use crate::message::Offer;
use crate::wire::{Body, Subject};
use crate::{Message, Meta, ReplyTo};

/// Most messages of one answer.
const MESSAGES_MAX: u64 = 4_096;

/// Longest wait of one request: a worker that waits longer asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes that are read from the store before they are sent.
const READ_BYTES: usize = 1 << 20;

/// Most messages that are leased at once.
const LEASED_MAX: usize = 256;

pub(super) fn is_next(subject: &Subject) -> bool {
    subject.as_str().strip_prefix(API).is_some_and(|verb| verb.starts_with("CONSUMER.NEXT."))
}

/// Sends up to as many messages as were asked for, then the end.
pub(super) async fn next(serving: Arc<Serving>, message: Message) {
    serving.metrics.requests.inc();
    let Some(reply) = &message.reply else { return };
    let inbox = serving.bus.reply_subject(reply);
    let (status, told) = match deliver(&serving, &message, &inbox).await {
        Ok(delivered) => ("end", json!({ "delivered": delivered })),
        Err(error) => ("error", error),
    };
    let meta = Meta { headers: vec![(STATUS.into(), Bytes::from(status))], envelope: None };
    requests::send(&serving, &ReplyTo::Subject(inbox), Some(&meta), Body::from(told.to_string()));
}

async fn deliver(serving: &Serving, message: &Message, inbox: &Subject) -> Result<u64, Value> {
    let stream_error = |error: StreamError| describe::stream_error(&error);
    let (max, wait) = asked(&requests::asked(&message.body)).map_err(stream_error)?;
    let Ok(_permit) = serving.waiting.try_acquire() else {
        return Err(describe::too_many());
    };
    let tail = message.subject.as_str().strip_prefix(API).and_then(|verb| verb.strip_prefix("CONSUMER.NEXT."));
    let (stream, consumer) = requests::two_names(tail.unwrap_or_default()).map_err(stream_error)?;
    let consumer = serving.bus.consumer(&stream, &consumer).await.map_err(stream_error)?;
    let ack_wait = consumer.ack_wait;
    let end = Instant::now() + wait;
    let (mut sent, mut ask) = (0, 1);
    while sent < max {
        // Only the first message is waited for.
        let left = if sent == 0 { end.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        let most = usize::try_from(max - sent).unwrap_or(LEASED_MAX).min(ask);
        let Some(fetched) = serving.token.run_until_cancelled(consumer.fetch(most, left)).await else { break };
        let jobs = fetched.map_err(|error| describe::consume_error(&error))?;
        if jobs.is_empty() {
            break;
        }
        let bytes: usize = jobs.iter().map(|job| job.body().len()).sum();
        ask = (ask * 4).min(READ_BYTES / (bytes / jobs.len()).max(1)).clamp(1, LEASED_MAX);
        for job in jobs {
            if !hand(serving, &consumer, job, inbox, ack_wait).await {
                return Ok(sent);
            }
            sent += 1;
        }
    }
    Ok(sent)
}

/// Sends one message. `false`: nobody is there, and the message goes to somebody else.
async fn hand(serving: &Serving, consumer: &Consumer, job: Job, inbox: &Subject, ack_wait: Duration) -> bool {
    let place = Place {
        stream: consumer.source.stream.clone(),
        consumer: consumer.source.consumer.clone(),
        sequence: job.sequence(),
        delivery: job.deliveries(),
    };
    let settle = place.subject();
    let message = message_of(&job, inbox, &settle);
    let hand = Hand { inbox: inbox.clone(), attempts: job.attempts().to_vec(), ack_wait, until: Instant::now() + ack_wait };
    // Before it is sent: its ack may be here at once.
    serving.hands.give(settle.clone(), hand);
    let Message { subject, reply, meta, body } = message;
    match serving.bus.shared().publish(None, Offer { subject: &subject, reply, meta, body }).await {
        Ok(published) if published.receivers > 0 => {
            job.forget();
            published.settled().await;
            true
        }
        Ok(_) | Err(_) => {
            serving.hands.take(&settle);
            false
        }
    }
}

fn message_of(job: &Job, inbox: &Subject, settle: &Subject) -> Message {
    let mut headers = options::of_stored(&job.stored);
    headers.push((options::DELIVERIES.into(), Bytes::from(job.deliveries().to_string())));
    if !job.attempts().is_empty() {
        headers.push((options::ATTEMPTS.into(), Bytes::from(options::of_attempts(job.attempts()))));
    }
    let envelope = job.message().meta.as_ref().and_then(|meta| meta.envelope.clone());
    Message {
        subject: inbox.clone(),
        reply: Some(ReplyTo::Subject(settle.clone())),
        meta: Some(Box::new(Meta { headers, envelope })),
        body: job.body().clone(),
    }
}

fn asked(body: &[u8]) -> Result<(u64, Duration), StreamError> {
    let mut fields = Fields::parse(body)?;
    let max = fields.number("max")?.unwrap_or(1);
    let wait = fields.duration("wait_ms")?.unwrap_or_default();
    fields.end()?;
    if max == 0 {
        return Err(invalid("max", "at least one message is asked for"));
    }
    Ok((max.min(MESSAGES_MAX), wait.min(WAIT_MAX)))
}
