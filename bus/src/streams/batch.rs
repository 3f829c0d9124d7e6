//! Many messages in one go, for whoever moves them by the thousand: stored by one wait, leased up to a number of bytes, settled together.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Record, StreamEngine, Streams};
use super::error::{ConsumeError, PublishDurableError};
use super::{Consumer, Job, storing};
use crate::wire::{Body, Subject};
use crate::{Bus, payload};

/// How long one look at an engine behind a connection waits.
const LOOK: Duration = Duration::from_secs(30);

/// Messages without headers, in their order, in the form in which a stream keeps them. Holds no memory but its own.
#[derive(Debug, Default)]
pub struct Batch {
    payloads: VecDeque<Bytes>,
    bytes: usize,
}

/// One delivery of a message: what is left of a [`Job`] whose content is in other hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    sequence: u64,
    delivery: u32,
}

impl Batch {
    /// Adds a message behind the others. Frames are kept in number, order and content.
    ///
    /// # Errors
    /// [`TooLarge`](PublishDurableError::TooLarge) when no bus could carry it; the batch is as it was.
    pub fn push(&mut self, body: &Body) -> Result<(), PublishDurableError> {
        let max = crate::wire::limits::PAYLOAD_BYTES_CEILING;
        let too_large = |_| PublishDurableError::TooLarge { size: body.len(), max };
        let payload = payload::encode(None, body).map_err(too_large)?;
        self.bytes += payload.len();
        self.payloads.push_back(match body {
            // Encoded without a copy: it may be a slice of something larger.
            Body::Blob(_) => Bytes::copy_from_slice(&payload),
            Body::Frames(_) => payload,
        });
        Ok(())
    }

    /// Moves messages to the end of this batch from the beginning of another, until this one has `bytes_max` or `messages_max`; one always.
    pub fn take_from(&mut self, other: &mut Self, bytes_max: usize, messages_max: usize) {
        while self.is_empty() || (self.bytes < bytes_max && self.len() < messages_max) {
            let Some(payload) = other.payloads.pop_front() else { return };
            other.bytes -= payload.len();
            self.bytes += payload.len();
            self.payloads.push_back(payload);
        }
    }

    /// Lets go of the first message. Tells whether there was one.
    pub fn drop_first(&mut self) -> bool {
        let first = self.payloads.pop_front();
        self.bytes -= first.as_ref().map_or(0, Bytes::len);
        first.is_some()
    }

    /// Messages in it.
    pub fn len(&self) -> usize {
        self.payloads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Their bytes as they are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_stored(&mut self, messages: usize) {
        (0..messages).for_each(|_| _ = self.drop_first());
    }
}

impl Lease {
    /// The delivery of this number, counted from 1, of the message at this place.
    pub fn new(sequence: u64, delivery: u32) -> Self {
        Self { sequence, delivery }
    }

    /// The message's place in its stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn parts(leases: &[Self]) -> Vec<(u64, u32)> {
        leases.iter().map(|lease| (lease.sequence, lease.delivery)).collect()
    }
}

impl Bus {
    /// Stores a batch in the stream that takes `subject`, in its order, and waits until it is as safe as the stream promises. While there is no
    /// room it waits for some, for at most `patience`. What was stored is taken out of the batch and counted; after an error the first that is
    /// left is the one that was refused.
    ///
    /// # Errors
    /// As [`publish_durable`](Self::publish_durable).
    ///
    /// # Cancel safety
    /// Messages that are left in the batch may have been stored, in order.
    pub async fn publish_durable_batch(
        &self,
        subject: &Subject,
        batch: &mut Batch,
        patience: Duration,
    ) -> (usize, Result<(), PublishDurableError>) {
        let Some(streams) = self.shared().streams.as_deref() else {
            return (0, Err(PublishDurableError::NoStream { subject: subject.clone() }));
        };
        let (stored, result) = match streams {
            Streams::Local(local) if !local.moves_evicted(subject) => {
                local.store_all(subject, batch.payloads.make_contiguous(), patience).await
            }
            // Each may have to wait for letters of what goes for it.
            other => one_by_one(other, subject, batch.payloads.make_contiguous()).await,
        };
        batch.drop_stored(stored);
        (stored, result)
    }
}

