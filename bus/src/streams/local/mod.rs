//! Streams in a store of this process.

mod many;
mod readers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use myelin_store::{
    ConsumerConfig, ConsumerInfo, Damage, Delivered, Durability, Name, OpenError, Publish, Store, StoreError, Stored, Stream, StreamConfig,
    StreamInfo, Unsettled,
};
use parking_lot::{Mutex, RwLock};
use tokio::time::sleep;

use self::readers::Readers;
use super::api::Serving;
use super::engine::{Failure, Placed, Record, StreamEngine};
use super::error::{ConsumeError, PublishDurableError, StreamError, chain};
use super::reason::DeadReason;
use super::verbs::Receipt;
use crate::wire::{Filter, Subject};

/// Where an embedded bus keeps its streams.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Directory, made if it is not there. One process at a time has it open.
    pub directory: PathBuf,
}

/// What was found when a store was opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreReport {
    /// Records that are missing. Everything else is there.
    pub damage: Vec<Damage>,
    /// Streams that cannot be opened at all, left as they are.
    pub unopened: Vec<(Name, OpenError)>,
}

#[derive(Debug)]
pub(crate) struct Local {
    store: Store,
    /// Who stores what, so that a publish asks no stream that does not take it.
    takers: RwLock<Vec<(Vec<Filter>, Stream)>>,
    /// The last number of a dead letter whose message was in no stream.
    strays: AtomicU64,
    /// Streams are made and changed one at a time, so that what is checked before holds.
    making: tokio::sync::Mutex<()>,
    readers: Readers,
    /// Letters that were written since the start, by reason.
    letters: [AtomicU64; DeadReason::ALL.len()],
    /// Who answers requests about these streams and captures plain publishes for them.
    server: Mutex<Weak<Serving>>,
}

impl Local {
    /// Opens the store. Blocks for about a second per gigabyte.
    pub(crate) fn open(config: &StoreConfig) -> Result<(Self, StoreReport), OpenError> {
        let opened = Store::open(&config.directory)?;
        Ok((Self::over(opened.store), StoreReport { damage: opened.damage, unopened: opened.unopened }))
    }

    pub(crate) fn over(store: Store) -> Self {
        let local = Self {
            store,
            takers: RwLock::default(),
            strays: AtomicU64::new(0),
            making: tokio::sync::Mutex::default(),
            readers: Readers::default(),
            letters: Default::default(),
            server: Mutex::default(),
        };
        local.learn();
        local
    }

    /// Writes and syncs what is there. Blocks for as long as the disk takes.
    pub(crate) fn close(&self) {
        self.store.close();
    }

    fn learn(&self) {
        let takers = self.store.streams().into_iter().map(|stream| (stream.config().subjects, stream)).collect();
        *self.takers.write() = takers;
    }

    fn taker(&self, subject: &Subject) -> Option<Stream> {
        let takes = |(filters, _): &&(Vec<Filter>, Stream)| filters.iter().any(|filter| filter.matches(subject));
        self.takers.read().iter().find(takes).map(|(_, stream)| stream.clone())
    }

    fn find(&self, stream: &Name) -> Result<Stream, StreamError> {
        self.store.stream(stream).ok_or_else(|| StreamError::NoStream { stream: stream.clone() })
    }

    pub(crate) fn infos(&self) -> Vec<StreamInfo> {
        self.store.streams().iter().map(Stream::info).collect()
    }

    /// What each stream stores.
    pub(crate) fn subjects(&self) -> Vec<(Name, Vec<Filter>)> {
        self.takers.read().iter().map(|(filters, stream)| (stream.name().clone(), filters.clone())).collect()
    }

    /// Whether what goes for a message on this subject becomes a dead letter first.
    pub(super) fn moves_evicted(&self, subject: &Subject) -> bool {
        self.taker(subject).is_some_and(|stream| stream.config().dead_letter_evicted)
    }

    pub(crate) fn swept(&self) -> Vec<StreamConfig> {
        let configs = self.store.streams().into_iter().map(|stream| stream.config());
        configs.filter(|config| config.dead_letter_expired).collect()
    }

    pub(crate) fn expired(&self, stream: &Name, max: usize) -> Result<Vec<Unsettled>, StreamError> {
        Ok(self.find(stream)?.expired(max))
    }

