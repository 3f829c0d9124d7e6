//! What a server tells about streams and consumers.

use async_nats::jetstream::consumer::Info as ServerConsumerInfo;
use async_nats::jetstream::stream::Info as ServerStreamInfo;
use myelin_store::{ConsumerInfo, Name, StreamConfig, StreamInfo};
use serde::Deserialize;
use serde_json::json;

use super::super::error::StreamError;
use super::refusal::Refusal;
use super::settings::{own_consumer, own_stream};
use super::{JetStream, delay, millis, read, server_name};

#[derive(Deserialize)]
struct Streams {
    total: usize,
    #[serde(default)]
    streams: Option<Vec<ServerStreamInfo>>,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    streams: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Consumers {
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<ServerConsumerInfo>>,
}

/// The server's own words about one of our streams.
pub(super) async fn raw(engine: &JetStream, stream: &Name) -> Result<ServerStreamInfo, Refusal> {
    engine.ask(format!("STREAM.INFO.{}", server_name(stream)), &json!({})).await
}

pub(super) async fn config(engine: &JetStream, stream: &Name) -> Result<StreamConfig, StreamError> {
    let info = raw(engine, stream).await.map_err(|refusal| refusal.of(stream, None))?;
    own_stream(&info.config).ok_or_else(|| foreign(stream))
}

fn foreign(stream: &Name) -> StreamError {
    StreamError::Closed { stream: stream.clone(), cause: "the server's stream of this name was not made by Myelin".into() }
}

/// The stream that stores a subject, if it is one of ours.
pub(super) async fn taker(engine: &JetStream, subject: &str) -> Result<Option<StreamConfig>, StreamError> {
    match takers(engine, subject).await?.iter().find_map(|name| super::own_name(name)) {
        Some(name) => config(engine, &name).await.map(Some),
        None => Ok(None),
    }
}

/// The server's names of the streams that store some of the same subjects.
pub(super) async fn takers(engine: &JetStream, filter: &str) -> Result<Vec<String>, StreamError> {
    let names = engine.ask::<Names>("STREAM.NAMES".to_owned(), &json!({ "subject": filter })).await;
    match names {
        Ok(names) => Ok(names.streams.unwrap_or_default()),
        Err(Refusal::Unreachable(reason)) => Err(StreamError::Unreachable { reason }),
        Err(Refusal::Server(error)) => Err(StreamError::Unreachable { reason: error.to_string().into() }),
    }
}

pub(super) async fn stream(engine: &JetStream, stream: &Name) -> Result<StreamInfo, StreamError> {
    let info = raw(engine, stream).await.map_err(|refusal| refusal.of(stream, None))?;
    describe(engine, &info).await?.ok_or_else(|| foreign(stream))
}

pub(super) async fn streams(engine: &JetStream) -> Result<Vec<StreamInfo>, StreamError> {
    let mut told = Vec::new();
    for info in raw_streams(engine).await? {
        told.extend(describe(engine, &info).await?);
    }
    Ok(told)
}

/// The server's own words about its streams, ours and others'.
pub(super) async fn raw_streams(engine: &JetStream) -> Result<Vec<ServerStreamInfo>, StreamError> {
    let mut told = Vec::new();
    loop {
        let page = engine.ask::<Streams>("STREAM.LIST".to_owned(), &json!({ "offset": told.len() })).await;
        let page = page.map_err(|refusal| match refusal {
            Refusal::Unreachable(reason) => StreamError::Unreachable { reason },
            Refusal::Server(error) => StreamError::Unreachable { reason: error.to_string().into() },
        })?;
        let streams = page.streams.unwrap_or_default();
        let is_last = streams.is_empty();
        told.extend(streams);
        if is_last || told.len() >= page.total {
            return Ok(told);
        }
    }
}

/// One of our streams with its consumers; `None` of somebody else's.
async fn describe(engine: &JetStream, info: &ServerStreamInfo) -> Result<Option<StreamInfo>, StreamError> {
    let Some(config) = own_stream(&info.config) else { return Ok(None) };
    let state = &info.state;
    let is_empty = state.messages == 0;
    let consumers = consumers(engine, &config.name).await?;
    let is_fed = info.config.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    let (due, due_bytes) = if is_fed { delay::waiting(engine, &config.name).await } else { (0, 0) };
    Ok(Some(StreamInfo {
        config,
        messages: state.messages + due,
        bytes: state.bytes + due_bytes,
        disk_bytes: state.bytes + due_bytes,
        first_sequence: if is_empty { 0 } else { state.first_sequence },
        last_sequence: state.last_sequence,
        first_ms: (!is_empty).then(|| millis(state.first_timestamp)),
        subjects: usize::try_from(state.subjects_count).unwrap_or(usize::MAX),
        // The server does not count why messages went.
        evicted: 0,
        expired: 0,
        removed: 0,
        ids_forgotten: 0,
        is_disk_full: false,
        consumers,
    }))
}

async fn consumers(engine: &JetStream, stream: &Name) -> Result<Vec<ConsumerInfo>, StreamError> {
    let mut told = Vec::new();
    for info in raw_consumers(engine, stream).await? {
        told.extend(consumer(engine, stream, &info).await);
    }
    Ok(told)
}

pub(super) async fn raw_consumers(engine: &JetStream, stream: &Name) -> Result<Vec<ServerConsumerInfo>, StreamError> {
    let mut told = Vec::new();
    loop {
        let verb = format!("CONSUMER.LIST.{}", server_name(stream));
        let page = engine.ask::<Consumers>(verb, &json!({ "offset": told.len() })).await.map_err(|refusal| refusal.of(stream, None))?;
        let consumers = page.consumers.unwrap_or_default();
        if consumers.is_empty() {
            return Ok(told);
        }
        told.extend(consumers);
        if told.len() >= page.total {
            return Ok(told);
        }
    }
}

/// A consumer by its name.
pub(super) async fn of_consumer(engine: &JetStream, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
    let verb = format!("CONSUMER.INFO.{}.{consumer}", server_name(stream));
    let info = engine.ask::<ServerConsumerInfo>(verb, &json!({})).await.map_err(|refusal| refusal.of(stream, Some(consumer)))?;
    let foreign = || StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() };
    self::consumer(engine, stream, &info).await.ok_or_else(foreign)
}

/// One of our consumers; `None` of somebody else's.
pub(super) async fn consumer(engine: &JetStream, stream: &Name, info: &ServerConsumerInfo) -> Option<ConsumerInfo> {
    let config = own_consumer(&info.name, &info.config)?;
    let is_done = info.num_pending == 0 && info.num_ack_pending == 0;
    let floor = info.ack_floor.stream_sequence;
    let oldest = if is_done { None } else { read::next(engine, stream, floor + 1, config.filter.as_ref()).await.ok().flatten() };
    let oldest_ms = oldest.map(|message| millis(message.time));
    Some(ConsumerInfo {
        waiting: info.num_pending,
        in_flight: info.num_ack_pending,
        oldest_pending: (info.num_ack_pending > 0).then_some(floor + 1),
        oldest_ms,
        delivered: info.delivered.consumer_sequence,
        redelivered: info.num_redelivered as u64,
        // What is behind the floor, which is as far as the server tells.
        acked: info.ack_floor.consumer_sequence,
        config,
    })
}
