//! Many messages in one go.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use myelin_store::{Delivered, Name, Publish, StoreError};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Local, failed};
use crate::streams::error::{ConsumeError, PublishDurableError};
use crate::wire::Subject;

impl Local {
    /// As `StreamEngine::lease`, up to a number of stored bytes, until `enough`.
    pub(in super::super) async fn lease_within(
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
            let leased = consumer.take_within(max, bytes_max).await.map_err(|error| failed(stream, &consumer, error))?;
            if !leased.is_empty() {
                return self.readers.read(&consumer, leased).await;
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
    pub(in super::super) async fn store_all(
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
    pub(in super::super) async fn ack_all(&self, stream: &Name, consumer: &Name, sequences: &[u64]) -> Result<usize, ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.ack(sequences).await.map_err(|error| failed(stream, &consumer, error))
    }

    /// Gives the workers of these deliveries `ack_wait` once more.
    pub(in super::super) async fn extend_all(&self, stream: &Name, consumer: &Name, deliveries: &[(u64, u32)]) -> Result<(), ConsumeError> {
        let consumer = self.open_consumer(stream, consumer)?;
        consumer.extend_all(deliveries).await.map_err(|error| failed(stream, &consumer, error))?;
        Ok(())
    }
}
