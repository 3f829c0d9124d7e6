//! Letters on their way again.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::letter::{DEAD, Letter, REPLAY_COUNT, REPLAY_OF};
use super::{Letters, name};
use crate::streams::api::options;
use crate::streams::engine::{Record, StreamEngine, Streams};
use crate::streams::error::{PublishDurableError, StreamError};
use crate::streams::headers::{self, Headers};
use crate::streams::storing;
use crate::streams::verbs::Receipt;
use crate::wire::Subject;
use crate::{Bus, Message, RequestError, payload};

/// How letters are sent on their way again.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// Where to; default: where each was published.
    pub to: Option<Subject>,
    /// Most letters per second; default: as fast as it goes.
    pub rate: Option<NonZeroU32>,
    /// Whether only to tell what would be done; default: it is done.
    pub is_dry_run: bool,
}

/// What became of a message that was sent on its way again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replayed {
    /// A stream has it.
    Stored(Receipt),
    /// No stream stores its subject, and whoever serves it has answered the request.
    Answered {
        /// Where it was sent.
        subject: Subject,
        /// Bytes of the answer, which is for nobody.
        bytes: u64,
    },
}

/// Why a letter is where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The letter cannot be read, or not be let go of.
    #[error(transparent)]
    Letter(#[from] StreamError),
    /// Its message is not known to be stored. `NoStream`: no stream stores its subject, and nobody serves it.
    #[error(transparent)]
    Refused(#[from] PublishDurableError),
    /// Somebody serves its subject and did not answer.
    #[error("no answer on {subject:?} within {after:?}")]
    Unanswered {
        /// Where it was sent.
        subject: Subject,
        /// How long was waited.
        after: Duration,
    },
}

impl ReplayError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Letter(error) => error.is_retryable(),
            Self::Refused(error) => error.is_retryable(),
            Self::Unanswered { .. } => true,
        }
    }

    /// Whether the message may be on its way all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Letter(error) => error.may_have_happened(),
            Self::Refused(error) => error.may_have_happened(),
            Self::Unanswered { .. } => true,
        }
    }
}

/// How long whoever serves a subject may take to answer a request that was dead.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(20);

/// Subjects that are no agent's: a letter that tells to publish there is not believed.
const NEVER: [&str; 2] = ["$MYELIN.", "_INBOX."];

/// As [`DeadLetters::replay`](super::DeadLetters::replay), in the process that has the letters.
pub(super) async fn replay(bus: &Bus, engine: &Streams, sequence: u64, to: Option<&Subject>) -> Result<Replayed, ReplayError> {
    let no_letter = || StreamError::NoMessage { stream: name(), sequence };
    let stored = engine.get(&name(), sequence).await.map_err(|error| match error {
        StreamError::NoStream { .. } => no_letter(),
        error => error,
    })?;
    let stored = stored.ok_or_else(no_letter)?;
    let letter = Letter::of(&stored);
    let invalid = |reason: &str| StreamError::Invalid { field: "to", reason: reason.into() };
    let subject = match to {
        Some(to) => to.clone(),
        None => {
            Subject::new(&letter.subject).map_err(|_| invalid("the letter does not tell what it was published to, so say where it goes"))?
        }
    };
    if NEVER.iter().any(|never| subject.as_str().starts_with(never)) {
        return Err(invalid("subjects of our own are no place for an agent's message").into());
    }
    let mut headers: Headers = headers::decode(stored.headers.clone());
    // What was asked for with the message was about that passage of it, and is not known to be readable.
    let is_old = |name: &str| name.starts_with(DEAD) || name == REPLAY_OF || name == REPLAY_COUNT || options::is_passing(name);
    headers.retain(|(name, _)| !is_old(name));
    let origin = format!("{}.{}.{}", letter.stream, letter.consumer, letter.origin);
    headers.push((REPLAY_OF.into(), Bytes::from(origin)));
    headers.push((REPLAY_COUNT.into(), Bytes::from((letter.replays + 1).to_string())));
    let record = Record {
        subject,
        // Of this letter alone, also if the dead letters are deleted and begin again.
        id: Some(format!("myelin-replay-{}-{sequence}", stored.stored_ms).into()),
        headers: headers::encode(&headers),
        payload: stored.payload.clone(),
        ttl: None,
        delay: None,
        expected_last: None,
        may_evict_to: 0,
    };
    let stored = if engine.may_take(&record.subject).await? {
        storing::store(engine, record.clone()).await
    } else {
        Err(PublishDurableError::NoStream { subject: record.subject.clone() })
    };
    let replayed = match stored {
        Ok(receipt) => Replayed::Stored(receipt),
        Err(PublishDurableError::NoStream { subject }) => {
            let (meta, body) = payload::decode(record.payload, headers);
            ask(bus, Message { subject, reply: None, meta, body }).await?
        }
        Err(error) => return Err(error.into()),
    };
    engine.remove(&name(), sequence).await?;
    Ok(replayed)
}

/// No stream takes it, so it was a request: whoever serves the subject now gets it, and an answer tells that it is in good hands.
async fn ask(bus: &Bus, message: Message) -> Result<Replayed, ReplayError> {
    let subject = message.subject.clone();
    match bus.request_message(&message, PATIENCE).await {
        Ok(reply) => Ok(Replayed::Answered { subject, bytes: reply.body.len() as u64 }),
        Err(RequestError::NoResponders { .. }) => Err(PublishDurableError::NoStream { subject }.into()),
        Err(RequestError::Timeout { after, .. }) => Err(ReplayError::Unanswered { subject, after }),
        Err(error) => Err(PublishDurableError::Refused { reason: error.to_string().into() }.into()),
    }
}

/// Letters that are sent on their way again, one after the other.
#[derive(Debug)]
pub struct Replays {
    letters: Letters,
    options: ReplayOptions,
    pace: Option<Interval>,
}

/// One letter that was sent on its way again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replay {
    /// What it was.
    pub letter: Letter,
    /// What became of its message; `None` if nothing was to be done.
    pub replayed: Option<Replayed>,
}

impl Replays {
    pub(super) fn new(letters: Letters, options: ReplayOptions) -> Self {
        Self { letters, options, pace: None }
    }

    /// Sends the next one on its way; `None` after the last.
    ///
    /// # Errors
    /// As [`DeadLetters::replay`](super::DeadLetters::replay); the rest would very likely fail in the same way, and is where it was.
    ///
    /// # Cancel safety
    /// The letter's message may be on its way.
    pub async fn next(&mut self) -> Result<Option<Replay>, ReplayError> {
        let Some(letter) = self.letters.next().await? else { return Ok(None) };
        if self.options.is_dry_run {
            return Ok(Some(Replay { letter, replayed: None }));
        }
        if let Some(rate) = self.options.rate {
            let pace = self.pace.get_or_insert_with(|| paced(Duration::from_secs(1) / rate.get()));
            pace.tick().await;
        }
        let replayed = self.letters.letters.replay(letter.sequence, self.options.to.as_ref()).await?;
        Ok(Some(Replay { letter, replayed: Some(replayed) }))
    }
}

/// No bursts after a slow letter: the rate is what the workers can take.
fn paced(period: Duration) -> Interval {
    let mut pace = interval(period.max(Duration::from_nanos(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
