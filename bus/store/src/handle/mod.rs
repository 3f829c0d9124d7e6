//! What users of a stream hold.

mod batch;
mod consumer;
mod info;
mod message;

use std::pin::pin;
use std::sync::Arc;

use myelin_wire::{Filter, Subject};
use tokio::sync::futures::Notified;

pub use self::consumer::Consumer;
pub use self::info::{ConsumerInfo, StreamInfo};
pub use self::message::{Delivered, Found, Leased, Publish, Receipt, Stored, Unsettled};
use crate::config::{ConsumerConfig, Name, StreamConfig};
use crate::error::StoreError;
use crate::stream::Live;

/// An open stream. Cloning shares it.
///
/// Every verb that changes something returns when the change is as safe as the stream's durability says. Dropping its future forgets the
/// answer, not the change.
#[derive(Debug, Clone)]
pub struct Stream {
    live: Arc<Live>,
}

impl Stream {
    pub(crate) fn new(live: Arc<Live>) -> Self {
        Self { live }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.live.name
    }

    /// What it was asked to do.
    pub fn config(&self) -> StreamConfig {
        self.live.read(|state| state.core.config.clone())
    }

    /// Changes what it does. Limits that are lower than what is stored hold for what comes; name, retention and durability stay as they are.
    ///
    /// # Errors
    /// When the stream is closed or the disk full.
    pub async fn update(&self, config: StreamConfig) -> Result<(), StoreError> {
        let described = self.live.act(|state, _| {
            let config = StreamConfig {
                name: self.live.name.clone(),
                retention: state.core.config.retention,
                durability: state.core.config.durability,
                ..config.clone()
            };
            let lsn = state.put_config(config)?;
            Ok((state.salt(), Some(lsn)))
        });
        let salt = described.await?;
        self.live.describe(salt);
        Ok(())
    }

    /// Stores a message, once per id.
    ///
    /// # Errors
    /// Nothing was stored, unless [`may_have_happened`](StoreError::may_have_happened).
    ///
    /// # Cancel safety
    /// It may have been stored. With an id, doing it again is safe.
    pub async fn publish(&self, message: &Publish) -> Result<Receipt, StoreError> {
        self.live.act(|state, now_ms| message.put(state, now_ms).map(|(receipt, lsn)| (receipt, Some(lsn)))).await
    }

    /// Makes a consumer, or changes one of the same name.
    ///
    /// # Errors
    /// On a work queue, when another consumer takes some of the same messages; else as every verb.
    pub async fn put_consumer(&self, config: &ConsumerConfig) -> Result<Consumer, StoreError> {
        let key = self.live.act(|state, _| state.put_consumer(config.clone()).map(|(key, lsn)| (key, Some(lsn)))).await?;
        Ok(Consumer { stream: self.clone(), key, name: config.name.clone() })
    }

    /// The consumer of this name.
    pub fn consumer(&self, name: &Name) -> Option<Consumer> {
        let key = self.live.read(|state| state.core.key_of(name))?;
        Some(Consumer { stream: self.clone(), key, name: name.clone() })
    }

    /// Deletes a consumer. Tells whether there was one.
    ///
    /// # Errors
    /// When the stream is closed or the disk full.
    pub async fn delete_consumer(&self, name: &Name) -> Result<bool, StoreError> {
        self.live
            .act(|state, _| match state.core.key_of(name) {
                Some(key) => state.delete_consumer(key).map(|(was, lsn)| (was, Some(lsn))),
                None => Ok((false, None)),
            })
            .await
    }

    /// Deletes one message. Tells whether it was there.
    ///
    /// # Errors
    /// When the stream is closed or the disk full.
    pub async fn delete(&self, sequence: u64) -> Result<bool, StoreError> {
        self.live.act(|state, _| state.delete(sequence).map(|(was, lsn)| (was, Some(lsn)))).await
    }

