//! What an operator does with dead letters: looks for them, sends them on their way again, lets go of them.
//!
//! On its way through: [`DeadLetters`] (the handle) → [`letter`] (what is read of one) → [`cursor`] (one after the other, page by page) →
//! [`replay`] (on its way again).

mod cursor;
mod letter;
mod replay;

use std::collections::VecDeque;
use std::time::Duration;

use myelin_store::{Attempt, Name};

pub use self::cursor::{Exports, Letters};
pub use self::letter::{DeadLetter, Letter, LetterAttempt};
pub use self::replay::{Replay, ReplayError, ReplayOptions, Replayed, Replays};
use super::dead::DEAD_LETTERS;
use super::engine::{StreamEngine, Streams};
use super::error::StreamError;
use super::reason::DeadReason;
use crate::Bus;
use crate::wire::{Filter, Subject};

/// Which dead letters are meant: those for which everything that is given holds.
#[derive(Debug, Clone, Default)]
pub struct LetterFilter {
    /// The stream they were in, or the route they came by.
    pub stream: Option<Name>,
    /// The consumer that could not handle them, or how far they came.
    pub consumer: Option<Name>,
    /// What they were published to.
    pub subject: Option<Filter>,
    /// Why they are dead.
    pub reason: Option<DeadReason>,
    /// They have been dead for at least this long.
    pub older_than: Option<Duration>,
}

/// Some dead letters, in the order of their deaths.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LetterPage {
    /// At most [`LetterPage::LETTERS_MAX`].
    pub letters: Vec<Letter>,
    /// Where to look on; `None` at the end. A page may be empty and not the last one, if few letters match.
    pub next: Option<u64>,
}

impl LetterPage {
    /// Most letters of one page.
    pub const LETTERS_MAX: usize = 256;
}

/// The dead letters of a bus, in whichever process its streams are.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    bus: Bus,
}

/// Most letters that are looked at for one page, and most of their bytes: each is read from the disk.
const LOOKED_AT_MAX: usize = 1024;
const LOOKED_AT_BYTES: usize = 16 << 20;

impl Bus {
    /// What became of messages that nobody could handle.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters { bus: self.clone() }
    }
}

impl DeadLetters {
    /// Up to `max` letters that match, from the place `from` on; 0 begins with the oldest.
    ///
    /// # Errors
    /// When the bus has no store, or it cannot be read.
    pub async fn page(&self, filter: &LetterFilter, from: u64, max: usize) -> Result<LetterPage, StreamError> {
        match self.streams()? {
            Streams::Attached(engine) => engine.letters(filter, from, max).await,
            streams @ Streams::Local(_) => page(streams, filter, from, max).await,
        }
    }

    /// All that match and are there now, one after the other, however many. Letters that are written meanwhile are not among them.
    pub fn list(&self, filter: LetterFilter) -> Letters {
        Letters::matching(self.clone(), filter)
    }

    /// These letters, one after the other.
    pub fn these(&self, letters: impl IntoIterator<Item = u64>) -> Letters {
        Letters::these(self.clone(), letters.into_iter().collect::<VecDeque<_>>())
    }

    /// One letter with its message, whole; `None` if it is not there.
    ///
    /// # Errors
    /// When the bus has no store, or it cannot be read.
    pub async fn show(&self, sequence: u64) -> Result<Option<DeadLetter>, StreamError> {
        match self.bus.get_stored(&name(), sequence).await {
            Err(StreamError::NoStream { .. }) => Ok(None),
            stored => Ok(stored?.as_ref().map(DeadLetter::of)),
        }
    }

    /// Letters with their messages, whole; they stay where they are.
    pub fn export(&self, letters: Letters) -> Exports {
        Exports::new(letters)
    }

