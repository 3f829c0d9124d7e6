//! What an operator does with dead letters: looks for them, sends them on their way again, lets go of them.

use std::time::Duration;

use bytes::Bytes;
use myelin_store::{Attempt, Name, Stored};

use super::dead::DEAD_LETTERS;
use super::engine::{Record, StreamEngine, Streams};
use super::error::{PublishDurableError, StreamError};
use super::headers::{self, Headers};
use super::reason::DeadReason;
use super::verbs::Receipt;
use crate::wire::{Filter, Subject};

/// Which letters are meant: those for which everything that is given holds.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// The stream they were in.
    pub(super) stream: Option<String>,
    /// What they were published to.
    pub(super) subject: Option<Filter>,
    /// Why they are dead.
    pub(super) reason: Option<String>,
    /// They have been dead for at least this long.
    pub(super) older_than: Option<Duration>,
}

/// Letters in order of their death.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) letters: Vec<Letter>,
    /// Where to look on; `None` at the end.
    pub(super) next: Option<u64>,
}

/// What is known about a dead message.
#[derive(Debug)]
pub(super) struct Letter {
    /// Its place among the dead letters.
    pub(super) sequence: u64,
    pub(super) stream: String,
    pub(super) consumer: String,
    /// Where it was in its stream.
    pub(super) origin: u64,
    pub(super) subject: String,
    pub(super) reason: String,
    pub(super) fault: String,
    /// When it died, in milliseconds since 1970.
    pub(super) dead_ms: u64,
    pub(super) payload_bytes: usize,
    /// JSON, as it is in the letter.
    pub(super) attempts: String,
    pub(super) replays: u64,
}

/// Most letters of one page.
pub(super) const LISTED_MAX: u64 = 256;

/// Most letters that are looked at for one page, and most of their bytes: each is read from the disk.
const LOOKED_AT_MAX: usize = 1024;
const LOOKED_AT_BYTES: usize = 16 << 20;

const REPLAY_OF: &str = "Myelin-Replay-Of";
const REPLAY_COUNT: &str = "Myelin-Replay-Count";
const DEAD: &str = "Myelin-Dead-";

/// The name of their stream.
pub(super) fn name() -> Name {
    Name::new(DEAD_LETTERS).expect("a valid constant")
}

/// Letters from `from` on. No stream of dead letters has none.
pub(super) async fn list(engine: &Streams, filters: &Filters, from: u64, max: u64) -> Result<Page, StreamError> {
    if filters.reason.as_deref().is_some_and(|reason| DeadReason::from_word(reason).is_none()) {
        let known = DeadReason::ALL.map(DeadReason::as_str).join(", ");
        return Err(StreamError::Invalid { field: "reason", reason: format!("is none of {known}").into() });
    }
    let mut page = Page { letters: Vec::new(), next: None };
    // One more than is looked at tells where to go on.
    let sequences = match engine.sequences(&name(), from, LOOKED_AT_MAX + 1, None).await {
        Err(StreamError::NoStream { .. }) => return Ok(page),
        sequences => sequences?,
    };
    let (now_ms, mut bytes) = (Attempt::now_ms(), 0);
    for (looked_at, sequence) in sequences.iter().enumerate() {
        let is_full = page.letters.len() as u64 >= max.clamp(1, LISTED_MAX) || bytes >= LOOKED_AT_BYTES;
        if is_full || looked_at == LOOKED_AT_MAX {
            page.next = Some(*sequence);
            break;
        }
        let Some(stored) = engine.get(&name(), *sequence).await? else { continue };
        bytes += stored.payload.len();
        let letter = Letter::of(&stored);
        if filters.match_letter(&letter, now_ms) {
            page.letters.push(letter);
        }
    }
    Ok(page)
}

/// One letter, whole.
pub(super) async fn get(engine: &Streams, sequence: u64) -> Result<Option<Stored>, StreamError> {
    match engine.get(&name(), sequence).await {
        Err(StreamError::NoStream { .. }) => Ok(None),
        stored => stored,
    }
}

/// Lets go of one letter. Tells whether it was there.
pub(super) async fn remove(engine: &Streams, sequence: u64) -> Result<bool, StreamError> {
    match engine.remove(&name(), sequence).await {
        Err(StreamError::NoStream { .. }) => Ok(false),
        removed => removed,
    }
}

/// Publishes a letter's message again, on its own subject or on another, and lets go of the letter. A crash between the two leaves both; its
/// message id keeps the next try from storing it twice within the stream's window.
pub(super) async fn replay(
    engine: &Streams,
    sequence: u64,
    to: Option<&Subject>,
) -> Result<Result<Receipt, PublishDurableError>, StreamError> {
    let no_letter = || StreamError::NoMessage { stream: name(), sequence };
    let stored = get(engine, sequence).await?.ok_or_else(no_letter)?;
    let letter = Letter::of(&stored);
    let subject = match to {
        Some(to) => to.clone(),
        None => Subject::new(&letter.subject).map_err(|_| StreamError::Invalid {
            field: "to",
            reason: "the letter does not tell what it was published to, so say where it goes".into(),
        })?,
    };
    let mut headers: Headers = headers::decode(stored.headers.clone());
    headers.retain(|(name, _)| !name.starts_with(DEAD) && **name != *REPLAY_OF && **name != *REPLAY_COUNT);
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
    };
    let replayed = engine.store(&record).await;
    if replayed.is_ok() {
        remove(engine, sequence).await?;
    }
    Ok(replayed)
}

impl Letter {
    fn of(stored: &Stored) -> Self {
        let headers = headers::decode(stored.headers.clone());
        // The last one: what stands before it came with the message, which may have been dead before.
        let text = |name: &str| {
            let value = headers.iter().rev().find(|(found, _)| **found == *name).map(|(_, value)| value);
            value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        Self {
            sequence: stored.sequence,
            stream: text("Myelin-Dead-Stream"),
            consumer: text("Myelin-Dead-Consumer"),
            origin: text("Myelin-Dead-Sequence").parse().unwrap_or(0),
            subject: text("Myelin-Dead-Subject"),
            reason: text("Myelin-Dead-Reason"),
            fault: text("Myelin-Dead-Fault"),
            dead_ms: stored.stored_ms,
            payload_bytes: stored.payload.len(),
            attempts: text("Myelin-Dead-Attempts"),
            replays: text(REPLAY_COUNT).parse().unwrap_or(0),
        }
    }
}

impl Filters {
    fn match_letter(&self, letter: &Letter, now_ms: u64) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let age_ms = u128::from(now_ms.saturating_sub(letter.dead_ms));
        is(&self.stream, &letter.stream)
            && is(&self.reason, &letter.reason)
            && self.subject.as_ref().is_none_or(|filter| Subject::new(&letter.subject).is_ok_and(|subject| filter.matches(&subject)))
            && self.older_than.is_none_or(|older_than| age_ms >= older_than.as_millis())
    }
}
