//! Making, changing and deleting.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::Info as ServerConsumerInfo;
use async_nats::jetstream::stream::{ClusterInfo, Info as ServerStreamInfo};
use myelin_store::{ConsumerConfig, ConsumerInfo, Name, Retention, StreamConfig, StreamInfo};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::error::StreamError;
use super::settings::{self, own_consumer, own_stream};
use super::{JetStream, PATIENCE, attempts, delay, info, own_name, refusal, server_name};
use crate::engine::Feature;

/// Between two tries to make what another sidecar makes too.
const MEETING: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct Done {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    purged: u64,
}

pub(super) async fn put_stream(engine: &JetStream, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
    let name = &config.name;
    engine.require(Feature::METADATA)?;
    if config.dead_letter_evicted {
        let reason = "over NATS the server drops what has to go by itself, and tells nobody";
        return Err(StreamError::Invalid { field: "dead_letter_evicted", reason: reason.into() });
    }
    let end = Instant::now() + PATIENCE;
    loop {
        match make_stream(engine, config).await {
            Ok(made) => {
                engine.forget(name, None);
                until_taken(engine, config, end).await?;
                let foreign = || StreamError::Closed { stream: name.clone(), cause: "the server keeps no metadata of streams".into() };
                return info::describe(engine, &made).await?.ok_or_else(foreign);
            }
            Err(Refusal::Stream(error)) => return Err(error),
            Err(Refusal::Server(refusal)) if is_meeting(&refusal) && Instant::now() < end => sleep(MEETING).await,
            Err(Refusal::Server(refusal)) => return Err(refusal.of(name, None)),
        }
    }
}

/// Waits until the servers know who stores these subjects: one that another sidecar is making is found before it is there for everybody.
async fn until_taken(engine: &JetStream, config: &StreamConfig, end: Instant) -> Result<(), StreamError> {
    let Some(subject) = config.subjects.first() else { return Ok(()) };
    let name = server_name(&config.name);
    while !info::takers(engine, subject.as_str()).await?.contains(&name) {
        if Instant::now() >= end {
            return Err(StreamError::Unreachable { reason: format!("the servers do not agree that {name} is there").into() });
        }
        sleep(MEETING).await;
    }
    Ok(())
}

/// Another sidecar makes it at the same time: it was not there and now it is, or the other way round, as the servers of a cluster tell each other.
fn is_meeting(refusal: &refusal::Refusal) -> bool {
    refusal.is(&[ErrorCode::STREAM_NAME_EXIST, ErrorCode::STREAM_NOT_FOUND])
}

enum Refusal {
    Stream(StreamError),
    Server(refusal::Refusal),
}