    pub(crate) async fn expire(&self, stream: &Name, sequences: &[u64]) -> Result<(), StreamError> {
        self.find(stream)?.expire(sequences).await.map(drop).map_err(|error| StreamError::of(stream, error))
    }

    pub(crate) fn unsettled(&self, stream: &Name, from: u64, to: u64, max: usize) -> Result<Vec<Unsettled>, StreamError> {
        Ok(self.find(stream)?.unsettled(from, to, max))
    }

    /// Who captures plain publishes.
    pub(super) fn server(&self) -> Option<Arc<Serving>> {
        self.server.lock().upgrade()
    }

    pub(super) fn set_server(&self, serving: &Arc<Serving>) {
        *self.server.lock() = Arc::downgrade(serving);
    }

    /// A letter was written that was not there before.
    pub(crate) fn count_letter(&self, reason: DeadReason) {
        if let Some(count) = self.letters.get(reason.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many letters were written since the start.
    pub(crate) fn letters(&self) -> Vec<(DeadReason, u64)> {
        DeadReason::ALL.into_iter().zip(self.letters.iter().map(|count| count.load(Ordering::Relaxed))).collect()
    }

    /// A number for a message that is in no stream: the time, and 4,096 in each millisecond, so that those of an earlier process are lower. A
    /// number beyond 2^53 would be another one after some reader of JSON.
    pub(crate) fn stray_number(&self, now_ms: u64) -> u64 {
        let next = |last: u64| Some((last + 1).max(now_ms << 12));
        let last = self.strays.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        (last + 1).max(now_ms << 12)
    }

    /// A stream with all that was acknowledged. What was acked before it was written is waited for: a receipt is no promise to find nothing.
    async fn readable(&self, stream: &Name) -> Result<Stream, StreamError> {
        let found = self.find(stream)?;
        if found.config().durability != Durability::Synced {
            found.caught_up().await.map_err(|error| StreamError::of(stream, error))?;
        }
        Ok(found)
    }

    /// Whether a stream may be changed to that.
    fn check_change(&self, before: &StreamConfig, config: &StreamConfig) -> Result<(), StreamError> {
        let fixed = |field| {
            Err(StreamError::Invalid { field, reason: "of a stream that exists cannot be changed; delete it and make it anew".into() })
        };
        if before.retention != config.retention {
            return fixed("retention");
        }
        if before.durability != config.durability {
            return fixed("durability");
        }
        let others = self.store.streams().into_iter().map(|stream| stream.config());
        let other = others.filter(|other| other.name != config.name).find(|other| other.shares_subjects(config));
        other.map_or(Ok(()), |other| Err(StreamError::Overlap { other: other.name }))
    }

    fn open_consumer(&self, stream: &Name, consumer: &Name) -> Result<myelin_store::Consumer, StreamError> {
        let found = self.find(stream)?.consumer(consumer);
        found.ok_or_else(|| StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() })
    }

    /// Waits until a consumer's deliveries would be counted after a crash.
    pub(crate) async fn noted(&self, stream: &Name, consumer: &Name) -> Result<(), ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.noted().await.map_err(|error| failed(stream, &consumer, error))
    }

    /// A worker is gone: what it had comes again at once, as far as there is room to note it; else when `ack_wait` is over.
    pub(crate) fn release(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) {
        if let Ok(consumer) = self.open_consumer(stream, consumer) {
            consumer.release(sequence, delivery);
        }
    }
}

