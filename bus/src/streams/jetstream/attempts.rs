//! What workers said about deliveries that failed. The server counts deliveries and remembers nothing about them.
//!
//! One record per message that failed, on a subject of its own in a stream of its own, which keeps the last: the attempts as JSON, each with the
//! number of its delivery. A delivery without an attempt ended in silence. The record goes with its message, or after a week.

use std::time::Duration;

use bytes::Bytes;
use myelin_store::{Attempt, Durability, Name, OnFull, Outcome, StreamConfig};
use serde_json::{Value, json};

use super::super::error::{ConsumeError, StreamError};
use super::hands::Hand;
use super::{JetStream, manage, read, server_name, settings};
use crate::wire::{Filter, limits};

const STREAM: &str = "ATTEMPTS";
const SUBJECTS: &str = "$MYELIN.ATTEMPT.";
/// How long a record is kept of a message that nobody asks for any more.
const AGE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// All records together; the oldest go first, and their messages keep their number of deliveries.
const BYTES_MAX: u64 = 256 << 20;

fn name() -> Name {
    Name::new(STREAM).expect("a valid constant")
}

fn subject(hand: &Hand) -> String {
    format!("{SUBJECTS}{}.{}.{}", hand.stream, hand.consumer, hand.sequence)
}

/// The latest attempts before this delivery, silent ones among them.
pub(super) async fn before(engine: &JetStream, hand: &Hand) -> Result<Vec<Attempt>, ConsumeError> {
    if hand.delivery <= 1 {
        return Ok(Vec::new());
    }
    let said = said(engine, hand).await?;
    let first = hand.delivery.saturating_sub(limits::DLQ_ATTEMPTS_MAX as u32).max(1);
    let attempt = |delivery: u32| {
        let found = said.iter().rfind(|said| said["delivery"] == delivery).and_then(read_one);
        // When a silence ended is not known: some time before now.
        found.unwrap_or_else(|| Attempt::now(Outcome::AckWaitExpired, ""))
    };
    Ok((first..hand.delivery).map(attempt).collect())
}

/// What was said of a message by whoever gave it back, without a delivery of it.
pub(super) async fn known(engine: &JetStream, stream: &Name, consumer: &Name, sequence: u64) -> Result<Vec<Attempt>, StreamError> {
    let hand = Hand { stream: stream.clone(), consumer: consumer.clone(), sequence, delivery: 0 };
    Ok(said(engine, &hand).await?.iter().filter_map(read_one).collect())
}

/// Adds an attempt.
pub(super) async fn note(engine: &JetStream, hand: &Hand, outcome: Outcome, error: &str) -> Result<(), ConsumeError> {
    let mut said = said(engine, hand).await?;
    let Attempt { at_ms, outcome, error } = Attempt::now(outcome, error);
    said.push(json!({ "delivery": hand.delivery, "at_ms": at_ms, "outcome": outcome.as_str(), "error": error }));
    let surplus = said.len().saturating_sub(limits::DLQ_ATTEMPTS_MAX);
    said.drain(..surplus);
    let payload = Bytes::from(Value::Array(said).to_string());
    let mut is_stored = publish(engine, hand, payload.clone()).await;
    if is_stored.is_err() {
        // The first record of all. Another process may have made the stream meanwhile, which is as good.
        make(engine).await?;
        is_stored = publish(engine, hand, payload).await;
    }
    is_stored.map_err(|reason| StreamError::Unreachable { reason }.into())
}

async fn publish(engine: &JetStream, hand: &Hand, payload: Bytes) -> Result<(), Box<str>> {
    let told = |error: async_nats::jetstream::context::PublishError| error.to_string().into_boxed_str();
    engine.0.context.publish(subject(hand), payload).await.map_err(told)?.await.map_err(told)?;
    Ok(())
}

async fn make(engine: &JetStream) -> Result<(), StreamError> {
    let mut config = StreamConfig::new(name(), vec![Filter::new(&format!("{SUBJECTS}>")).expect("a valid constant")]);
    config.age_max = Some(AGE_MAX);
    config.bytes_max = BYTES_MAX;
    config.messages_max = u64::from(u32::MAX);
    config.on_full = OnFull::DropOldest;
    config.durability = Durability::Synced;
    let mut server = settings::stream(&config, false, engine.replicas());
    server.max_messages_per_subject = 1;
    let made = engine.ask::<Value>(format!("STREAM.CREATE.{}", server.name), &server).await;
    made.map(drop).map_err(|refusal| refusal.of(&config.name, None))
}

async fn said(engine: &JetStream, hand: &Hand) -> Result<Vec<Value>, StreamError> {
    let record = match read::last(engine, &name(), &subject(hand)).await {
        Ok(record) => record,
        // Nobody has said anything yet.
        Err(StreamError::NoStream { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(record.and_then(|record| serde_json::from_slice(&record.payload).ok()).unwrap_or_default())
}

fn read_one(said: &Value) -> Option<Attempt> {
    let outcome = Outcome::ALL.into_iter().find(|outcome| said["outcome"] == outcome.as_str())?;
    Some(Attempt { at_ms: said["at_ms"].as_u64()?, outcome, error: said["error"].as_str()?.into() })
}

/// The message is settled: nobody asks for its record any more. Not waited for; what stays is gone in a week.
pub(super) fn settled(engine: &JetStream, hand: &Hand) {
    if hand.delivery > 1 {
        let (engine, filter) = (engine.clone(), subject(hand));
        let runtime = engine.0.runtime.clone();
        runtime.spawn(async move { drop(manage::purge(&engine, &name(), Some(&filter)).await) });
    }
}

/// A stream or consumer is gone: one of the same name has other messages.
pub(super) async fn forget(engine: &JetStream, stream: &Name, consumer: Option<&Name>) {
    let of = consumer.map_or_else(|| format!("{SUBJECTS}{stream}.>"), |consumer| format!("{SUBJECTS}{stream}.{consumer}.>"));
    drop(engine.ask::<Value>(format!("STREAM.PURGE.{}", server_name(&name())), &json!({ "filter": of })).await);
}
