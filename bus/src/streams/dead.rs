//! Dead letters: messages that nobody could handle, kept whole for somebody to look at.
//!
//! A move out of a stream has two steps: the letter is stored, then the original is acked. Between them a crash leaves both, and the next
//! attempt to move finds the letter by its subject, which has the original's place in it and may be stored once: so there is never none, and
//! never two. A message that never was in a stream has no place; its letter gets a number that no other has.

use bytes::Bytes;
use myelin_store::{ATTEMPT_TEXT_BYTES_MAX, Attempt, Name, Stored, StreamConfig};
use serde_json::{Value, json};

use super::engine::{Placed, Record, StreamEngine, Streams};
use super::error::{PublishDurableError, StreamError, chain};
use super::headers::{self, Headers};
use super::reason::{DeadReason, Fault};
use super::step::{self, Step};
use super::verbs::Receipt;
use crate::wire::{Filter, Subject};
use crate::{Bus, Message, payload};

/// The stream that dead letters are in. Made when the first one is.
pub const DEAD_LETTERS: &str = "DLQ";

/// What it stores: `$MYELIN.DLQ.<stream>.<consumer>.<sequence>`.
pub const DEAD_LETTER_SUBJECTS: &str = "$MYELIN.DLQ.>";

/// What their subjects begin with.
const SUBJECTS: &str = "$MYELIN.DLQ.";

/// Numbers that are tried for one letter. A number is taken only if the clock went back to the very millisecond of another letter.
const STRAY_TRIES: usize = 64;

/// How a message died that never was in a stream.
#[derive(Debug, Clone)]
pub struct Death {
    /// Stands where a stream's name would, in lists and filters: the route it came by. [`Name::sanitized`] makes one of any text.
    pub origin: Name,
    /// Stands where a consumer's name would: a word for how far it came.
    pub stage: Name,
    /// Why it is dead.
    pub reason: DeadReason,
    /// Whose fault that is; [`DeadReason::fault`] says what it is as long as nothing else is known.
    pub fault: Fault,
    /// What went wrong, for whoever looks at the letter. At most 1,024 bytes are kept.
    pub error: Box<str>,
}

/// Whether a letter has this subject.
pub(super) fn is_letter(subject: &str) -> bool {
    subject.starts_with(SUBJECTS)
}

/// Where a dead message was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) stream: &'a Name,
    pub(super) consumer: &'a Name,
    pub(super) sequence: u64,
}

impl Bus {
    /// Keeps a message as a dead letter that never was in a stream: one that a route could not carry. Payload, frames, envelope and headers
    /// stay as they are; the reply address is not kept, nobody waits there by the time of a replay. When this returns, the letter is stored.
    ///
    /// # Errors
    /// The message is kept nowhere, unless [`may_have_happened`](PublishDurableError::may_have_happened). `NoStream`: this bus has no store.
    ///
    /// # Cancel safety
    /// The letter may be stored.
    pub async fn dead_letter(&self, message: &Message, death: &Death) -> Result<Receipt, PublishDurableError> {
        let no_store = || PublishDurableError::NoStream { subject: message.subject.clone() };
        bury_stray(self.shared().streams.as_ref().ok_or_else(no_store)?, message, death).await
    }
}

/// Stores the letter of a message that is in a stream, unless it is there.
pub(super) async fn bury(
    engine: &Streams,
    origin: Origin<'_>,
    reason: DeadReason,
    attempts: &[Attempt],
    stored: Option<&Stored>,
) -> Result<(), PublishDurableError> {
    // What was stored and cannot be read any more is no agent's fault.
    let fault = if stored.is_none() && reason == DeadReason::Malformed { Fault::Backend } else { reason.fault() };
    let own = stored.map(|stored| headers::decode(stored.headers.clone())).unwrap_or_default();
    let mut known: Vec<(&str, String)> = Vec::new();
    if let Some(stored) = stored {
        known.push(("Myelin-Dead-Subject", stored.subject.as_str().to_owned()));
        known.push(("Myelin-Dead-Stored", stored.stored_ms.to_string()));
        known.extend(stored.id.as_ref().map(|id| ("Myelin-Dead-Msg-Id", id.to_string())));
    }
    let attempts = attempts.iter().map(|attempt| told(attempt.at_ms, attempt.outcome.as_str(), &attempt.error)).collect();
    known.push(("Myelin-Dead-Attempts", Value::Array(attempts).to_string()));
    let payload = stored.map(|stored| stored.payload.clone()).unwrap_or_default();
    match store(engine, &letter(origin, (reason, fault), own, known, payload)).await {
        Ok(_) => engine.count_letter(reason),
        // It was moved before, and the original was not acked yet.
        Err(PublishDurableError::WrongLastSequence { .. }) => {}
        Err(error) => return Err(error),
    }
    step::passed(Step::LetterStored).await;
    Ok(())
}

