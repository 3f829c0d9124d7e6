//! What a letter says.

use bytes::Bytes;
use myelin_store::Stored;
use serde_json::Value;

use super::super::headers::{self, Headers};
use super::super::job::message_of;
use crate::wire::Subject;
use crate::{Message, Meta};

/// What is known about a dead message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Letter {
    /// Its place among the dead letters.
    pub sequence: u64,
    /// The stream that the message was in, or the route that it came by.
    pub stream: Box<str>,
    /// The consumer that could not handle it, or how far it came.
    pub consumer: Box<str>,
    /// Its place in the stream, or a number that no other message of its route has.
    pub origin: u64,
    /// What it was published to.
    pub subject: Box<str>,
    /// Why it is dead: the word of a [`DeadReason`](crate::streams::DeadReason), or of one that only a later version has.
    pub reason: Box<str>,
    /// Whose fault it is: the word of a [`Fault`](crate::streams::Fault).
    pub fault: Box<str>,
    /// When it died, in milliseconds since 1970.
    pub dead_ms: u64,
    /// Bytes of its payload.
    pub payload_bytes: u64,
    /// What was tried, the latest 32.
    pub attempts: Vec<LetterAttempt>,
    /// How often it had been sent on its way again before it died this time.
    pub replays: u64,
}

/// One attempt at a message that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LetterAttempt {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How it ended: the word of an [`Outcome`](crate::streams::Outcome), or the reason of death of a message that was in no stream.
    pub outcome: Box<str>,
    /// What was said about it.
    pub error: Box<str>,
}

/// A dead letter with its message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeadLetter {
    /// What is known about it.
    pub letter: Letter,
    /// The message as it was: payload, frames, envelope, and its own headers without those about its death. Its subject is that of the letter
    /// itself if what it was published to is not known.
    pub message: Message,
}

pub(super) const REPLAY_OF: &str = "Myelin-Replay-Of";
pub(super) const REPLAY_COUNT: &str = "Myelin-Replay-Count";

/// What the headers begin with that are about the death.
pub(super) const DEAD: &str = "Myelin-Dead-";

impl Letter {
    pub(in super::super) fn of(stored: &Stored) -> Self {
        let headers = headers::decode(stored.headers.clone());
        let text = |name: &str| text(&headers, name);
        Self {
            sequence: stored.sequence,
            stream: text("Myelin-Dead-Stream"),
            consumer: text("Myelin-Dead-Consumer"),
            origin: text("Myelin-Dead-Sequence").parse().unwrap_or(0),
            subject: text("Myelin-Dead-Subject"),
            reason: text("Myelin-Dead-Reason"),
            fault: text("Myelin-Dead-Fault"),
            dead_ms: stored.stored_ms,
            payload_bytes: stored.payload.len() as u64,
            attempts: LetterAttempt::read(&serde_json::from_str(&text("Myelin-Dead-Attempts")).unwrap_or_default()),
            replays: text(REPLAY_COUNT).parse().unwrap_or(0),
        }
    }

    /// As a sidecar tells it.
    pub(in super::super) fn from_json(told: &Value) -> Option<Self> {
        let text = |field: &str| told[field].as_str().unwrap_or_default().into();
        Some(Self {
            sequence: told["sequence"].as_u64()?,
            stream: text("stream"),
            consumer: text("consumer"),
            origin: told["stream_sequence"].as_u64().unwrap_or(0),
            subject: text("subject"),
            reason: text("reason"),
            fault: text("fault"),
            dead_ms: told["dead_ms"].as_u64().unwrap_or(0),
            payload_bytes: told["payload_bytes"].as_u64().unwrap_or(0),
            attempts: LetterAttempt::read(&told["attempts"]),
            replays: told["replays"].as_u64().unwrap_or(0),
        })
    }
}

impl LetterAttempt {
    fn read(told: &Value) -> Vec<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().into();
        let read = |told: &Value| Self {
            at_ms: told["at_ms"].as_u64().unwrap_or(0),
            outcome: text(&told["outcome"]),
            error: text(&told["error"]),
        };
        told.as_array().into_iter().flatten().map(read).collect()
    }
}

impl DeadLetter {
    pub(in super::super) fn of(stored: &Stored) -> Self {
        let letter = Letter::of(stored);
        let mut message = message_of(stored);
        if let Ok(subject) = Subject::new(&letter.subject) {
            message.subject = subject;
        }
        if let Some(meta) = message.meta.take() {
            let Meta { mut headers, envelope } = *meta;
            headers.retain(|(name, _)| !name.starts_with(DEAD));
            let is_known = envelope.is_some() || !headers.is_empty();
            message.meta = is_known.then(|| Box::new(Meta { headers, envelope }));
        }
        Self { letter, message }
    }
}

/// The last header of this name: what stands before it came with the message, which may have been dead before.
fn text(headers: &Headers, name: &str) -> Box<str> {
    let value = headers.iter().rev().find(|(found, _)| **found == *name).map(|(_, value)| value);
    value.map(|value: &Bytes| String::from_utf8_lossy(value).into()).unwrap_or_default()
}
