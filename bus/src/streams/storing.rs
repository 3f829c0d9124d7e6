//! Storing a message, and moving what has to go for it.
//!
//! Where evicted messages become dead letters, a full stream takes nothing before those that would go are letters. Then they go with the record
//! of the message that they go for, all at once: a crash before it leaves letters of messages that are still there, which are found by their
//! subjects when they are moved again.

use futures_util::future::try_join_all;
use myelin_store::{Attempt, Name, Retention, Unsettled};
use tracing::debug;

use super::dead::{Origin, bury};
use super::engine::{Placed, Record, StreamEngine, Streams};
use super::error::{PublishDurableError, StreamError};
use super::reason::DeadReason;
use super::verbs::Receipt;

/// Letters that are on their way to the disk at once: they share its syncs.
pub(super) const MOVED_AT_ONCE: usize = 32;

/// How often one message may find that others have taken the room that was made for it.
const ROUNDS_MAX: usize = 64;

/// Stands for the consumer in letters of messages that none takes.
const NOBODY: &str = "none";

/// Stores a message in the stream that takes its subject.
pub(super) async fn store(streams: &Streams, mut record: Record) -> Result<Receipt, PublishDurableError> {
    let mut full = None;
    for _ in 0..ROUNDS_MAX {
        match streams.store(&record).await? {
            Placed::Stored(receipt) => return Ok(receipt),
            Placed::MustMove { stream, to } => {
                // Rare, and its future is a large one.
                Box::pin(move_out(streams, &stream, to)).await?;
                (record.may_evict_to, full) = (to, Some(stream));
            }
        }
    }
    let stream = full.ok_or_else(|| PublishDurableError::NoStream { subject: record.subject.clone() })?;
    let info = streams.stream(&stream).await.map_err(|error| not_moved(&stream, &error))?;
    Err(PublishDurableError::StreamFull { stream, messages: info.messages, bytes: info.bytes })
}

/// Makes dead letters of what a stream is about to evict.
async fn move_out(streams: &Streams, stream: &Name, to: u64) -> Result<(), PublishDurableError> {
    let retention = streams.stream(stream).await.map_err(|error| not_moved(stream, &error))?.config.retention;
    let mut from = 0;
    loop {
        let found = streams.unsettled(stream, from, to, MOVED_AT_ONCE).map_err(|error| not_moved(stream, &error))?;
        let Some(last) = found.last() else { return Ok(()) };
        from = last.sequence + 1;
        try_join_all(found.iter().map(|message| bury_for_all(streams, stream, retention, DeadReason::Evicted, message))).await?;
    }
}

/// Stores a letter for every consumer that has not settled a message. One that no consumer of a work queue takes has no route.
pub(super) async fn bury_for_all(
    streams: &Streams,
    stream: &Name,
    retention: Retention,
    reason: DeadReason,
    message: &Unsettled,
) -> Result<(), PublishDurableError> {
    let Unsettled { sequence, consumers, is_wanted, .. } = message;
    let nobody = Name::new(NOBODY).expect("a valid constant");
    let has_no_route = !is_wanted && retention == Retention::WorkQueue;
    let dead: Vec<(&Name, &[Attempt], DeadReason)> = if has_no_route {
        vec![(&nobody, &[], DeadReason::NoRoute)]
    } else {
        consumers.iter().map(|(consumer, attempts)| (consumer, attempts.as_slice(), reason)).collect()
    };
    if dead.is_empty() {
        return Ok(());
    }
    let stored = streams.get(stream, *sequence).await.map_err(|error| not_moved(stream, &error))?;
    for (consumer, attempts, reason) in dead {
        let reason = if stored.is_none() { DeadReason::Malformed } else { reason };
        bury(streams, Origin { stream, consumer, sequence: *sequence }, reason, attempts, stored.as_ref()).await?;
        debug!(%stream, %consumer, sequence, reason = reason.as_str(), "dead letter");
    }
    Ok(())
}

/// Nothing was stored, since nothing could be moved out of its way.
fn not_moved(stream: &Name, error: &StreamError) -> PublishDurableError {
    PublishDurableError::Closed { stream: stream.clone(), cause: super::error::chain(error).into() }
}
