//! What a bus can do with streams.

use std::sync::Arc;
use std::time::Duration;

use myelin_store::{ConsumerConfig, OpenError, Stored, StreamConfig, StreamInfo};

use super::consumer::Source;
use super::engine::{Record, StreamEngine, Streams};
use super::error::{PublishDurableError, StreamError};
use super::job::message_of;
use super::local::{Local, StoreConfig, StoreReport};
use super::{Consumer, Name, headers, storing};
use crate::wire::Filter;
use crate::{Bus, EmbeddedConfig, Message, payload};

/// A message is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// In which stream.
    pub stream: Name,
    /// Its place there.
    pub sequence: u64,
    /// Whether it had been stored before, under the same id.
    pub is_duplicate: bool,
}

impl Receipt {
    pub(crate) fn new(stream: Name, sequence: u64, is_duplicate: bool) -> Self {
        Self { stream, sequence, is_duplicate }
    }
}

/// What may be asked for with a message.
#[derive(Debug, Clone, Default)]
pub struct PublishOptions {
    /// A message of the same id is stored once within the stream's window. At most 255 bytes count.
    pub id: Option<Box<str>>,
    /// It expires this long after it was stored; default: with the stream's own limit.
    pub ttl: Option<Duration>,
    /// It is delivered this long after it was stored; default: at once.
    pub delay: Option<Duration>,
    /// It is stored only if this is the last sequence on its subject, 0 for none; default: whatever it is.
    pub expected_last_sequence: Option<u64>,
}

impl Bus {
    /// A bus inside this process that keeps streams in a directory. Reads all of them, which takes about a second per gigabyte and blocks.
    ///
    /// It has no tasks of its own. A [`StreamServer`](super::StreamServer) on it stores plain publishes on the streams' subjects and makes dead
    /// letters of what expires unread, half a second later at most, besides answering other processes.
    ///
    /// # Errors
    /// When the directory cannot be used, or another process has it open. Damage is no error: see the report.
    pub fn embedded_with_store(config: EmbeddedConfig, store: &StoreConfig) -> Result<(Self, StoreReport), OpenError> {
        let (local, report) = Local::open(store)?;
        Ok((Self::embedded_streams(config, Some(Arc::new(Streams::Local(local)))), report))
    }