    /// Sends one letter's message on its way again, where it was published or to another subject, and lets go of the letter: into the stream
    /// that stores the subject, or, if none does, as a request to whoever serves it, whose answer tells that it was taken.
    ///
    /// A crash may leave both the letter and its message. Replayed once more within the stream's window of ids, the message is stored once.
    ///
    /// # Errors
    /// The letter stays where it is, unless [`may_have_happened`](ReplayError::may_have_happened).
    ///
    /// # Cancel safety
    /// The message may be on its way, with the letter or without.
    pub async fn replay(&self, sequence: u64, to: Option<&Subject>) -> Result<Replayed, ReplayError> {
        match self.streams()? {
            Streams::Attached(engine) => engine.replay_letter(sequence, to).await,
            streams @ Streams::Local(_) => replay::replay(&self.bus, streams, sequence, to).await,
        }
    }

    /// Sends letters' messages on their way again, one after the other.
    pub fn replay_all(&self, letters: Letters, options: ReplayOptions) -> Replays {
        Replays::new(letters, options)
    }

    /// Lets go of one letter for ever. Tells whether it was there.
    ///
    /// # Errors
    /// When the bus has no store, or it cannot be written.
    ///
    /// # Cancel safety
    /// The letter may be gone.
    pub async fn purge(&self, sequence: u64) -> Result<bool, StreamError> {
        match self.streams()?.remove(&name(), sequence).await {
            Err(StreamError::NoStream { .. }) => Ok(false),
            removed => removed,
        }
    }

    /// Lets go of letters for ever. Tells how many.
    ///
    /// # Errors
    /// As [`purge`](Self::purge); those before are gone.
    ///
    /// # Cancel safety
    /// Some letters may be gone.
    pub async fn purge_all(&self, mut letters: Letters) -> Result<u64, StreamError> {
        let mut purged = 0;
        while let Some(letter) = letters.next().await? {
            purged += u64::from(self.purge(letter.sequence).await?);
        }
        Ok(purged)
    }

    fn streams(&self) -> Result<&Streams, StreamError> {
        self.bus.shared().streams.as_deref().ok_or(StreamError::NoStore)
    }

    /// The last letter that was written so far.
    async fn last(&self) -> Result<u64, StreamError> {
        match self.bus.stream_info(&name()).await {
            Err(StreamError::NoStream { .. }) => Ok(0),
            info => Ok(info?.last_sequence),
        }
    }
}

/// The name of their stream.
pub(super) fn name() -> Name {
    Name::new(DEAD_LETTERS).expect("a valid constant")
}

/// Letters from `from` on. No stream of dead letters has none.
async fn page(engine: &Streams, filter: &LetterFilter, from: u64, max: usize) -> Result<LetterPage, StreamError> {
    let mut page = LetterPage::default();
    // One more than is looked at tells where to go on.
    let sequences = match engine.sequences(&name(), from, LOOKED_AT_MAX + 1, None).await {
        Err(StreamError::NoStream { .. }) => return Ok(page),
        sequences => sequences?,
    };
    let (now_ms, mut bytes) = (Attempt::now_ms(), 0);
    for (looked_at, sequence) in sequences.iter().enumerate() {
        let is_full = page.letters.len() >= max.clamp(1, LetterPage::LETTERS_MAX) || bytes >= LOOKED_AT_BYTES;
        if is_full || looked_at == LOOKED_AT_MAX {
            page.next = Some(*sequence);
            break;
        }
        let Some(stored) = engine.get(&name(), *sequence).await? else { continue };
        bytes += stored.payload.len() + stored.headers.len();
        let letter = Letter::of(&stored);
        if filter.matches(&letter, now_ms) {
            page.letters.push(letter);
        }
    }
    Ok(page)
}

impl LetterFilter {
    fn matches(&self, letter: &Letter, now_ms: u64) -> bool {
        let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        let age_ms = u128::from(now_ms.saturating_sub(letter.dead_ms));
        is(self.stream.as_ref().map(Name::as_str), &letter.stream)
            && is(self.consumer.as_ref().map(Name::as_str), &letter.consumer)
            && is(self.reason.map(DeadReason::as_str), &letter.reason)
            && self.subject.as_ref().is_none_or(|filter| Subject::new(&letter.subject).is_ok_and(|subject| filter.matches(&subject)))
            && self.older_than.is_none_or(|older_than| age_ms >= older_than.as_millis())
    }
}
