//! A consumer, as its workers hold it.

use super::Stream;
use super::info::{ConsumerInfo, consumer_info};
use super::message::{Delivered, Found, Leased};
use crate::config::{ConsumerConfig, Name};
use crate::consumer::{ConsumerState, Lease, Most, Outcome, Settled};
use crate::error::StoreError;
use crate::stream::{Failed, State};

/// A consumer of an open stream. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub(super) stream: Stream,
    pub(super) key: u32,
    pub(super) name: Name,
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
        Ok(self.take(max).await?.into_iter().map(Leased::read).collect())
    }

    /// As [`lease`](Self::lease), and reads nothing yet: those that are not in memory have to be read where that may block.
    ///
    /// # Errors
    /// As [`lease`](Self::lease).
    ///
    /// # Cancel safety
    /// As [`lease`](Self::lease).
    pub async fn take(&self, max: usize) -> Result<Vec<Leased>, StoreError> {
        self.take_most(Most::messages(max)).await
    }

    /// As [`take`](Self::take), until `bytes_max` of records are reached; the message that reaches them is the last, and the first is given
    /// whatever its size.
    ///
    /// # Errors
    /// As [`lease`](Self::lease).
    ///
    /// # Cancel safety
    /// As [`lease`](Self::lease).
    pub async fn take_within(&self, max: usize, bytes_max: u64) -> Result<Vec<Leased>, StoreError> {
        self.take_most(Most { messages: max, bytes: bytes_max }).await
    }

    async fn take_most(&self, most: Most) -> Result<Vec<Leased>, StoreError> {
        let most = Most { messages: most.messages.min(LEASED_AT_ONCE), ..most };
        let leased = self.stream.live.act(|state, now_ms| {
            state.core.consumer(self.key).ok_or(StoreError::NoConsumer)?;
            let leases = state.lease(self.key, most, now_ms)?;
            let found = |lease: Lease| {
                let Lease { sequence, deliveries, attempts } = lease;
                Leased { found: Found::look(state, sequence), sequence, deliveries, attempts }
            };
            Ok((leases.into_iter().map(found).collect(), None))
        });
        leased.await
    }

    /// Settles messages. Tells how many of them were still pending.
    ///
    /// # Errors
    /// When the consumer is gone, the stream closed or the reserve used up.
    pub async fn ack(&self, sequences: &[u64]) -> Result<usize, StoreError> {
        let mut settled = 0;
        // One record each, which fits into a segment of the reserve.
        for part in sequences.chunks(LEASED_AT_ONCE) {
            settled += self.act(|state, _| state.ack(self.key, part).map(|(count, lsn)| (count, Some(lsn)))).await?;
        }
        Ok(settled)
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
            let settled = state.fail(&Failed { key: self.key, sequence, delivery, outcome, error, delay_ms }, now_ms)?;
            Ok((settled == Settled::Done, Some(state.last_lsn())))
        })
        .await
    }

    /// The worker of a delivery is gone: the message comes again at once. Does nothing if there is no room to note it; then `ack_wait` goes on.
    pub fn release(&self, sequence: u64, delivery: u32) {
        let gone = Failed { key: self.key, sequence, delivery, outcome: Outcome::WorkerGone, error: "", delay_ms: Some(0) };
        self.stream.live.try_act(|state, now_ms| state.fail(&gone, now_ms));
    }

    /// Gives the worker `ack_wait` once more. `false`: it was not this delivery's.
    ///
    /// # Errors
    /// When the consumer is gone or the stream closed.
    pub async fn extend(&self, sequence: u64, delivery: u32) -> Result<bool, StoreError> {
        self.act(|state, now_ms| Ok((state.extend(self.key, sequence, delivery, now_ms) == Settled::Done, None))).await
    }

    /// Waits until the deliveries that were made so far would be counted after a crash. Otherwise they are noted within milliseconds, which nobody
    /// waits for.
    ///
    /// # Errors
    /// When the consumer is gone or the stream closed.
    pub async fn noted(&self) -> Result<(), StoreError> {
        self.act(|state, _| Ok(((), Some(state.last_lsn())))).await
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
        self.stream.live.read(|state| state.core.consumer(self.key).and_then(ConsumerState::next_event_ms))
    }

    pub(super) async fn act<R>(
        &self,
        mut act: impl FnMut(&mut State, u64) -> Result<(R, Option<u64>), StoreError>,
    ) -> Result<R, StoreError> {
        let guarded = |state: &mut State, now_ms| {
            state.core.consumer(self.key).ok_or(StoreError::NoConsumer)?;
            act(state, now_ms)
        };
        self.stream.live.act(guarded).await
    }
}

/// Most messages that are leased in one call, whose deliveries are one record.
const LEASED_AT_ONCE: usize = 4096;