    /// Makes a stream, or changes one of the same name. Where a [`StreamServer`](super::StreamServer) runs, plain publishes on its subjects are
    /// stored from when this returns.
    ///
    /// # Errors
    /// When a setting makes no sense or cannot be changed any more (`retention` and `durability` of a stream that exists), another stream stores
    /// some of the same subjects, or the store refuses.
    ///
    /// # Cancel safety
    /// The stream may have been made.
    pub async fn ensure_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        if config.subjects.is_empty() {
            return Err(StreamError::Invalid { field: "subjects", reason: "a stream stores at least one".into() });
        }
        if config.message_bytes_max == 0 {
            return Err(StreamError::Invalid { field: "message_bytes_max", reason: "no message would ever be stored".into() });
        }
        let streams = self.streams()?;
        let info = streams.put_stream(config).await?;
        streams.tell_server().await;
        Ok(info)
    }

    /// Publishes a message into the stream that stores its subject, and waits until it is as safe as the stream promises.
    ///
    /// # Errors
    /// The message is not stored, unless [`may_have_happened`](PublishDurableError::may_have_happened).
    ///
    /// # Cancel safety
    /// The message may be stored. With an id, publishing it again is safe.
    pub async fn publish_durable(&self, message: &Message, options: &PublishOptions) -> Result<Receipt, PublishDurableError> {
        let no_stream = || PublishDurableError::NoStream { subject: message.subject.clone() };
        let streams = self.streams().map_err(|_| no_stream())?;
        let max = self.payload_bytes_max();
        let too_large = |size| PublishDurableError::TooLarge { size, max };
        let meta = message.meta.as_deref();
        let payload = payload::encode(meta, &message.body).map_err(|_| too_large(message.body.len()))?;
        if payload.len() > max {
            return Err(too_large(payload.len()));
        }
        let record = Record {
            subject: message.subject.clone(),
            id: options.id.clone(),
            headers: headers::encode(meta.map(|meta| &*meta.headers).unwrap_or_default()),
            payload,
            ttl: options.ttl,
            delay: options.delay,
            expected_last: options.expected_last_sequence,
            may_evict_to: 0,
        };
        storing::store(streams, record).await
    }

    /// Makes a durable consumer of a stream, or changes one of the same name; a worker's side of it.
    ///
    /// # Errors
    /// When a setting makes no sense, there is no such stream, or, on a work queue, another consumer takes some of the same messages.
    ///
    /// # Cancel safety
    /// The consumer may have been made.
    pub async fn ensure_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<Consumer, StreamError> {
        let invalid = |field, reason: &str| Err(StreamError::Invalid { field, reason: reason.into() });
        if config.deliveries_max == 0 {
            return invalid("deliveries_max", "a message is delivered at least once");
        }
        if config.in_flight_max == 0 {
            return invalid("in_flight_max", "nothing would ever be delivered");
        }
        if config.ack_wait.is_zero() {
            return invalid("ack_wait", "no worker could ever answer in time");
        }
        let streams = self.streams()?;
        streams.put_consumer(stream, config).await?;
        Ok(consumer_of(streams, stream, config))
    }

    /// A worker's side of a consumer that somebody made.
    ///
    /// # Errors
    /// When there is no such consumer.
    pub async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<Consumer, StreamError> {
        let streams = self.streams()?;
        let config = streams.consumer(stream, consumer).await?;
        Ok(consumer_of(streams, stream, &config))
    }

    /// What there is of a stream.
    ///
    /// # Errors
    /// When there is no such stream.
    pub async fn stream_info(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        self.streams()?.stream(stream).await
    }

    /// All streams, by name.
    ///
    /// # Errors
    /// When the bus has no store.
    pub async fn list_streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        self.streams()?.streams().await
    }

    /// Deletes a stream with everything in it. Tells whether there was one.
    ///
    /// # Errors
    /// When its files cannot be removed.
    ///
    /// # Cancel safety
    /// The stream may be gone.
    pub async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        let streams = self.streams()?;
        let deleted = streams.delete_stream(stream).await?;
        streams.tell_server().await;
        Ok(deleted)
    }

    /// Deletes every message of a stream on subjects of the filter, or every message. Tells how many.
    ///
    /// # Errors
    /// When there is no such stream, or it is closed.
    ///
    /// # Cancel safety
    /// The messages may be gone.
    pub async fn purge_stream(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError> {
        self.streams()?.purge(stream, filter).await
    }

    /// Deletes one message. Tells whether it was there.
    ///
    /// # Errors
    /// When there is no such stream, or it is closed.
    ///
    /// # Cancel safety
    /// The message may be gone.
    pub async fn delete_message(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
        self.streams()?.remove(stream, sequence).await
    }

    /// Up to `max` sequences of a stream from `from` on whose subjects match, in order.
    ///
    /// # Errors
    /// When there is no such stream.
    pub async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        self.streams()?.sequences(stream, from, max, filter).await
    }

    /// Reads one message as it was published. `None` if it is not there, or cannot be read any more.
    ///
    /// # Errors
    /// When there is no such stream, or its file cannot be read.
    pub async fn get_message(&self, stream: &Name, sequence: u64) -> Result<Option<Message>, StreamError> {
        Ok(self.get_stored(stream, sequence).await?.as_ref().map(message_of))
    }

    pub(super) async fn get_stored(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        self.streams()?.get(stream, sequence).await
    }

    /// Deletes a consumer. Tells whether there was one.
    ///
    /// # Errors
    /// When there is no such stream, or it is closed.
    ///
    /// # Cancel safety
    /// The consumer may be gone.
    pub async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        self.streams()?.delete_consumer(stream, consumer).await
    }

    fn streams(&self) -> Result<&Arc<Streams>, StreamError> {
        self.shared().streams.as_ref().ok_or(StreamError::NoStore)
    }
}

fn consumer_of(streams: &Arc<Streams>, stream: &Name, config: &ConsumerConfig) -> Consumer {
    let source = Source { streams: Arc::clone(streams), stream: stream.clone(), consumer: config.name.clone() };
    Consumer { source: Arc::new(source), deliveries_max: config.deliveries_max, ack_wait: config.ack_wait }
}
