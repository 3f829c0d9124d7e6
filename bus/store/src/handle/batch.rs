//! Several messages in one go: one lock and one wait for as many as fit into what gathers for the disk.

use super::{Consumer, Publish, Stream};
use crate::consumer::Settled;
use crate::error::StoreError;

impl Stream {
    /// Stores messages in their order, nothing of another publisher between those that fit into one batch, and waits until they are safe.
    /// Returns how many were stored; with an error, these are the ones before the first that was not.
    ///
    /// # Cancel safety
    /// The first of them may have been stored, in order.
    pub async fn publish_all(&self, messages: &[Publish]) -> (usize, Result<(), StoreError>) {
        let (mut stored, mut refused) = (0, None);
        while stored < messages.len() && refused.is_none() {
            let put = self.live.act(|state, now_ms| {
                let (mut next, mut lsn) = (stored, None);
                for message in &messages[stored..] {
                    match message.put(state, now_ms) {
                        Ok((_, put)) => (next, lsn) = (next + 1, Some(put)),
                        // What has its place is waited for, which makes room for the rest.
                        Err(StoreError::Busy) if next > stored => break,
                        Err(StoreError::Busy) => return Err(StoreError::Busy),
                        Err(error) => {
                            refused = Some(error);
                            break;
                        }
                    }
                }
                Ok((next, lsn))
            });
            match put.await {
                Ok(next) => stored = next,
                Err(error) => return (stored, Err(error)),
            }
        }
        (stored, refused.map_or(Ok(()), Err))
    }
}

impl Consumer {
    /// As [`extend`](Self::extend), for several deliveries, each by its sequence and number. Tells how many were still theirs.
    ///
    /// # Errors
    /// As [`extend`](Self::extend).
    pub async fn extend_all(&self, deliveries: &[(u64, u32)]) -> Result<usize, StoreError> {
        self.act(|state, now_ms| {
            let extended = deliveries.iter().filter(|(sequence, delivery)| {
                let settled = state.extend(self.key, *sequence, *delivery, now_ms);
                settled == Settled::Done
            });
            Ok((extended.count(), None))
        })
        .await
    }
}
