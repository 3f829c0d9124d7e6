//! Dead letters: messages that nobody could handle, kept whole for somebody to look at.
//!
//! A move has two steps: the letter is stored, then the original is acked. Between them a crash leaves both, and the next attempt to move finds
//! the letter by its subject, which has the original's place in it and may be stored once: so there is never none, and never two.

use bytes::Bytes;
use myelin_store::{Attempt, Name, Stored, StreamConfig};
use serde_json::json;

use super::engine::{Record, StreamEngine, Streams};
use super::error::PublishDurableError;
use super::headers::{self, Headers};
use crate::wire::{Filter, Subject};

/// The stream that dead letters are in. Made when the first one is.
pub const DEAD_LETTERS: &str = "DLQ";

/// What it stores: `$MYELIN.DLQ.<stream>.<consumer>.<sequence>`.
pub const DEAD_LETTER_SUBJECTS: &str = "$MYELIN.DLQ.>";

/// Why a message is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadReason {
    /// It was delivered as often as its consumer allows.
    MaxDeliver,
    /// A worker said that nobody should try again.
    Term,
    /// It expired before it was handled.
    Expired,
    /// It cannot be read.
    Malformed,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The agent's that worked on it, or that sent it.
    Agent,
    /// The disk's, or the server's behind us.
    Backend,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::MaxDeliver, Self::Term, Self::Expired, Self::Malformed];

    /// The word for it in headers and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxDeliver => "max_deliver",
            Self::Term => "term",
            Self::Expired => "expired",
            Self::Malformed => "malformed",
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::MaxDeliver | Self::Term | Self::Expired => Fault::Agent,
            Self::Malformed => Fault::Backend,
        }
    }
}

impl Fault {
    /// The word for it in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Backend => "backend",
        }
    }
}

/// Where a dead message was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) stream: &'a Name,
    pub(super) consumer: &'a Name,
    pub(super) sequence: u64,
}

/// Stores the letter, unless it is there.
pub(super) async fn bury(
    engine: &Streams,
    origin: Origin<'_>,
    reason: DeadReason,
    attempts: &[Attempt],
    stored: Option<&Stored>,
) -> Result<(), PublishDurableError> {
    let letter = Record {
        subject: subject(origin),
        id: None,
        headers: headers::encode(&letter_headers(origin, reason, attempts, stored)),
        payload: stored.map(|stored| stored.payload.clone()).unwrap_or_default(),
        ttl: None,
        delay: None,
        expected_last: Some(0),
    };
    let mut buried = engine.store(&letter).await;
    if matches!(buried, Err(PublishDurableError::NoStream { .. })) {
        // The first one. Another may have made the stream meanwhile, which is as good.
        engine.put_stream(&stream_config()).await.ok();
        buried = engine.store(&letter).await;
    }
    match buried {
        // It was moved before, and the original was not acked yet.
        Ok(_) | Err(PublishDurableError::WrongLastSequence { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn stream_config() -> StreamConfig {
    let name = Name::new(DEAD_LETTERS).expect("a valid constant");
    StreamConfig::new(name, vec![Filter::new(DEAD_LETTER_SUBJECTS).expect("a valid constant")])
}

fn subject(Origin { stream, consumer, sequence }: Origin<'_>) -> Subject {
    Subject::new(&format!("$MYELIN.DLQ.{stream}.{consumer}.{sequence}")).expect("names are tokens, and two of them fit")
}

/// The message's own headers, and what is known about its death.
fn letter_headers(origin: Origin<'_>, reason: DeadReason, attempts: &[Attempt], stored: Option<&Stored>) -> Headers {
    let mut letter = stored.map(|stored| headers::decode(stored.headers.clone())).unwrap_or_default();
    let mut add = |name: &str, value: String| letter.push((name.into(), Bytes::from(value)));
    add("Myelin-Dead-Reason", reason.as_str().to_owned());
    add("Myelin-Dead-Fault", reason.fault().as_str().to_owned());
    add("Myelin-Dead-Stream", origin.stream.to_string());
    add("Myelin-Dead-Consumer", origin.consumer.to_string());
    add("Myelin-Dead-Sequence", origin.sequence.to_string());
    if let Some(stored) = stored {
        add("Myelin-Dead-Subject", stored.subject.as_str().to_owned());
        add("Myelin-Dead-Stored", stored.stored_ms.to_string());
        if let Some(id) = &stored.id {
            add("Myelin-Dead-Msg-Id", id.to_string());
        }
    }
    let attempts: Vec<_> = attempts
        .iter()
        .map(|attempt| json!({ "at_ms": attempt.at_ms, "outcome": attempt.outcome.as_str(), "error": attempt.error }))
        .collect();
    add("Myelin-Dead-Attempts", json!(attempts).to_string());
    letter
}
