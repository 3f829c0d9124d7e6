//! How many bytes may wait inside the client, which counts messages only.
//!
//! The client takes up to 2,048 messages before it has written any of them, of whatever size. So a large payload takes part of a bounded room along
//! and gives it back when the client lets go of it. Small ones are bounded by their number: 2,048 of them are 32 MiB at most.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::wire::limits;

/// Payloads from here on are counted.
const LARGE_BYTES: usize = 16 << 10;

/// The room of one connection. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// In KiB.
    free: Arc<Semaphore>,
}

/// A payload with the part of the room that it takes.
struct Counted {
    payload: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

impl Room {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(limits::QUEUE_BYTES_MAX >> 10)) }
    }

    /// The payload with its room, if there is some now; else the payload again.
    pub(crate) fn try_enter(&self, payload: Bytes) -> Result<Bytes, Bytes> {
        let Some(kib) = kib(&payload) else { return Ok(payload) };
        match Arc::clone(&self.free).try_acquire_many_owned(kib) {
            Ok(room) => Ok(Bytes::from_owner(Counted { payload, _room: room })),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Err(payload),
        }
    }

    /// The payload with its room, as soon as there is some.
    ///
    /// # Cancel safety
    /// The payload is dropped.
    pub(crate) async fn enter(&self, payload: Bytes) -> Bytes {
        let Some(kib) = kib(&payload) else { return payload };
        match Arc::clone(&self.free).acquire_many_owned(kib).await {
            Ok(room) => Bytes::from_owner(Counted { payload, _room: room }),
            // It is never closed.
            Err(_closed) => payload,
        }
    }
}

/// What a payload takes; `None` if it is not counted. One is always admitted, whatever its size.
fn kib(payload: &Bytes) -> Option<u32> {
    let kib = payload.len().min(limits::QUEUE_BYTES_MAX) >> 10;
    (payload.len() >= LARGE_BYTES).then(|| u32::try_from(kib).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_payloads_wait_for_each_other_and_one_is_always_admitted() {
        let room = Room::new();
        let huge = Bytes::from(vec![7; limits::QUEUE_BYTES_MAX * 2]);
        let entered = room.try_enter(huge.clone()).unwrap();
        assert_eq!(entered, huge);
        let large = Bytes::from(vec![1; LARGE_BYTES]);
        assert_eq!(room.try_enter(large.clone()), Err(large.clone()));
        let small = Bytes::from_static(b"small");
        assert_eq!(room.try_enter(small.clone()), Ok(small));
        let slice = entered.slice(..4);
        drop(entered);
        assert!(room.try_enter(large.clone()).is_err(), "the client has a part of it");
        drop(slice);
        assert!(room.try_enter(large).is_ok());
    }
}
