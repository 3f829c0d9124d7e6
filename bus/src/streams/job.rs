//! One message in a worker's hands.

use std::sync::Arc;
use std::time::Duration;

use myelin_store::{Attempt, Outcome, Stored};

use super::dead::{DeadReason, Origin, bury};
use super::engine::{Failure, StreamEngine, Streams};
use super::error::{ConsumeError, StreamError};
use super::headers;
use crate::wire::Body;
use crate::{Message, payload};

use super::Name;

/// A delivered message, until the worker says what became of it.
///
/// Dropped without a word, it is taken for a worker that died, and delivered again at once.
#[derive(Debug)]
pub struct Job {
    pub(super) streams: Arc<Streams>,
    pub(super) stream: Name,
    pub(super) consumer: Name,
    pub(super) sequence: u64,
    pub(super) deliveries: u32,
    pub(super) attempts: Vec<Attempt>,
    pub(super) stored: Stored,
    pub(super) message: Message,
    pub(super) is_settled: bool,
}

impl Job {
    /// The message.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its payload.
    pub fn body(&self) -> &Body {
        &self.message.body
    }

    /// Its place in the stream.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How often it was delivered, this time included.
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// How earlier deliveries ended: the latest 32.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// When it was stored, in milliseconds since 1970.
    pub fn stored_ms(&self) -> u64 {
        self.stored.stored_ms
    }

    /// The message is handled. When this returns, it does not come again, whatever crashes.
    ///
    /// # Errors
    /// `Stale` when it was settled by another worker after `ack_wait`: then the work was done twice.
    ///
    /// # Cancel safety
    /// It may have been acked.
    pub async fn ack(mut self) -> Result<(), ConsumeError> {
        let settled = self.streams.ack(&self.stream, &self.consumer, &[self.sequence]).await?;
        self.is_settled = true;
        if settled == 1 { Ok(()) } else { Err(ConsumeError::Stale { sequence: self.sequence }) }
    }

    /// The message could not be handled now: it comes again after `delay`, or after the consumer's backoff. `error` is kept for whoever looks
    /// into its dead letter.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    ///
    /// # Cancel safety
    /// It may have been given back.
    pub async fn nak(mut self, delay: Option<Duration>, error: &str) -> Result<(), ConsumeError> {
        self.end(Outcome::Nak, error, delay).await
    }

    /// Nobody should try again: the message becomes a dead letter. When this returns, it is one.
    ///
    /// # Errors
    /// As [`ack`](Self::ack); `DeadLetter` when the letter was refused, after which the message comes again.
    ///
    /// # Cancel safety
    /// It may be a dead letter, or come again.
    pub async fn term(mut self, reason: &str) -> Result<(), ConsumeError> {
        // Noted as an attempt first, so that the letter has it even if it is another process that moves it.
        let delay = Some(TERM_PATIENCE);
        self.end(Outcome::Term, reason, delay).await?;
        let mut attempts = std::mem::take(&mut self.attempts);
        attempts.push(Attempt::now(Outcome::Term, reason));
        let origin = Origin { stream: &self.stream, consumer: &self.consumer, sequence: self.sequence };
        let buried = bury(&self.streams, origin, DeadReason::Term, &attempts, Some(&self.stored)).await;
        buried.map_err(|cause| ConsumeError::DeadLetter { sequence: self.sequence, cause: Box::new(cause) })?;
        self.streams.ack(&self.stream, &self.consumer, &[self.sequence]).await?;
        Ok(())
    }

    /// The worker is still at it and needs `ack_wait` once more.
    ///
    /// # Errors
    /// `Stale` when `ack_wait` was over already.
    ///
    /// # Cancel safety
    /// The time may have been granted.
    pub async fn in_progress(&self) -> Result<(), ConsumeError> {
        let extended = self.streams.extend(&self.stream, &self.consumer, self.sequence, self.deliveries).await?;
        if extended { Ok(()) } else { Err(ConsumeError::Stale { sequence: self.sequence }) }
    }

    async fn end(&mut self, outcome: Outcome, error: &str, delay: Option<Duration>) -> Result<(), ConsumeError> {
        let failure = Failure { sequence: self.sequence, delivery: self.deliveries, outcome, error, delay };
        let ended = self.streams.fail(&self.stream, &self.consumer, failure).await?;
        self.is_settled = true;
        if ended { Ok(()) } else { Err(ConsumeError::Stale { sequence: self.sequence }) }
    }
}

/// How long a terminated message is kept from other workers while it is moved.
const TERM_PATIENCE: Duration = Duration::from_secs(5);

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_settled {
            self.streams.release(&self.stream, &self.consumer, self.sequence, self.deliveries);
        }
    }
}

/// The message as it was published.
pub(super) fn message_of(stored: &Stored) -> Message {
    let (meta, body) = payload::decode(stored.payload.clone(), headers::decode(stored.headers.clone()));
    Message { subject: stored.subject.clone(), reply: None, meta, body }
}

/// So that a stream that is gone reads as one error everywhere.
pub(super) fn gone(error: &ConsumeError) -> bool {
    matches!(error, ConsumeError::Stream(StreamError::NoStream { .. } | StreamError::NoConsumer { .. } | StreamError::Closed { .. }))
}
