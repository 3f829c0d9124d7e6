//! Messages that are delivered later.
//!
//! The server schedules (as is needed here since 2.14), but not in a stream that refuses what does not fit, and its schedules would stand among the messages that
//! consumers see. So each stream that anything was ever delayed for has a second one beside it: a schedule waits there on
//! `$MYELIN.DUE.<stream>.<number>.<subject>`, is published there to `$MYELIN.READY.<stream>.<subject>` when it is due, and the stream takes it from
//! there by itself, as a source, as soon as it has room. All of that is the server's; no process of ours has to be alive.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{
    Config as ServerStream, DiscardPolicy, Info as ServerStreamInfo, RetentionPolicy, Source, StorageType, SubjectTransform,
};
use async_nats::{HeaderMap, header};
use myelin_store::{Attempt, Durability, Name, StreamConfig};
use serde_json::{Value, json};

use super::super::engine::Record;
use super::super::error::{PublishDurableError, StreamError};
use super::refusal::Refusal;
use super::{JetStream, info, server_name};
use crate::engine::Feature;
use crate::wire::Filter;

const DUE: &str = "$MYELIN.DUE.";
const READY: &str = "$MYELIN.READY.";

/// The server's name of the stream beside.
fn beside(stream: &Name) -> String {
    format!("MYELINDUE_{stream}")
}

/// Makes a message one that the server publishes later; the subject on which it waits.
pub(super) async fn schedule(
    engine: &JetStream,
    stream: &StreamConfig,
    record: &Record,
    map: &mut HeaderMap,
    delay: Duration,
    kept: Option<Duration>,
) -> Result<String, PublishDurableError> {
    engine.require(Feature::DELAY).map_err(|error| super::store::refused(record, error))?;
    if record.expected_last.is_some() {
        let reason = "delay: over NATS a delayed message cannot also expect a last sequence";
        return Err(PublishDurableError::Refused { reason: reason.into() });
    }
    ensure(engine, stream).await.map_err(|error| super::store::refused(record, error))?;
    admit(engine, stream).await?;
    map.insert(header::NATS_SCHEDULE, format!("@at {}", rfc3339(Attempt::now_ms(), delay)));
    map.insert(header::NATS_SCHEDULE_TARGET, format!("{READY}{}.{}", stream.name, record.subject));
    if let Some(kept) = kept {
        map.insert(header::NATS_SCHEDULE_TTL, format!("{}s", kept.as_secs()));
    }
    Ok(format!("{DUE}{}.{:016x}.{}", stream.name, fastrand::u64(..), record.subject))
}

/// The server drops the oldest of what waits beyond its limits, so what would be beyond ours is refused before.
async fn admit(engine: &JetStream, stream: &StreamConfig) -> Result<(), PublishDurableError> {
    let (messages, bytes) = waiting(engine, &stream.name).await;
    if messages >= stream.messages_max || bytes >= stream.bytes_max {
        return Err(PublishDurableError::StreamFull { stream: stream.name.clone(), messages, bytes });
    }
    Ok(())
}

/// How much waits to be due, in messages and bytes.
pub(super) async fn waiting(engine: &JetStream, stream: &Name) -> (u64, u64) {
    let told = engine.look::<ServerStreamInfo>(format!("STREAM.INFO.{}", beside(stream)), &json!({})).await;
    told.map_or((0, 0), |info| (info.state.messages, info.state.bytes))
}

/// Makes the stream beside, and the source, once.
async fn ensure(engine: &JetStream, stream: &StreamConfig) -> Result<(), StreamError> {
    let refused = |refusal: Refusal| refusal.of(&stream.name, None);
    let mut own = info::raw(engine, &stream.name).await.map_err(refused)?.config;
    let name = beside(&stream.name);
    if own.sources.iter().flatten().any(|source| source.name == name) {
        return Ok(());
    }
    // Room for what several publishers store between a look and their publish.
    let twice = |number: u64| i64::try_from(number.saturating_mul(2)).unwrap_or(i64::MAX);
    let due = ServerStream {
        name: name.clone(),
        subjects: vec![format!("{DUE}{}.>", stream.name), format!("{READY}{}.>", stream.name)],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::Old,
        max_messages: twice(stream.messages_max),
        max_bytes: twice(stream.bytes_max),
        duplicate_window: own.duplicate_window,
        storage: if stream.durability == Durability::Memory { StorageType::Memory } else { StorageType::File },
        num_replicas: engine.replicas(),
        allow_message_ttl: true,
        allow_message_schedules: true,
        ..ServerStream::default()
    };
    match engine.ask::<Value>(format!("STREAM.CREATE.{name}"), &due).await {
        Ok(_) => {}
        // Another process made it, with other limits.
        Err(refusal) if refusal.is(&[ErrorCode::STREAM_NAME_EXIST]) => {}
        Err(refusal) => return Err(refused(refusal)),
    }
    let transform = SubjectTransform { source: format!("{READY}{}.>", stream.name), destination: ">".to_owned() };
    own.sources.get_or_insert_default().push(Source { name, subject_transforms: vec![transform], ..Source::default() });
    let updated = engine.ask::<Value>(format!("STREAM.UPDATE.{}", server_name(&stream.name)), &own).await;
    updated.map(drop).map_err(refused)
}

/// What waits for a stream goes with what is in it.
pub(super) async fn purge(engine: &JetStream, stream: &Name, filter: Option<&Filter>) -> u64 {
    let wanted = filter.map_or(">", Filter::as_str);
    let asked = json!({ "filter": format!("{DUE}{stream}.*.{wanted}") });
    let purged = engine.ask::<Value>(format!("STREAM.PURGE.{}", beside(stream)), &asked).await;
    purged.map_or(0, |told| told["purged"].as_u64().unwrap_or(0))
}

/// The stream is gone.
pub(super) async fn delete(engine: &JetStream, stream: &Name) {
    // Mostly there is none.
    drop(engine.ask::<Value>(format!("STREAM.DELETE.{}", beside(stream)), &json!({})).await);
}

/// A time after `now_ms` as RFC 3339 has it, to the millisecond, the next one.
fn rfc3339(now_ms: u64, delay: Duration) -> String {
    let due = async_nats::datetime::DateTime::from(SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms) + delay);
    let (date, time) = (due.date(), due.time());
    format!("{date}T{:02}:{:02}:{:02}.{:09}Z", time.hour(), time.minute(), time.second(), due.nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_the_standard_writes_them() {
        assert_eq!(rfc3339(1_700_000_000_123, Duration::from_millis(4)), "2023-11-14T22:13:20.127000000Z");
    }
}
