//! What users of a stream hold.

use std::sync::Arc;

use bytes::Bytes;
use myelin_wire::{Filter, Subject};
use tokio::sync::futures::Notified;

use crate::config::{ConsumerConfig, Name, StreamConfig};
use crate::consumer::{Attempt, Outcome, Settled};
use crate::error::StoreError;
use crate::log::{Place, Segment};
use crate::record::{BODY_BYTES_MAX, MessageRecord, Salt};
use crate::stream::{Live, NewMessage, State};

/// An open stream. Cloning shares it.
///
/// Every verb that changes something returns when the change is as safe as the stream's durability says. Dropping its future forgets the
/// answer, not the change.
#[derive(Debug, Clone)]
pub struct Stream {
    live: Arc<Live>,
}

/// A message to store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Publish {
    /// Its subject, which the stream should take.
    pub subject: Subject,
    /// A message of the same id within the stream's window is stored once. At most 255 bytes count.
    pub id: Option<Box<str>>,
    /// Opaque.
    pub headers: Bytes,
    /// Opaque.
    pub payload: Bytes,
    /// When it expires, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// When it may be delivered, in milliseconds since 1970; default: at once.
    pub due_ms: Option<u64>,
    /// It is stored only if this is the last sequence on its subject, 0 for none.
    pub expected_last: Option<u64>,
}

/// A message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its place in the stream.
    pub sequence: u64,
    /// Whether it had been stored before, under the same id.
    pub is_duplicate: bool,
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the stream.
    pub sequence: u64,
    /// What it was published to.
    pub subject: Subject,
    /// When it was stored, in milliseconds since 1970.
    pub stored_ms: u64,
    /// When it expires, if it does.
    pub expires_ms: Option<u64>,
    /// The id it was published with.
    pub id: Option<Box<str>>,
    /// As published.
    pub headers: Bytes,
    /// As published.
    pub payload: Bytes,
}

/// A message that a consumer was given.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The message; `None` if it cannot be read any more.
    pub message: Option<Stored>,
    /// Its place in the stream.
    pub sequence: u64,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
    /// How earlier deliveries ended, the latest 32.
    pub attempts: Vec<Attempt>,
}

/// How much is in a stream.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// What it was asked to do.
    pub config: StreamConfig,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Lowest sequence, 0 if it is empty.
    pub first_sequence: u64,
    /// Highest sequence that was ever given.
    pub last_sequence: u64,
    /// When its oldest message was stored, in milliseconds since 1970.
    pub first_ms: Option<u64>,
    /// Subjects with messages.
    pub subjects: usize,
    /// Messages that went because of a limit of count or bytes, since the stream was made.
    pub evicted: u64,
    /// Messages that went because of their age or TTL.
    pub expired: u64,
    /// Messages that were deleted or purged.
    pub removed: u64,
    /// Message ids that were forgotten before their window ended.
    pub ids_forgotten: u64,
    /// Whether the disk was full when it was last asked for space.
    pub is_disk_full: bool,
    /// Its consumers.
    pub consumers: Vec<ConsumerInfo>,
}

/// How far a consumer is.
#[derive(Debug, Clone)]
pub struct ConsumerInfo {
    /// What it was asked to do.
    pub config: ConsumerConfig,
    /// Messages that it wants and was not given yet.
    pub waiting: u64,
    /// Messages that it was given and has not settled.
    pub in_flight: usize,
    /// Sequence of the oldest of these.
    pub oldest_pending: Option<u64>,
    /// When the oldest message that it has not settled was stored, given or not.
    pub oldest_ms: Option<u64>,
    /// Deliveries since it was made, redeliveries among them.
    pub delivered: u64,
    /// Deliveries beyond the first of a message.
    pub redelivered: u64,
    /// Messages that it settled.
    pub acked: u64,
}

impl Publish {
    /// A message with nothing but its subject and payload.
    pub fn new(subject: Subject, payload: impl Into<Bytes>) -> Self {
        Self { subject, id: None, headers: Bytes::new(), payload: payload.into(), expires_ms: None, due_ms: None, expected_last: None }
    }
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

    /// Changes what it does. Limits that are lower than what is stored hold for what comes; durability and name stay as they are.
    ///
    /// # Errors
    /// When the stream is closed or the disk full.
    pub async fn update(&self, config: StreamConfig) -> Result<(), StoreError> {
        let described = self.live.act(|state, _| {
            let config = StreamConfig { name: self.live.name.clone(), durability: state.core.config.durability, ..config.clone() };
            let lsn = state.put_config(config)?;
            Ok((state.salt(), Some(lsn)))
        });
        let salt = described.await?;
        self.live.describe(salt)
    }

