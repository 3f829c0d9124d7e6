//! Streams in a store of this process.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use myelin_store::{
    ConsumerConfig, ConsumerInfo, CreateError, Damage, Delivered, Name, OpenError, Publish, Store, StoreError, Stored, Stream,
    StreamConfig, StreamInfo,
};
use parking_lot::RwLock;
use tokio::time::{Instant, sleep, timeout_at};

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
}

impl Local {
    /// Opens the store. Blocks for about a second per gigabyte.
    pub(crate) fn open(config: &StoreConfig) -> Result<(Self, StoreReport), OpenError> {
        let opened = Store::open(&config.directory)?;
        let local = Self { store: opened.store, takers: RwLock::default() };
        local.learn();
        Ok((local, StoreReport { damage: opened.damage, unopened: opened.unopened }))
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

    /// As `StreamEngine::lease`, up to a number of stored bytes, until `enough`.
    pub(super) async fn lease_within(
        &self,
        stream: &Name,
        consumer: &Name,
        max: usize,
        bytes_max: u64,
        enough: impl Future<Output = ()>,
    ) -> Result<Vec<Delivered>, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        let mut enough = pin!(enough);
        loop {
            // Registered before looking, so that nothing can come in between unseen.
            let mut changed = pin!(consumer.stream().changed());
            changed.as_mut().enable();
            let leased = consumer.lease_within(max, bytes_max).await.map_err(|error| failed(stream, &consumer, error))?;
            if !leased.is_empty() {
                return Ok(leased);
            }
            let after = consumer.next_event_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(consumer.stream().now_ms()) + 1));
            let by_itself = async {
                match after {
                    Some(after) => sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = enough.as_mut() => return Ok(Vec::new()),
                // The next round looks.
                () = changed => {}
                () = by_itself => {}
            }
        }
    }

    /// Stores messages without headers, in their order; while there is no room, waits for some. Returns how many were stored.
    pub(super) async fn store_all(
        &self,
        subject: &Subject,
        payloads: &[Bytes],
        patience: Duration,
    ) -> (usize, Result<(), PublishDurableError>) {
        let Some(stream) = self.taker(subject) else { return (0, Err(PublishDurableError::NoStream { subject: subject.clone() })) };
        let messages: Vec<Publish> = payloads.iter().map(|payload| Publish::new(subject.clone(), payload.clone())).collect();
        let (mut stored, end) = (0, Instant::now() + patience);
        loop {
            // Before trying, so that no room is made unseen.
            let mut changed = pin!(stream.changed());
            changed.as_mut().enable();
            let (more, result) = stream.publish_all(&messages[stored..]).await;
            stored += more;
            match result {
                Err(StoreError::StreamFull { .. } | StoreError::StorageFull) if Instant::now() < end => {
                    drop(timeout_at(end, changed).await);
                }
                result => return (stored, result.map_err(|error| PublishDurableError::of(stream.name(), error))),
            }
        }
    }

    /// Settles messages by whichever delivery. Tells how many were not settled before.
    pub(super) async fn ack_all(&self, stream: &Name, consumer: &Name, sequences: &[u64]) -> Result<usize, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.ack(sequences).await.map_err(|error| failed(stream, &consumer, error))
    }

    /// Gives the workers of these deliveries `ack_wait` once more.
    pub(super) async fn extend_all(&self, stream: &Name, consumer: &Name, deliveries: &[(u64, u32)]) -> Result<(), ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.extend_all(deliveries).await.map_err(|error| failed(stream, &consumer, error))?;
        Ok(())
    }
}

impl StreamEngine for Local {
    async fn put_stream(&self, config: &StreamConfig) -> Result<StreamInfo, StreamError> {
        let stream = match self.store.create(config.clone()) {
            Ok(stream) => stream,
            Err(CreateError::Exists { .. }) => {
                let stream = self.find(&config.name)?;
                if stream.config() != *config {
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
