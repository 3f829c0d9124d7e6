//! The latest changes, for watchers: a bounded ring in memory, over all namespaces.
//!
//! A position is the number of the next change, and a random number of this ring: after a restart the ring is another one, and whoever comes with
//! an old position is told that there is a gap.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::store::{Changes, StoreError, StoredChange};
use crate::{Namespace, WatchPosition, limits};

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Ring {
    kept: Mutex<Kept>,
    /// The number of the next change; watchers wait for it to rise. It is `None` when there will be no other.
    next: watch::Sender<Option<u64>>,
}

#[derive(Debug)]
struct Kept {
    epoch: u64,
    /// The number of the first in `changes`.
    first: u64,
    changes: VecDeque<(Namespace, StoredChange)>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(Kept::new()), next: watch::Sender::new(Some(0)) }
    }

    /// Begins anew: something happened that is not known here, so that everybody has a gap.
    pub(super) fn restart(&self) {
        *self.kept.lock() = Kept::new();
        self.next.send_if_modified(|told| told.is_some());
    }

    pub(super) fn push(&self, changes: Vec<(Namespace, StoredChange)>) {
        if changes.is_empty() {
            return;
        }
        let next = {
            let mut kept = self.kept.lock();
            kept.changes.extend(changes);
            let over = kept.changes.len().saturating_sub(limits::CHANGES_KEPT_MAX);
            kept.changes.drain(..over);
            kept.first += over as u64;
            kept.next()
        };
        self.next.send_if_modified(|told| {
            let open = told.is_some();
            if open {
                *told = Some(next);
            }
            open
        });
    }

    /// Nothing comes any more: whoever waits is told that the store is closed.
    pub(super) fn close(&self) {
        self.next.send_replace(None);
    }

    pub(super) fn head(&self) -> WatchPosition {
        let kept = self.kept.lock();
        kept.position(kept.next())
    }

    /// As [`Store::changes`](crate::store::Store::changes).
    pub(super) async fn changes(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError> {
        let mut told = self.next.subscribe();
        let mut from = after;
        let waited = timeout(wait, async {
            loop {
                if told.borrow_and_update().is_none() {
                    return Err(StoreError::Closed);
                }
                match self.kept.lock().behind(space, from) {
                    Changes::Some(changes, next) if changes.is_empty() => from = next,
                    changes => return Ok(changes),
                }
                if told.changed().await.is_err() {
                    return Err(StoreError::Closed);
                }
            }
        });
        match waited.await {
            Ok(changes) => changes,
            Err(_) => Ok(Changes::Some(Vec::new(), from)),
        }
    }
}

impl Kept {
    fn new() -> Self {
        Self { epoch: fastrand::u64(..), first: 0, changes: VecDeque::new() }
    }

    fn next(&self) -> u64 {
        self.first + self.changes.len() as u64
    }

    fn position(&self, next: u64) -> WatchPosition {
        WatchPosition([self.epoch, next, 0])
    }

    /// The changes of a namespace from a position on, and the position behind what was looked at.
    fn behind(&self, space: &Namespace, WatchPosition([epoch, from, _]): WatchPosition) -> Changes {
        let skip = from.checked_sub(self.first).and_then(|skip| usize::try_from(skip).ok());
        let Some(skip) = skip.filter(|skip| epoch == self.epoch && *skip <= self.changes.len()) else { return Changes::Gap };
        let mut next = from;
        let mut changes = Vec::new();
        for (of, change) in self.changes.range(skip..) {
            if changes.len() == limits::CHANGES_PER_TURN_MAX {
                break;
            }
            next += 1;
            if of == space {
                changes.push(change.clone());
            }
        }
        Changes::Some(changes, self.position(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;
    use crate::store::What;

    fn deleted(space: &str, key: usize) -> (Namespace, StoredChange) {
        (Namespace::new(space).unwrap(), StoredChange { key: Key::new(&key.to_string()).unwrap(), what: What::Deleted })
    }

    async fn keys(ring: &Ring, after: WatchPosition) -> (Vec<String>, WatchPosition) {
        match ring.changes(&Namespace::new("a").unwrap(), after, Duration::ZERO).await.unwrap() {
            Changes::Some(changes, next) => (changes.iter().map(|change| change.key.to_string()).collect(), next),
            Changes::Gap => panic!("nothing was missed"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn changes_come_once_in_order_and_only_those_of_the_namespace() {
        let ring = Ring::new();
        let start = ring.head();
        ring.push(vec![deleted("a", 1), deleted("b", 2), deleted("a", 3)]);
        let (first, next) = keys(&ring, start).await;
        assert_eq!(first, ["1", "3"]);
        ring.push(vec![deleted("b", 4)]);
        let (second, next) = keys(&ring, next).await;
        assert!(second.is_empty());
        ring.push((0..100).map(|key| deleted("a", key)).collect());
        let (third, next) = keys(&ring, next).await;
        let (fourth, next) = keys(&ring, next).await;
        assert_eq!((third.len(), fourth.len()), (64, 36));
        assert_eq!(next, ring.head());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_far_behind_or_comes_from_another_ring_has_a_gap() {
        let (ring, other) = (Ring::new(), Ring::new());
        let start = ring.head();
        let space = Namespace::new("a").unwrap();
        assert_eq!(ring.changes(&space, other.head(), Duration::ZERO).await, Ok(Changes::Gap));
        ring.push((0..limits::CHANGES_KEPT_MAX).map(|key| deleted("b", key)).collect());
        assert_ne!(ring.changes(&space, start, Duration::ZERO).await, Ok(Changes::Gap));
        ring.push(vec![deleted("b", 0)]);
        assert_eq!(ring.changes(&space, start, Duration::ZERO).await, Ok(Changes::Gap));
        let head = ring.head();
        let WatchPosition([epoch, next, _]) = head;
        assert_eq!(ring.changes(&space, WatchPosition([epoch, next + 1, 0]), Duration::ZERO).await, Ok(Changes::Gap));
        ring.restart();
        assert_eq!(ring.changes(&space, head, Duration::ZERO).await, Ok(Changes::Gap));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_sleeps_until_something_happens_or_the_store_is_closed() {
        let ring = std::sync::Arc::new(Ring::new());
        let (start, space) = (ring.head(), Namespace::new("a").unwrap());
        let waiting = tokio::spawn({
            let (ring, space) = (std::sync::Arc::clone(&ring), space.clone());
            async move { ring.changes(&space, start, Duration::MAX).await }
        });
        tokio::task::yield_now().await;
        ring.push(vec![deleted("b", 1), deleted("a", 1)]);
        assert!(matches!(waiting.await.unwrap(), Ok(Changes::Some(changes, _)) if changes.len() == 1));
        ring.close();
        assert_eq!(ring.changes(&space, ring.head(), Duration::MAX).await, Err(StoreError::Closed));
        ring.push(vec![deleted("a", 1)]);
        assert_eq!(ring.changes(&space, ring.head(), Duration::MAX).await, Err(StoreError::Closed));
    }
}