    /// Stores a message, once per id.
    ///
    /// # Errors
    /// Nothing was stored, unless [`may_have_happened`](StoreError::may_have_happened).
    ///
    /// # Cancel safety
    /// It may have been stored. With an id, doing it again is safe.
    pub async fn publish(&self, message: &Publish) -> Result<Receipt, StoreError> {
        let bytes = message.payload.len() + message.headers.len();
        if bytes > RECORDED_BYTES_MAX {
            return Err(StoreError::TooLarge { bytes, max: RECORDED_BYTES_MAX });
        }
        let message = NewMessage {
            subject: &message.subject,
            id: message.id.as_deref().unwrap_or_default(),
            headers: &message.headers,
            payload: &message.payload,
            expires_ms: message.expires_ms.unwrap_or(0),
            due_ms: message.due_ms.unwrap_or(0),
            expected_last: message.expected_last,
        };
        self.live
            .act(|state, now_ms| {
                let stored = state.publish(&message, now_ms)?;
                Ok((Receipt { sequence: stored.sequence, is_duplicate: stored.is_duplicate }, Some(stored.lsn)))
            })
            .await
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
        let found = self.live.read(|state| find(state, sequence));
        found.map_or(Ok(None), |(segment, place, salt)| load(&segment, place, salt))
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

    /// Messages that expired and wait to be moved, in streams whose expired messages become dead letters.
    pub fn expired(&self, max: usize) -> Vec<u64> {
        let now_ms = self.live.clock.now_ms();
        self.live.read(|state| if state.core.config.dead_letter_expired { state.core.expired(now_ms, max) } else { Vec::new() })
    }

    /// How much is in it.
    pub fn info(&self) -> StreamInfo {
        self.live.read(info)
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

/// A consumer of an open stream. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Consumer {
    stream: Stream,
    key: u32,
    name: Name,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The stream it reads.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Up to `max` messages that are there now, without waiting for more.
    ///
    /// # Errors
    /// When the consumer is gone, the stream closed or the disk too full to note the deliveries.
    ///
    /// # Cancel safety
    /// Messages may have been taken; they come again when `ack_wait` is over.
    pub async fn lease(&self, max: usize) -> Result<Vec<Delivered>, StoreError> {
        let max = max.min(LEASED_AT_ONCE);
        let leased = self.stream.live.act(|state, now_ms| {
            state.core.consumer(self.key).ok_or(StoreError::NoConsumer)?;
            let leases = state.lease(self.key, max, now_ms)?;
            Ok((leases.into_iter().map(|lease| (find(state, lease.sequence), lease)).collect::<Vec<_>>(), None))
        });
        let leased = leased.await?;
        Ok(leased
            .into_iter()
            .map(|(found, lease)| {
                // What cannot be read is the policy's to settle: the caller sees that there was something.
                let message = found.and_then(|(segment, place, salt)| load(&segment, place, salt).unwrap_or_default());
                Delivered { message, sequence: lease.sequence, deliveries: lease.deliveries, attempts: lease.attempts }
            })
            .collect())
    }

    /// Settles messages. Tells how many of them were still pending.
    ///
    /// # Errors
    /// When the consumer is gone, the stream closed or the reserve used up.
    pub async fn ack(&self, sequences: &[u64]) -> Result<usize, StoreError> {
        self.act(|state, _| state.ack(self.key, sequences).map(|(count, lsn)| (count, Some(lsn)))).await
    }

    /// Ends a delivery without an ack; the message comes again after the delay, or after its backoff. `false`: it was not this delivery's.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub async fn fail(
        &self,
        sequence: u64,
        delivery: u32,
        outcome: Outcome,
        error: &str,
        delay_ms: Option<u64>,
    ) -> Result<bool, StoreError> {
        self.act(|state, now_ms| {
            let settled = state.fail(self.key, sequence, delivery, outcome, error, delay_ms, now_ms)?;
            Ok((settled == Settled::Done, Some(state.tail.next_lsn() - 1)))
        })
        .await
    }

    /// The worker of a delivery is gone: the message comes again at once. Does nothing if there is no room to note it; then `ack_wait` goes on.
    pub fn release(&self, sequence: u64, delivery: u32) {
        self.stream.live.try_act(|state, now_ms| state.fail(self.key, sequence, delivery, Outcome::WorkerGone, "", Some(0), now_ms));
    }

    /// Gives the worker `ack_wait` once more. `false`: it was not this delivery's.
    ///
    /// # Errors
    /// When the consumer is gone or the stream closed.
    pub async fn extend(&self, sequence: u64, delivery: u32) -> Result<bool, StoreError> {
        self.act(|state, now_ms| Ok((state.extend(self.key, sequence, delivery, now_ms) == Settled::Done, None))).await
    }

    /// What it was asked to do; `None` if it is gone.
    pub fn config(&self) -> Option<ConsumerConfig> {
        self.stream.live.read(|state| state.core.consumer(self.key).map(|consumer| consumer.config.clone()))
    }

    /// How far it is; `None` if it is gone.
    pub fn info(&self) -> Option<ConsumerInfo> {
        self.stream.live.read(|state| consumer_info(state, self.key))
    }

    /// When a message may come without anything being stored: a wait ends. In milliseconds since 1970.
    pub fn next_event_ms(&self) -> Option<u64> {
        self.stream.live.read(|state| state.core.consumer(self.key).and_then(crate::consumer::ConsumerState::next_event_ms))
    }

    async fn act<R>(&self, mut act: impl FnMut(&mut State, u64) -> Result<(R, Option<u64>), StoreError>) -> Result<R, StoreError> {
        let guarded = |state: &mut State, now_ms| {
            state.core.consumer(self.key).ok_or(StoreError::NoConsumer)?;
            act(state, now_ms)
        };
        self.stream.live.act(guarded).await
    }
}

/// Most payload and headers of one message: a record holds them and its own fields.
const RECORDED_BYTES_MAX: usize = BODY_BYTES_MAX - 1024;

/// Most messages that are leased in one call, whose deliveries are one record.
const LEASED_AT_ONCE: usize = 4096;

fn find(state: &State, sequence: u64) -> Option<(Segment, Place, Salt)> {
    let (place, _) = state.core.place_of(sequence)?;
    Some((state.segment(place.segment)?, place, state.salt()))
}

fn load(segment: &Segment, place: Place, salt: Salt) -> std::io::Result<Option<Stored>> {
    let Some(body) = segment.read(place, salt)? else { return Ok(None) };
    Ok(stored(&body))
}

fn stored(body: &Bytes) -> Option<Stored> {
    let record = MessageRecord::parse(body).ok()?;
    Some(Stored {
        sequence: record.sequence,
        subject: Subject::new(record.subject).ok()?,
        stored_ms: record.stored_ms,
        expires_ms: (record.expires_ms != 0).then_some(record.expires_ms),
        id: (!record.id.is_empty()).then(|| record.id.into()),
        headers: body.slice_ref(record.headers),
        payload: body.slice_ref(record.payload),
    })
}

fn info(state: &State) -> StreamInfo {
    let core = &state.core;
    let first = core.index.first();
    StreamInfo {
        config: core.config.clone(),
        messages: core.index.len(),
        bytes: core.index.bytes(),
        disk_bytes: state.disk_bytes(),
        first_sequence: first.map_or(0, |(sequence, _)| sequence),
        last_sequence: core.last_sequence(),
        first_ms: first.map(|(_, entry)| entry.stored_ms),
        subjects: core.index.subjects(),
        evicted: core.counts.evicted,
        expired: core.counts.expired,
        removed: core.counts.removed,
        ids_forgotten: core.ids().1,
        is_disk_full: state.tail.is_full(),
        consumers: core.consumers().filter_map(|(key, _)| consumer_info(state, key)).collect(),
    }
}

fn consumer_info(state: &State, key: u32) -> Option<ConsumerInfo> {
    let consumer = state.core.consumer(key)?;
    let mut waiting = state
        .core
        .index
        .range(consumer.cursor() + 1..=state.core.visible())
        .filter(|(_, entry)| consumer.config.wants(&entry.subject))
        .peekable();
    let oldest_pending = consumer.oldest_pending();
    let oldest = oldest_pending.or_else(|| waiting.peek().map(|(sequence, _)| *sequence));
    Some(ConsumerInfo {
        config: consumer.config.clone(),
        in_flight: consumer.in_flight(),
        oldest_pending,
        oldest_ms: oldest.and_then(|sequence| state.core.index.get(sequence)).map(|entry| entry.stored_ms),
        delivered: consumer.delivered,
        redelivered: consumer.redelivered,
        acked: consumer.acked,
        waiting: waiting.count() as u64,
    })
}
