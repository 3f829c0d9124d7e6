//! Streams in a store of this process.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use myelin_store::{
    ConsumerConfig, ConsumerInfo, CreateError, Damage, Delivered, Name, OpenError, Publish, Store, StoreError, Stored, Stream,
    StreamConfig, StreamInfo,
};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::engine::{Failure, Record, StreamEngine};
use super::error::{ConsumeError, PublishDurableError, StreamError, chain};
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
    /// One stream is made or changed at a time: between the look at the others' subjects and the change, nobody else changes any.
    changing: Mutex<()>,
    /// The last number of a dead letter whose message was in no stream.
    strays: AtomicU64,
}

impl Local {
    /// Opens the store. Blocks for about a second per gigabyte.
    pub(crate) fn open(config: &StoreConfig) -> Result<(Self, StoreReport), OpenError> {
        let opened = Store::open(&config.directory)?;
        Ok((Self::over(opened.store), StoreReport { damage: opened.damage, unopened: opened.unopened }))
    }

    pub(crate) fn over(store: Store) -> Self {
        let local = Self { store, takers: RwLock::default(), changing: Mutex::default(), strays: AtomicU64::new(0) };
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

    /// A stream that is changed may store what no other one does. Making one checks the same.
    fn check_subjects(&self, config: &StreamConfig) -> Result<(), StreamError> {
        let shares = |stream: &&Stream| stream.name() != &config.name && stream.config().shares_subjects(config);
        match self.store.streams().iter().find(shares) {
            Some(stream) => Err(StreamError::Overlap { other: stream.name().clone() }),
            None => Ok(()),
        }
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

    /// A number for a message that is in no stream: the time, and 4,096 in each millisecond, so that those of an earlier process are lower. A
    /// number beyond 2^53 would be another one after some reader of JSON.
    pub(crate) fn stray_number(&self, now_ms: u64) -> u64 {
        let next = |last: u64| Some((last + 1).max(now_ms << 12));
        let last = self.strays.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        (last + 1).max(now_ms << 12)
    }

    fn open_consumer(&self, stream: &Name, consumer: &Name) -> Result<myelin_store::Consumer, StreamError> {
        let found = self.find(stream)?.consumer(consumer);
        found.ok_or_else(|| StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() })
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
        let _turn = self.changing.lock().await;
        let stream = match self.store.create(config.clone()) {
            Ok(stream) => stream,
            Err(CreateError::Exists { .. }) => {
                let stream = self.find(&config.name)?;
                if stream.config() != *config {
                    self.check_subjects(config)?;
                    stream.update(config.clone()).await.map_err(|error| StreamError::of(&config.name, error))?;
                }
                stream
            }
            Err(error) => return Err(StreamError::of_create(&config.name, error)),
        };
        self.learn();
        Ok(stream.info())
    }

    async fn delete_stream(&self, stream: &Name) -> Result<bool, StreamError> {
        let deleted =
            self.store.delete(stream).map_err(|error| StreamError::Closed { stream: stream.clone(), cause: chain(&error).into() });
        self.learn();
        deleted
    }

    async fn stream(&self, stream: &Name) -> Result<StreamInfo, StreamError> {
        Ok(self.find(stream)?.info())
    }

    async fn streams(&self) -> Result<Vec<StreamInfo>, StreamError> {
        Ok(self.infos())
    }

    async fn store(&self, record: &Record) -> Result<Receipt, PublishDurableError> {
        let no_stream = || PublishDurableError::NoStream { subject: record.subject.clone() };
        let stream = self.taker(&record.subject).ok_or_else(no_stream)?;
        let now_ms = stream.now_ms();
        let after = |duration: Duration| now_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let mut publish = Publish::new(record.subject.clone(), record.payload.clone());
        publish.id.clone_from(&record.id);
        publish.headers = record.headers.clone();
        publish.expires_ms = record.ttl.map(after);
        publish.due_ms = record.delay.map(after);
        publish.expected_last = record.expected_last;
        let receipt = stream.publish(&publish).await.map_err(|error| PublishDurableError::of(stream.name(), error))?;
        Ok(Receipt { stream: stream.name().clone(), sequence: receipt.sequence, is_duplicate: receipt.is_duplicate })
    }

    async fn get(&self, stream: &Name, sequence: u64) -> Result<Option<Stored>, StreamError> {
        let found = self.find(stream)?.get(sequence);
        found.map_err(|error| StreamError::Closed { stream: stream.clone(), cause: error.to_string().into() })
    }

    async fn sequences(&self, stream: &Name, from: u64, max: usize, filter: Option<&Filter>) -> Result<Vec<u64>, StreamError> {
        Ok(self.find(stream)?.sequences(from, max, filter))
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

    async fn delete_consumer(&self, stream: &Name, consumer: &Name) -> Result<bool, StreamError> {
        self.find(stream)?.delete_consumer(consumer).await.map_err(|error| StreamError::of(stream, error))
    }

    async fn lease(&self, stream: &Name, consumer: &Name, max: usize, wait: Duration) -> Result<Vec<Delivered>, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        let end = Instant::now() + wait;
        loop {
            // Registered before looking, so that nothing can come in between unseen.
            let mut changed = pin!(consumer.stream().changed());
            changed.as_mut().enable();
            let leased = consumer.lease(max).await.map_err(|error| failed(stream, &consumer, error))?;
            if !leased.is_empty() || Instant::now() >= end {
                return Ok(leased);
            }
            let by_itself =
                consumer.next_event_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(consumer.stream().now_ms()) + 1));
            let until = by_itself.map_or(end, |after| end.min(Instant::now() + after));
            // Over or changed: the next round looks.
            drop(timeout_at(until, changed).await);
        }
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
