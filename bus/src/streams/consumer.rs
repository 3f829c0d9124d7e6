//! A worker's side of a consumer, and what happens to messages that were delivered too often.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use myelin_store::{Attempt, ConsumerInfo, Delivered, Outcome, Stored};
use tracing::{error, warn};

use super::Name;
use super::dead::{Origin, bury};
use super::engine::{Failure, StreamEngine, Streams};
use super::error::{ConsumeError, StreamError};
use super::job::{Job, message_of};
use super::reason::DeadReason;

/// Takes messages of a durable consumer. Cloning gives another worker of the same consumer: each message goes to one of them.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub(super) streams: Arc<Streams>,
    pub(super) stream: Name,
    pub(super) name: Name,
    pub(super) deliveries_max: u32,
    pub(super) ack_wait: Duration,
}

/// How long one look at an engine waits; a worker that waits longer looks again.
const LOOK: Duration = Duration::from_secs(30);

/// When a message is tried again that should have become a dead letter and could not.
const BURY_AGAIN: Duration = Duration::from_secs(5);

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// When the consumer, its stream or the store is gone.
    ///
    /// # Cancel safety
    /// A message that was taken and not returned comes again.
    pub async fn next(&self) -> Result<Job, ConsumeError> {
        loop {
            if let Some(job) = self.fetch(1, LOOK).await?.pop() {
                return Ok(job);
            }
        }
    }

    /// Up to `max` messages: those that are there, else those that come first within `wait`.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Messages that were taken and not returned come again.
    pub async fn fetch(&self, max: usize, wait: Duration) -> Result<Vec<Job>, ConsumeError> {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let delivered = self.streams.lease(&self.stream, &self.name, max, left).await?;
            let is_over = delivered.is_empty();
            let mut jobs = Vec::with_capacity(delivered.len());
            let mut coming = Coming { consumer: self, delivered: delivered.into() };
            while let Some(delivered) = coming.delivered.pop_front() {
                jobs.extend(self.admit(delivered).await?);
            }
            if !jobs.is_empty() || is_over {
                return Ok(jobs);
            }
        }
    }

    /// How far it is.
    ///
    /// # Errors
    /// When it or its stream is gone.
    pub async fn info(&self) -> Result<ConsumerInfo, StreamError> {
        self.streams.consumer_info(&self.stream, &self.name).await
    }

    /// Whether expired messages become dead letters. Asked about one that expired between two looks at the clock, so hardly ever.
    async fn moves_expired(&self) -> Result<bool, StreamError> {
        Ok(self.streams.stream(&self.stream).await?.config.dead_letter_expired)
    }

    /// A job, unless the message is dead: then it is moved.
    pub(super) async fn admit(&self, delivered: Delivered) -> Result<Option<Job>, ConsumeError> {
        let Delivered { message, sequence, deliveries, attempts, .. } = delivered;
        let has_expired = |stored: &Stored| stored.expires_ms.is_some_and(|expires_ms| expires_ms <= Attempt::now_ms());
        let is_expired = message.as_ref().is_some_and(has_expired) && self.moves_expired().await?;
        let was_terminated = attempts.last().is_some_and(|attempt| attempt.outcome == Outcome::Term);
        let reason = match &message {
            None => Some(DeadReason::Malformed),
            Some(_) if was_terminated => Some(DeadReason::Term),
            Some(_) if is_expired => Some(DeadReason::Expired),
            Some(_) if deliveries > self.deliveries_max => Some(DeadReason::MaxDeliver),
            Some(_) => None,
        };
        match (reason, message) {
            (None, Some(stored)) => Ok(Some(Job {
                streams: Arc::clone(&self.streams),
                stream: self.stream.clone(),
                consumer: self.name.clone(),
                sequence,
                deliveries,
                attempts,
                message: message_of(&stored),
                stored,
                is_settled: false,
            })),
            (reason, message) => {
                let origin = Origin { stream: &self.stream, consumer: &self.name, sequence };
                let reason = reason.unwrap_or(DeadReason::Malformed);
                match bury(&self.streams, origin, reason, &attempts, message.as_ref()).await {
                    Ok(()) => {
                        warn!(stream = %self.stream, consumer = %self.name, sequence, reason = reason.as_str(), "dead letter");
                        self.streams.ack(&self.stream, &self.name, sequence, deliveries).await?;
                    }
                    Err(cause) => {
                        error!(stream = %self.stream, consumer = %self.name, sequence, %cause, "a message cannot become a dead letter yet");
                        let failure = Failure {
                            sequence,
                            delivery: deliveries,
                            outcome: Outcome::Nak,
                            error: &format!("no dead letter: {cause}"),
                            delay: Some(BURY_AGAIN),
                        };
                        self.streams.fail(&self.stream, &self.name, failure).await?;
                    }
                }
                Ok(None)
            }
        }
    }
}

/// What was taken and is not a job yet. Dropped on the way, it goes to another worker at once.
pub(super) struct Coming<'a> {
    pub(super) consumer: &'a Consumer,
    pub(super) delivered: VecDeque<Delivered>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let Consumer { streams, stream, name, .. } = self.consumer;
        for delivered in &self.delivered {
            streams.release(stream, name, delivered.sequence, delivered.deliveries);
        }
    }
}
