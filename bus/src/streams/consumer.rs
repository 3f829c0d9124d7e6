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
use super::step::{self, Step};

/// Takes messages of a durable consumer. Cloning gives another worker of the same consumer: each message goes to one of them.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub(super) source: Arc<Source>,
    pub(super) deliveries_max: u32,
    pub(super) ack_wait: Duration,
}

/// Where messages come from: one for all workers and jobs of a consumer, so that a job costs no names of its own.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) streams: Arc<Streams>,
    pub(super) stream: Name,
    pub(super) consumer: Name,
}

/// How long one look at an engine waits; a worker that waits longer looks again.
const LOOK: Duration = Duration::from_secs(30);

/// When a message is tried again that should have become a dead letter and could not.
const BURY_AGAIN: Duration = Duration::from_secs(5);

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &Name {
        &self.source.consumer
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
        let Source { streams, stream, consumer } = &*self.source;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let delivered = streams.lease(stream, consumer, max, left).await?;
            let is_over = delivered.is_empty();
            let jobs = self.jobs(delivered).await?;
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
        self.source.streams.consumer_info(&self.source.stream, &self.source.consumer).await
    }

    /// Whether expired messages become dead letters. Asked about one that expired between two looks at the clock, so hardly ever.
    async fn moves_expired(&self) -> Result<bool, StreamError> {
        Ok(self.source.streams.stream(&self.source.stream).await?.config.dead_letter_expired)
    }

    /// Jobs of what was delivered; dead messages are moved.
    pub(super) async fn jobs(&self, delivered: Vec<Delivered>) -> Result<Vec<Job>, ConsumeError> {
        let mut jobs = Vec::with_capacity(delivered.len());
        let mut coming = Coming { consumer: self, delivered: delivered.into() };
        while let Some(delivered) = coming.delivered.pop_front() {
            match self.admit(delivered) {
                Ok(job) => jobs.push(job),
                Err(doubtful) => jobs.extend(self.judge(doubtful).await?),
            }
        }
        Ok(jobs)
    }

    /// A job, unless there is anything about the message that has to be looked at.
    fn admit(&self, delivered: Delivered) -> Result<Job, Delivered> {
        match delivered {
            Delivered { message: Some(stored), sequence, deliveries, attempts, .. }
                if deliveries <= self.deliveries_max && !is_terminated(&attempts) && !is_expired(&stored) =>
            {
                Ok(self.job(stored, sequence, deliveries, attempts))
            }
            doubtful => Err(doubtful),
        }
    }

    fn job(&self, stored: Stored, sequence: u64, deliveries: u32, attempts: Vec<Attempt>) -> Job {
        let message = message_of(&stored);
        Job { source: Arc::clone(&self.source), sequence, deliveries, attempts, stored, message, is_settled: false }
    }

    /// A job all the same, or the message is dead: then it is moved.
    async fn judge(&self, delivered: Delivered) -> Result<Option<Job>, ConsumeError> {
        let Delivered { message, sequence, deliveries, attempts, .. } = delivered;
        let moves_it = message.as_ref().is_some_and(is_expired) && self.moves_expired().await?;
        let reason = match &message {
            None => DeadReason::Malformed,
            Some(_) if is_terminated(&attempts) => DeadReason::Term,
            Some(_) if moves_it => DeadReason::Expired,
            Some(_) if deliveries > self.deliveries_max => DeadReason::MaxDeliver,
            Some(stored) => return Ok(Some(self.job(stored.clone(), sequence, deliveries, attempts))),
        };
        step::passed(Step::AttemptsRead).await;
        let Source { streams, stream, consumer } = &*self.source;
        if reason == DeadReason::MaxDeliver {
            // Or a crash between the letter and the ack could forget that it was delivered too often, and give a dead message to a worker.
            streams.noted(stream, consumer).await?;
        }
        match bury(streams, Origin { stream, consumer, sequence }, reason, &attempts, message.as_ref()).await {
            Ok(()) => {
                warn!(%stream, %consumer, sequence, reason = reason.as_str(), "dead letter");
                streams.ack(stream, consumer, sequence, deliveries).await?;
                step::passed(Step::OriginalSettled).await;
            }
            Err(cause) => {
                error!(%stream, %consumer, sequence, %cause, "a message cannot become a dead letter yet");
                let failure = Failure {
                    sequence,
                    delivery: deliveries,
                    outcome: Outcome::Nak,
                    error: &format!("no dead letter: {cause}"),
                    delay: Some(BURY_AGAIN),
                };
                streams.fail(stream, consumer, failure).await?;
            }
        }
        Ok(None)
    }
}

/// A kill between the word and the letter leaves an attempt of its own behind it.
fn is_terminated(attempts: &[Attempt]) -> bool {
    attempts.iter().any(|attempt| attempt.outcome == Outcome::Term)
}

fn is_expired(stored: &Stored) -> bool {
    stored.expires_ms.is_some_and(|expires_ms| expires_ms <= Attempt::now_ms())
}

/// What was taken and is not a job yet. Dropped on the way, it goes to another worker at once.
struct Coming<'a> {
    consumer: &'a Consumer,
    delivered: VecDeque<Delivered>,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let Source { streams, stream, consumer } = &*self.consumer.source;
        for delivered in &self.delivered {
            streams.release(stream, consumer, delivered.sequence, delivered.deliveries);
        }
    }
}