/// For engines that take one message at a time.
async fn one_by_one(engine: &Streams, subject: &Subject, payloads: &[Bytes]) -> (usize, Result<(), PublishDurableError>) {
    for (stored, payload) in payloads.iter().enumerate() {
        let (subject, payload) = (subject.clone(), payload.clone());
        let record =
            Record { subject, id: None, headers: Bytes::new(), payload, ttl: None, delay: None, expected_last: None, may_evict_to: 0 };
        if let Err(error) = storing::store(engine, record).await {
            return (stored, Err(error));
        }
    }
    (payloads.len(), Ok(()))
}

impl Job {
    /// Takes the delivery out: from here on it is settled by [`Consumer::ack_all`] and the like, and whoever forgets it lets it come again when
    /// `ack_wait` is over.
    pub fn into_lease(self) -> Lease {
        let lease = Lease { sequence: self.sequence, delivery: self.deliveries };
        self.forget();
        lease
    }
}

impl Consumer {
    /// As [`fetch`](Self::fetch), until `bytes_max` of stored bytes are reached (one message is given whatever its size), and waiting for the first
    /// until `enough` completes. What has been taken by then is returned.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    ///
    /// # Cancel safety
    /// Messages that were taken and not returned come again, at once but for one that is just becoming a dead letter.
    pub async fn fetch_within(
        &self,
        max: usize,
        bytes_max: u64,
        enough: impl Future<Output = ()> + Send,
    ) -> Result<Vec<Job>, ConsumeError> {
        let mut enough = pin!(enough);
        loop {
            let delivered = match &*self.source.streams {
                Streams::Local(local) => {
                    local.lease_within(&self.source.stream, &self.source.consumer, max, bytes_max, enough.as_mut()).await?
                }
                // Of unknown sizes, so one at a time.
                other => tokio::select! {
                    biased;
                    delivered = other.lease(&self.source.stream, &self.source.consumer, max.min(1), LOOK) => delivered?,
                    () = enough.as_mut() => Vec::new(),
                },
            };
            let is_over = delivered.is_empty();
            let jobs = self.jobs(delivered).await?;
            if !jobs.is_empty() || is_over {
                return Ok(jobs);
            }
        }
    }

    /// These messages are handled, by whichever delivery. When this returns, they do not come again. Tells how many were not settled before.
    ///
    /// # Errors
    /// When the consumer, its stream or the store is gone.
    ///
    /// # Cancel safety
    /// They may have been acked.
    pub async fn ack_all(&self, leases: &[Lease]) -> Result<usize, ConsumeError> {
        if let Streams::Local(local) = &*self.source.streams {
            let sequences: Vec<u64> = leases.iter().map(Lease::sequence).collect();
            return local.ack_all(&self.source.stream, &self.source.consumer, &sequences).await;
        }
        let mut settled = 0;
        for lease in leases {
            settled +=
                usize::from(self.source.streams.ack(&self.source.stream, &self.source.consumer, lease.sequence, lease.delivery).await?);
        }
        Ok(settled)
    }

    /// The worker of these deliveries needs `ack_wait` once more; passes over those that have ended.
    ///
    /// # Errors
    /// As [`ack_all`](Self::ack_all).
    ///
    /// # Cancel safety
    /// The time may have been granted to some.
    pub async fn extend_all(&self, leases: &[Lease]) -> Result<(), ConsumeError> {
        if let Streams::Local(local) = &*self.source.streams {
            return local.extend_all(&self.source.stream, &self.source.consumer, &Lease::parts(leases)).await;
        }
        for lease in leases {
            self.source.streams.extend(&self.source.stream, &self.source.consumer, lease.sequence, lease.delivery).await?;
        }
        Ok(())
    }

    /// The worker of these deliveries is gone: they come again at once, as far as there is room to note it, else when `ack_wait` is over. Passes
    /// over those that have ended.
    pub fn release_all(&self, leases: &[Lease]) {
        for lease in leases {
            self.source.streams.release(&self.source.stream, &self.source.consumer, lease.sequence, lease.delivery);
        }
    }
}