/// Stores the letter of a message that never was in a stream.
pub(super) async fn bury_stray(engine: &Streams, message: &Message, death: &Death) -> Result<Receipt, PublishDurableError> {
    let number: &(dyn Fn(u64) -> u64 + Sync) = match engine {
        Streams::Local(engine) => &|now_ms| engine.stray_number(now_ms),
        // Many processes bury here: no two of them soon have the same.
        Streams::JetStream(_) => &|now_ms| (now_ms << 20) | fastrand::u64(..1 << 20),
        // The other side does all of it, having this code too.
        Streams::Attached(engine) => return engine.bury(message, death).await,
    };
    let meta = message.meta.as_deref();
    let too_large = |_| PublishDurableError::TooLarge { size: message.body.len(), max: crate::wire::limits::PAYLOAD_BYTES_CEILING };
    let payload = payload::encode(meta, &message.body).map_err(too_large)?;
    let now_ms = Attempt::now_ms();
    let mut refused = PublishDurableError::WrongLastSequence { last: 0 };
    for _ in 0..STRAY_TRIES {
        let origin = Origin { stream: &death.origin, consumer: &death.stage, sequence: number(now_ms) };
        let own = meta.map(|meta| meta.headers.clone()).unwrap_or_default();
        let attempt = told(now_ms, death.reason.as_str(), &death.error);
        let known = vec![
            ("Myelin-Dead-Subject", message.subject.as_str().to_owned()),
            ("Myelin-Dead-Attempts", Value::Array(vec![attempt]).to_string()),
        ];
        match store(engine, &letter(origin, (death.reason, death.fault), own, known, payload.clone())).await {
            // Another letter has this number, from before the clock was set back; the next one may be free.
            Err(PublishDurableError::WrongLastSequence { last }) => refused = PublishDurableError::WrongLastSequence { last },
            Ok(receipt) => {
                engine.count_letter(death.reason);
                return Ok(receipt);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused)
}

/// Stores a letter, in a stream that is made if this is the first one.
async fn store(engine: &Streams, letter: &Record) -> Result<Receipt, PublishDurableError> {
    match put(engine, letter.clone()).await {
        Err(PublishDurableError::NoStream { .. }) => {}
        stored => return stored,
    }
    // Another may have made the stream meanwhile, which is as good; without space there is none, and that is worth another try later.
    let made = engine.put_stream(&stream_config()).await;
    if matches!(made, Err(StreamError::StorageFull)) {
        return Err(PublishDurableError::StorageFull);
    }
    match (put(engine, letter.clone()).await, made) {
        // There is none, for a reason that passes.
        (Err(PublishDurableError::NoStream { .. }), Err(error)) if error.is_retryable() => {
            Err(PublishDurableError::Unreachable { reason: chain(&error).into() })
        }
        // Nor will there be one.
        (Err(PublishDurableError::NoStream { .. }), Err(error)) => {
            Err(PublishDurableError::Closed { stream: stream_config().name, cause: chain(&error).into() })
        }
        (stored, _) => stored,
    }
}

/// Where the operator lets old letters go for new ones, they go: there is no letter of a letter.
async fn put(engine: &Streams, mut letter: Record) -> Result<Receipt, PublishDurableError> {
    loop {
        match engine.store(&letter).await? {
            Placed::Stored(receipt) => return Ok(receipt),
            // Rises with every round, and ends with an empty stream.
            Placed::MustMove { to, .. } => letter.may_evict_to = to,
        }
    }
}

fn stream_config() -> StreamConfig {
    let name = Name::new(DEAD_LETTERS).expect("a valid constant");
    StreamConfig::new(name, vec![Filter::new(DEAD_LETTER_SUBJECTS).expect("a valid constant")])
}

fn told(at_ms: u64, outcome: &str, error: &str) -> Value {
    json!({ "at_ms": at_ms, "outcome": outcome, "error": &error[..error.floor_char_boundary(ATTEMPT_TEXT_BYTES_MAX)] })
}

/// The message's own headers, and behind them what is known about its death.
fn letter(
    Origin { stream, consumer, sequence }: Origin<'_>,
    (reason, fault): (DeadReason, Fault),
    own: Headers,
    known: Vec<(&str, String)>,
    payload: Bytes,
) -> Record {
    let mut headers = own;
    let place = [
        ("Myelin-Dead-Reason", reason.as_str().to_owned()),
        ("Myelin-Dead-Fault", fault.as_str().to_owned()),
        ("Myelin-Dead-Stream", stream.to_string()),
        ("Myelin-Dead-Consumer", consumer.to_string()),
        ("Myelin-Dead-Sequence", sequence.to_string()),
    ];
    headers.extend(place.into_iter().chain(known).map(|(name, value)| (name.into(), Bytes::from(value))));
    Record {
        subject: Subject::new(&format!("{SUBJECTS}{stream}.{consumer}.{sequence}")).expect("names are tokens, and two of them fit"),
        id: None,
        headers: headers::encode(&headers),
        payload,
        ttl: None,
        delay: None,
        expected_last: Some(0),
        may_evict_to: 0,
    }
}
