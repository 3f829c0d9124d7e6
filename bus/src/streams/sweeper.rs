//! Messages that expire unread become dead letters where their stream says so, whether or not a worker is there to find them.
//!
//! The letters are stored, then the messages go: a crash in between leaves both, and the next round finds the letters by their subjects. What a
//! worker has is left to it; it comes back, or is settled, when `ack_wait` is over at the latest.

use std::time::Duration;

use futures_util::future::try_join_all;
use myelin_store::{Retention, StreamConfig};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::engine::Streams;
use super::error::chain;
use super::reason::DeadReason;
use super::step::{self, Step};
use super::storing::{MOVED_AT_ONCE, bury_for_all};

/// A message is a letter this long after it expired, and the time that its letter takes: half a second.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Moves all that expired. What cannot be moved now is tried again in the next round.
pub(super) async fn sweep(streams: &Streams, token: &CancellationToken) {
    let swept = match streams.swept().await {
        Ok(swept) => swept,
        // A server that is away is missed by everybody who works with it, and they say so.
        Err(error) => return debug!(error = chain(&error), "nothing can be swept now"),
    };
    for StreamConfig { name, retention, .. } in swept {
        let mut moved = 0;
        while !token.is_cancelled() {
            match sweep_some(streams, &name, retention).await {
                Ok(0) => break,
                Ok(count) => moved += count,
                Err(error) => {
                    warn!(stream = %name, error, "expired messages cannot become dead letters yet");
                    break;
                }
            }
        }
        if moved > 0 {
            info!(stream = %name, messages = moved, "expired");
        }
    }
}

async fn sweep_some(streams: &Streams, stream: &myelin_store::Name, retention: Retention) -> Result<usize, String> {
    let expired = streams.expired(stream, MOVED_AT_ONCE).await.map_err(|error| chain(&error))?;
    if expired.is_empty() {
        return Ok(0);
    }
    let moving = expired.iter().map(|message| bury_for_all(streams, stream, retention, DeadReason::Expired, message));
    try_join_all(moving).await.map_err(|error| chain(&error))?;
    let sequences: Vec<u64> = expired.iter().map(|message| message.sequence).collect();
    streams.expire(stream, &sequences).await.map_err(|error| chain(&error))?;
    step::passed(Step::OriginalSettled).await;
    Ok(sequences.len())
}
