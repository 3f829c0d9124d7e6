//! One message in a worker's hands.

use std::sync::Arc;
use std::time::Duration;

use myelin_store::{Attempt, Outcome, Stored};

use super::consumer::Source;
use super::dead::{Origin, bury};
use super::engine::{Failure, StreamEngine, Streams};
use super::error::ConsumeError;
use super::headers;
use super::reason::DeadReason;
use super::step::{self, Step};
use crate::wire::Body;
use crate::{Message, payload};

/// A delivered message, until the worker says what became of it.
///
/// Dropped without a word, it is taken for a worker that died, and delivered again at once.
#[derive(Debug)]
pub struct Job {
    pub(super) source: Arc<Source>,
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

    /// How often it was delivered, this time included. A delivery is noted within 10 ms and not waited for: if the process that has the store
    /// dies before that, it does not count.
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
    pub fn ack(self) -> impl Future<Output = Result<(), ConsumeError>> + Send {
        // The future of an `async fn` has the job twice: as it was given, and as it is worked on. Of these there may be thousands.
        let mut job = self;
        async move {
            let Source { streams, stream, consumer } = &*job.source;
            let is_settled = streams.ack(stream, consumer, job.sequence, job.deliveries).await?;
            job.is_settled = true;
            if is_settled { Ok(()) } else { Err(ConsumeError::Stale { sequence: job.sequence }) }
        }
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
        let attempts = std::mem::take(&mut self.attempts);
        let origin = Origin { stream: &self.source.stream, consumer: &self.source.consumer, sequence: self.sequence };
        let ended = terminate(&self.source.streams, origin, self.deliveries, reason, attempts, Some(&self.stored)).await;
        self.is_settled = ended.is_ok();
        ended
    }

    /// The worker is still at it and needs `ack_wait` once more.
    ///
    /// # Errors
    /// `Stale` when `ack_wait` was over already.
    ///
    /// # Cancel safety
    /// The time may have been granted.
    pub async fn in_progress(&self) -> Result<(), ConsumeError> {
        let extended = self.source.streams.extend(&self.source.stream, &self.source.consumer, self.sequence, self.deliveries).await?;
        if extended { Ok(()) } else { Err(ConsumeError::Stale { sequence: self.sequence }) }
    }

    /// It is in other hands now, and dropping it means nothing.
    pub(super) fn forget(mut self) {
        self.is_settled = true;
    }

    async fn end(&mut self, outcome: Outcome, error: &str, delay: Option<Duration>) -> Result<(), ConsumeError> {
        let failure = Failure { sequence: self.sequence, delivery: self.deliveries, outcome, error, delay };
        let ended = self.source.streams.fail(&self.source.stream, &self.source.consumer, failure).await?;
        self.is_settled = true;
        if ended { Ok(()) } else { Err(ConsumeError::Stale { sequence: self.sequence }) }
    }
}

/// Makes a dead letter of a message that a worker gave up. What is not given of it is read again.
pub(super) async fn terminate(
    streams: &Streams,
    origin: Origin<'_>,
    delivery: u32,
    reason: &str,
    mut attempts: Vec<Attempt>,
    stored: Option<&Stored>,
) -> Result<(), ConsumeError> {
    let Origin { stream, consumer, sequence } = origin;
    if let Streams::Attached(engine) = streams {
        // The other side does all of it, having this code too.
        return engine.term(stream, consumer, sequence, delivery, reason).await;
    }
    // Noted as an attempt first, so that the letter has it even if it is another process that moves it.
    let failure = Failure { sequence, delivery, outcome: Outcome::Term, error: reason, delay: Some(TERM_PATIENCE) };
    if !streams.fail(stream, consumer, failure).await? {
        return Err(ConsumeError::Stale { sequence });
    }
    step::passed(Step::AttemptNoted).await;
    attempts.push(Attempt::now(Outcome::Term, reason));
    let read = if stored.is_none() { streams.get(stream, sequence).await? } else { None };
    let buried = bury(streams, origin, DeadReason::Term, &attempts, stored.or(read.as_ref())).await;
    buried.map_err(|cause| ConsumeError::DeadLetter { sequence, cause: Box::new(cause) })?;
    streams.ack(stream, consumer, sequence, delivery).await?;
    step::passed(Step::OriginalSettled).await;
    Ok(())
}

/// How long a terminated message is kept from other workers while it is moved.
const TERM_PATIENCE: Duration = Duration::from_secs(5);

impl Drop for Job {
    fn drop(&mut self) {
        if !self.is_settled {
            self.source.streams.release(&self.source.stream, &self.source.consumer, self.sequence, self.deliveries);
        }
    }
}

/// The message as it was published.
pub(super) fn message_of(stored: &Stored) -> Message {
    let (meta, body) = payload::decode(stored.payload.clone(), headers::decode(stored.headers.clone()));
    Message { subject: stored.subject.clone(), reply: None, meta, body }
}