impl StreamEngine for Local {
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        let _turn = self.making.lock().await;
        let stream = if let Some(stream) = self.store.stream(&config.name) {
            self.check_change(&stream.config(), config)?;
            if stream.config() != *config {
                stream.update(config.clone()).await.map_err(|error| StreamError::of(&config.name, error))?;
            }
            stream
        } else {
            // Files are made for it.
            let (store, asked) = (self.store.clone(), config.clone());
            let made = self.readers.blocking(&config.name, move || store.create(asked)).await?;
            made.map_err(|error| StreamError::of_create(&config.name, error))?
        };
        self.learn();
        Ok(stream.info())
    }

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        let _turn = self.making.lock().await;
        let (store, name) = (self.store.clone(), stream.clone());
        let deleted = self.readers.blocking(stream, move || store.delete(&name)).await?;
        self.learn();
        deleted.map_err(|error| StreamError::Closed { stream: stream.clone(), cause: chain(&error).into() })
    }

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        Ok(self.find(stream)?.info())
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        Ok(self.infos())
    }

    async fn store(&self, record: &Record) -> Result<Placed, PublishDurableError> {
        let no_stream = || PublishDurableError::NoStream { subject: record.subject.clone() };
        let stream = self.taker(&record.subject).ok_or_else(no_stream)?;
        let now_ms = stream.now_ms();
        let after = |duration: Duration| now_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let mut publish = Publish::new(record.subject.clone(), record.payload.clone());
        publish.id.clone_from(&record.id);
        publish.headers = record.headers.clone();
        publish.expires_ms = record.ttl.map(after);
        publish.due_ms = record.delay.map(after);
        (publish.expected_last, publish.may_evict_to) = (record.expected_last, record.may_evict_to);
        let name = stream.name().clone();
        match stream.publish(&publish).await {
            Ok(receipt) => Ok(Placed::Stored(Receipt { stream: name, sequence: receipt.sequence, is_duplicate: receipt.is_duplicate })),
            Err(StoreError::MustMove { to }) => Ok(Placed::MustMove { stream: name, to }),
            Err(error) => Err(PublishDurableError::of(&name, error)),
        }
    }

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        let Some(found) = self.readable(stream).await?.find(sequence) else { return Ok(None) };
        let read = if found.is_here() { found.read() } else { self.readers.blocking(stream, || found.read()).await? };
        read.map_err(|error| StreamError::Closed { stream: stream.clone(), cause: error.to_string().into() })
    }

    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        Ok(self.readable(stream).await?.sequences(from, max, filter))
    }

    async fn remove(&self, stream: &Name, sequence: u64) -> Result<bool, StreamError> {
        self.find(stream)?.delete(sequence).await.map_err(|error| StreamError::of(stream, error))
    }

    async fn purge(&self, stream: &Name, filter: Option<&Filter>) -> Result<u64, StreamError> {
        self.find(stream)?.purge(filter).await.map_err(|error| StreamError::of(stream, error))
    }

    async fn put_consumer(&self, stream: &Name, config: &ConsumerConfig) -> Result<ConsumerInfo, StreamError> {
        let consumer = self.find(stream)?.put_consumer(config).await.map_err(|error| StreamError::of(stream, error))?;
        consumer.info().ok_or_else(|| StreamError::NoConsumer { stream: stream.clone(), consumer: config.name.clone() })
    }

    async fn consumer(&self, stream: &Name, consumer: &Name) -> Result<ConsumerConfig, StreamError> {
        let config = self.open_consumer(stream, consumer)?.config();
        config.ok_or_else(|| StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() })
    }

    async fn consumer_info(&self, stream: &Name, consumer: &Name) -> Result<ConsumerInfo, StreamError> {
        let info = self.open_consumer(stream, consumer)?.info();
        info.ok_or_else(|| StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() })
    }

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        self.find(stream)?.delete_consumer(consumer).await.map_err(|error| StreamError::of(stream, error))
    }

    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        let enough = async {
            if !wait.is_zero() {
                sleep(wait).await;
            }
        };
        self.lease_within(stream, consumer, max, u64::MAX, enough).await
    }

    async fn ack(&self, stream: &Name, consumer: &Name, sequence: u64, _delivery: u32) -> Result<bool, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        let settled = consumer.ack(&[sequence]).await.map_err(|error| failed(stream, &consumer, error))?;
        Ok(settled == 1)
    }

    async fn fail(&self, stream: &Name, consumer: &Name, failure: Failure<'_>) -> Result<bool, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        let delay_ms = failure.delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        let ended = consumer.fail(failure.sequence, failure.delivery, failure.outcome, failure.error, delay_ms).await;
        ended.map_err(|error| failed(stream, &consumer, error))
    }

    async fn extend(&self, stream: &Name, consumer: &Name, sequence: u64, delivery: u32) -> Result<bool, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.extend(sequence, delivery).await.map_err(|error| failed(stream, &consumer, error))
    }
}

fn failed(stream: &Name, consumer: &myelin_store::Consumer, error: StoreError) -> ConsumeError {
    ConsumeError::Stream(match error {
        StoreError::NoConsumer => StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.name().clone() },
        error => StreamError::of(stream, error),
    })
}
