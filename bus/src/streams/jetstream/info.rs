//! What a server tells about streams and consumers.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::Info as ServerConsumerInfo;
use async_nats::jetstream::stream::Info as ServerStreamInfo;
use futures_util::{StreamExt, stream};
use myelin_store::{ConsumerInfo, Name, StreamConfig, StreamInfo};
use serde::Deserialize;
use serde_json::json;

use super::super::error::StreamError;
use super::refusal::Refusal;
use super::settings::{own_consumer, own_stream};
use super::{JetStream, delay, millis, read, server_name};

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    total: usize,
    #[serde(default)]
    streams: Option<Vec<String>>,
    #[serde(default)]
    consumers: Option<Vec<String>>,
}

/// Questions that are asked at once.
const AT_ONCE: usize = 32;

/// The server's own words about one of our streams.
pub(super) async fn raw(engine: &JetStream, stream: &Name) -> Result<ServerStreamInfo, Refusal> {
    engine.look(format!("STREAM.INFO.{}", server_name(stream)), &json!({})).await
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

/// All streams of ours, by name. Cheaper in a cluster than to be told all about them, which each of their leaders has to do.
pub(super) async fn names(engine: &JetStream) -> Result<Vec<Name>, StreamError> {
    let mut told = Vec::new();
    loop {
        let page = engine.look::<Names>("STREAM.NAMES".to_owned(), &json!({ "offset": told.len() })).await.map_err(Refusal::unreachable)?;
        let names = page.streams.unwrap_or_default();
        let is_last = names.is_empty();
        told.extend(names);
        if is_last || told.len() >= page.total {
            return Ok(told.iter().filter_map(|name| super::own_name(name)).collect());
        }
    }
}

/// The server's names of the streams that store some of the same subjects.
pub(super) async fn takers(engine: &JetStream, filter: &str) -> Result<Vec<String>, StreamError> {
    let names = engine.look::<Names>("STREAM.NAMES".to_owned(), &json!({ "subject": filter })).await;
    Ok(names.map_err(Refusal::unreachable)?.streams.unwrap_or_default())
}

pub(super) async fn stream(engine: &JetStream, stream: &Name) -> Result<StreamInfo, StreamError> {
    let info = raw(engine, stream).await.map_err(|refusal| refusal.of(stream, None))?;
    describe(engine, &info).await?.ok_or_else(|| foreign(stream))
}

/// All streams of ours, each asked for by itself: in a cluster, a list of the server's lacks those whose leaders did not answer soon.
pub(super) async fn streams(engine: &JetStream) -> Result<Vec<StreamInfo>, StreamError> {
    let mut names = names(engine).await?;
    names.sort_unstable();
    let ask = async |name: &Name| match raw(engine, name).await {
        Ok(info) => describe(engine, &info).await,
        Err(refusal) => Err(refusal.of(name, None)),
    };
    let told: Vec<_> = stream::iter(names.iter().map(ask)).buffered(AT_ONCE).collect().await;
    // One that was deleted since is none, nor is somebody else's.
    let there = told.into_iter().filter(|told| !matches!(told, Err(StreamError::NoStream { .. })));
    there.filter_map(Result::transpose).collect()
}

/// One of our streams with its consumers; `None` of somebody else's.
pub(super) async fn describe(engine: &JetStream, info: &ServerStreamInfo) -> Result<Option<StreamInfo>, StreamError> {
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

/// The server's own words about the consumers of a stream, each asked for by itself, as [`streams`].
pub(super) async fn raw_consumers(engine: &JetStream, stream: &Name) -> Result<Vec<ServerConsumerInfo>, StreamError> {
    let mut names = Vec::new();
    loop {
        let verb = format!("CONSUMER.NAMES.{}", server_name(stream));
        let page = engine.look::<Names>(verb, &json!({ "offset": names.len() })).await.map_err(|refusal| refusal.of(stream, None))?;
        let found = page.consumers.unwrap_or_default();
        let is_last = found.is_empty();
        names.extend(found);
        if is_last || names.len() >= page.total {
            break;
        }
    }
    names.sort_unstable();
    let ask = async |name: &String| {
        let verb = format!("CONSUMER.INFO.{}.{name}", server_name(stream));
        engine.look::<ServerConsumerInfo>(verb, &json!({})).await
    };
    let told: Vec<_> = stream::iter(names.iter().map(ask)).buffered(AT_ONCE).collect().await;
    // One that was deleted since is none.
    let there = told.into_iter().filter(|told| !matches!(told, Err(refusal) if refusal.is(&[ErrorCode::CONSUMER_NOT_FOUND])));
    there.map(|told| told.map_err(|refusal| refusal.of(stream, None))).collect()
}

/// A consumer by its name.
pub(super) async fn of_consumer(engine: &JetStream, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
    let verb = format!("CONSUMER.INFO.{}.{consumer}", server_name(stream));
    let info = engine.look::<ServerConsumerInfo>(verb, &json!({})).await.map_err(|refusal| refusal.of(stream, Some(consumer)))?;
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