impl From<StreamError> for Refusal {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// The stream as the server has it now.
async fn make_stream(engine: &JetStream, config: &StreamConfig) -> Result<ServerStreamInfo, Refusal> {
    let has_ttl = engine.require(Feature::TTL).is_ok();
    let mut wanted = settings::stream(config, has_ttl, engine.replicas());
    let verb = match info::raw(engine, &config.name).await {
        Ok(found) => {
            let before = own_stream(&found.config);
            if before.as_ref() == Some(config) {
                return Ok(found);
            }
            before.map_or(Ok(()), |before| unchanged(&before, config))?;
            // Where delayed messages come from.
            wanted.sources = found.config.sources;
            "UPDATE"
        }
        Err(refusal) if refusal.is(&[ErrorCode::STREAM_NOT_FOUND]) => "CREATE",
        Err(refusal) => return Err(Refusal::Server(refusal)),
    };
    match engine.ask(format!("STREAM.{verb}.{}", wanted.name), &wanted).await {
        Ok(made) => Ok(made),
        Err(refusal) if refusal.is_overlap() => Err(overlap(engine, config).await.into()),
        // A limit counts as used when it is promised, whatever is on the disk.
        Err(refusal) if refusal.is(&[ErrorCode::STORAGE_RESOURCES_EXCEEDED]) => {
            let reason = format!("{} is more than the server has left for streams", config.bytes_max);
            Err(StreamError::Invalid { field: "bytes_max", reason: reason.into() }.into())
        }
        Err(refusal) => Err(Refusal::Server(refusal)),
    }
}

/// What was promised to whom has a message stays promised.
fn unchanged(before: &StreamConfig, config: &StreamConfig) -> Result<(), StreamError> {
    let fixed =
        |field| Err(StreamError::Invalid { field, reason: "of a stream that exists cannot be changed; delete it and make it anew".into() });
    if before.retention != config.retention {
        return fixed("retention");
    }
    if before.durability != config.durability {
        return fixed("durability");
    }
    Ok(())
}

async fn overlap(engine: &JetStream, config: &StreamConfig) -> StreamError {
    for filter in &config.subjects {
        for found in info::takers(engine, filter.as_str()).await.unwrap_or_default() {
            let other = own_name(&found).or_else(|| Name::new(&found).ok());
            if let Some(other) = other.filter(|other| *other != config.name) {
                return StreamError::Overlap { other };
            }
        }
    }
    StreamError::Invalid { field: "subjects", reason: "another stream of the server takes some of the same".into() }
}

pub(super) async fn delete_stream(engine: &JetStream, stream: &Name) -> Result<bool, StreamError> {
    let deleted = engine.ask::<Done>(format!("STREAM.DELETE.{}", server_name(stream)), &json!({})).await;
    engine.forget(stream, None);
    attempts::forget(engine, stream, None).await;
    delay::delete(engine, stream).await;
    match deleted {
        Ok(done) => Ok(done.success),
        Err(refusal) if refusal.is(&[ErrorCode::STREAM_NOT_FOUND]) => Ok(false),
        Err(refusal) => Err(refusal.of(stream, None)),
    }
}

pub(super) async fn remove(engine: &JetStream, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
    let verb = format!("STREAM.MSG.DELETE.{}", server_name(stream));
    match engine.ask::<Done>(verb, &json!({ "seq": sequence })).await {
        Ok(done) => Ok(done.success),
        Err(refusal)
            if refusal.is(&[ErrorCode::NO_MESSAGE_FOUND, ErrorCode::SEQUENCE_NOT_FOUND, ErrorCode::STREAM_MESSAGE_DELETE_FAILED]) =>
        {
            Ok(false)
        }
        Err(refusal) => Err(refusal.of(stream, None)),
    }
}

pub(super) async fn purge(engine: &JetStream, stream: &Name, filter: Option<&str>) -> Result<u64, StreamError> {
    let asked = filter.map_or_else(|| json!({}), |filter| json!({ "filter": filter }));
    let purged = engine.ask::<Done>(format!("STREAM.PURGE.{}", server_name(stream)), &asked).await;
    purged.map(|done| done.purged).map_err(|refusal| refusal.of(stream, None))
}

pub(super) async fn put_consumer(engine: &JetStream, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError> {
    let of = info::config(engine, stream).await?;
    let made = make_consumer(engine, &of, config).await?;
    if of.retention == Retention::Interest {
        until_everywhere(engine, stream, &made).await?;
    }
    engine.forget(stream, Some(&config.name));
    info::consumer(engine, stream, &made)
        .await
        .ok_or_else(|| StreamError::Closed { stream: stream.clone(), cause: "the server keeps no metadata of consumers".into() })
}

/// Waits until each server that keeps the stream has the consumer, but for those that are away: each of them decides by itself whether anybody
/// wants a message, and one that has not heard of the consumer yet drops what is acknowledged meanwhile.
async fn until_everywhere(engine: &JetStream, stream: &Name, made: &ServerConsumerInfo) -> Result<(), StreamError> {
    let verb = format!("CONSUMER.INFO.{}.{}", server_name(stream), made.name);
    let end = Instant::now() + PATIENCE;
    let mut known = made.cluster.clone();
    let is_behind = |cluster: ClusterInfo| cluster.replicas.iter().any(|server| !server.current && !server.offline);
    // Who takes longer is away, which the others notice late. It hears of the consumer before it hears of messages.
    while known.is_some_and(is_behind) && Instant::now() < end {
        sleep(MEETING).await;
        let asked = engine.look::<ServerConsumerInfo>(verb.clone(), &json!({})).await;
        known = asked.map_err(|refusal| refusal.of(stream, None))?.cluster;
    }
    Ok(())
}

async fn make_consumer(engine: &JetStream, stream: &StreamConfig, config: &ConsumerConfig) -> Result<ServerConsumerInfo, StreamError> {
    let name = server_name(&stream.name);
    let asked: Value = json!({ "stream_name": name, "config": settings::consumer(config) });
    match engine.ask(format!("CONSUMER.CREATE.{name}.{}", config.name), &asked).await {
        Ok(made) => Ok(made),
        Err(refusal) if refusal.is_overlap() => {
            let shares = |other: &ConsumerConfig| other.name != config.name && other.shares_messages(config);
            let others = info::raw_consumers(engine, &stream.name).await?;
            let other = others.iter().filter_map(|found| own_consumer(&found.name, &found.config)).find(shares);
            Err(other.map_or_else(
                || StreamError::Invalid { field: "filter", reason: "another consumer of the server takes some of the same".into() },
                |other| StreamError::Overlap { other: other.name },
            ))
        }
        Err(refusal) => Err(refusal.of(&stream.name, Some(&config.name))),
    }
}

pub(super) async fn delete_consumer(engine: &JetStream, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
    let deleted = engine.ask::<Done>(format!("CONSUMER.DELETE.{}.{consumer}", server_name(stream)), &json!({})).await;
    engine.forget(stream, Some(consumer));
    attempts::forget(engine, stream, Some(consumer)).await;
    match deleted {
        Ok(done) => Ok(done.success),
        Err(refusal) if refusal.is(&[ErrorCode::CONSUMER_NOT_FOUND]) => Ok(false),
        Err(refusal) => Err(refusal.of(stream, Some(consumer))),
    }
}