    /// Deletes every message on subjects of the filter, or every message. Tells how many.
    ///
    /// # Errors
    /// When the stream is closed or the disk full.
    pub async fn purge(&self, filter: Option<&Filter>) -> Result<u64, StoreError> {
        self.live.act(|state, _| state.purge(filter).map(|(count, lsn)| (count, Some(lsn)))).await
    }

    /// Reads a message. `None` if it is not there, or damaged. Blocks for as long as the disk takes, which is no time for what was stored lately.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn get(&self, sequence: u64) -> std::io::Result<Option<Stored>> {
        self.find(sequence).map_or(Ok(None), Found::read)
    }

    /// A message, if it is there; its content is perhaps on the disk. Reads nothing yet.
    pub fn find(&self, sequence: u64) -> Option<Found> {
        self.live.read(|state| Found::look(state, sequence))
    }

    /// The last message on a subject; as [`get`](Self::get).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_on(&self, subject: &Subject) -> std::io::Result<Option<Stored>> {
        let sequence = self.live.read(|state| state.core.index.last_on(subject.as_str()));
        self.get(sequence)
    }

    /// Up to `max` sequences from `from` on whose subjects match, in order.
    pub fn sequences(&self, from: u64, max: usize, filter: Option<&Filter>) -> Vec<u64> {
        self.live.read(|state| {
            let wanted = |(_, entry): &(u64, &crate::stream::Entry)| filter.is_none_or(|filter| filter.matches(&entry.subject));
            state.core.index.range(from..=state.core.visible()).filter(wanted).map(|(sequence, _)| sequence).take(max).collect()
        })
    }

    /// Up to `max` messages that expired and wait to be moved, in a stream whose expired messages become dead letters. What a worker has is not
    /// among them: it may be done in a moment.
    pub fn expired(&self, max: usize) -> Vec<Unsettled> {
        let now_ms = self.live.clock.now_ms();
        self.live.read(|state| {
            let core = &state.core;
            if !core.config.dead_letter_expired {
                return Vec::new();
            }
            let expired = core.expired(now_ms, max, |sequence| sequence <= core.visible() && !core.is_in_hand(sequence));
            expired.into_iter().filter_map(|sequence| core.unsettled(sequence)).collect()
        })
    }

    /// Lets go of messages that expired, which is counted as that. Tells how many were there.
    ///
    /// # Errors
    /// When the stream is closed or the reserve used up.
    pub async fn expire(&self, sequences: &[u64]) -> Result<usize, StoreError> {
        self.live.act(|state, _| state.expire(sequences).map(|(count, lsn)| (count, Some(lsn)))).await
    }

    /// Up to `max` messages from `from` to `to`, with those who have not settled them.
    pub fn unsettled(&self, from: u64, to: u64, max: usize) -> Vec<Unsettled> {
        self.live.read(|state| {
            let there = state.core.index.range(from..=to.min(state.core.visible())).map(|(sequence, _)| sequence);
            there.take(max).filter_map(|sequence| state.core.unsettled(sequence)).collect()
        })
    }

    /// How much is in it.
    pub fn info(&self) -> StreamInfo {
        self.live.read(info::info)
    }

    /// Waits until what was stored before this call can be read. With an ack that means a sync it can be read already; with a weaker one it may
    /// be on its way to the disk, for some milliseconds.
    ///
    /// # Errors
    /// When the stream is closed or broken.
    ///
    /// # Cancel safety
    /// Nothing is done.
    pub async fn caught_up(&self) -> Result<(), StoreError> {
        let last = self.live.read(|state| state.core.last_sequence());
        loop {
            let mut changed = pin!(self.changed());
            changed.as_mut().enable();
            if self.live.read(|state| state.core.visible()) >= last {
                return Ok(());
            }
            // Nothing is written any more after its end.
            self.live.act(|_, _| Ok(((), None))).await?;
            changed.await;
        }
    }

    /// Completes when something was stored, settled or released after this call. Take it before looking, wait after.
    pub fn changed(&self) -> Notified<'_> {
        self.live.changed.notified()
    }

    /// The time as the stream sees it, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.live.clock.now_ms()
    }
}
