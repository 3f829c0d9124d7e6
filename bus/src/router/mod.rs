//! Who gets what: the subscriptions of an embedded bus, and the match list of a subject.
//!
//! Invariants:
//! - **Cost.** A match visits the tokens of its subject and the wildcards beside them, never an unrelated subscription.
//! - **Generation.** Every change raises it before the change's call returns, so a match list of the current generation is complete.
//! - **No lock while handlers run.** A match list holds its receivers by reference count; a handler may publish, subscribe and unsubscribe.

mod matched;
mod memo;
#[cfg(test)]
mod model;
mod receiver;
mod trie;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockWriteGuard};

pub(crate) use self::matched::Matched;
pub(crate) use self::memo::RouteCache;
use self::memo::{Kept, Memo};
pub(crate) use self::receiver::Receiver;
use self::trie::Trie;
use crate::wire::{Filter, QueueGroup, Subject};

/// What a subscription listens to.
#[derive(Debug, Clone)]
pub(crate) struct Interest {
    pub(crate) filter: Filter,
    pub(crate) group: Option<QueueGroup>,
}

/// One subscription as the router knows it.
pub(crate) struct Entry {
    /// Rises with every subscription, so that lists of entries are in order of subscription and of this number.
    id: u64,
    /// Cleared at once by unsubscribing, so that match lists which others still hold pass the entry over.
    open: AtomicBool,
    receiver: Receiver,
}

/// The subscriptions of one bus.
#[derive(Debug)]
pub(crate) struct Router {
    trie: RwLock<Trie>,
    memo: Memo,
    generation: AtomicU64,
    entries_max: usize,
}

/// A subscription's claim on its place in the router.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    interest: Interest,
    entry: Arc<Entry>,
}

impl Router {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { trie: RwLock::default(), memo: Memo::default(), generation: AtomicU64::new(0), entries_max }
    }

    /// Adds a subscription; `None` when there are too many.
    pub(crate) fn insert(&self, interest: Interest, receiver: Receiver) -> Option<Place> {
        let mut trie = self.trie.write();
        if trie.len() >= self.entries_max {
            return None;
        }
        let entry = Arc::new(Entry { id: trie.next_id(), open: AtomicBool::new(true), receiver });
        trie.insert(&interest, Arc::clone(&entry));
        self.changed(trie);
        Some(Place { interest, entry })
    }

    /// Removes a subscription, if it is still there.
    pub(crate) fn remove(&self, place: &Place) {
        place.entry.open.store(false, Ordering::Release);
        let mut trie = self.trie.write();
        let removed = trie.remove(&place.interest, place.entry.id);
        self.changed(trie);
        // The entry may be the last reference to its handler, whose drop may lead back here.
        drop(removed);
    }

    /// Removes every subscription.
    pub(crate) fn clear(&self) {
        let mut trie = self.trie.write();
        let removed = std::mem::take(&mut *trie);
        self.changed(trie);
        removed.for_each(&mut |entry| entry.open.store(false, Ordering::Release));
    }

    /// Ends a change: every list made before is outdated.
    fn changed(&self, trie: RwLockWriteGuard<'_, Trie>) {
        self.generation.fetch_add(1, Ordering::Release);
        drop(trie);
        self.memo.clear();
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.trie.read().len()
    }

    #[cfg(test)]
    fn is_pruned(&self) -> bool {
        self.trie.read().is_pruned()
    }

    /// The receivers of a subject, now.
    pub(crate) fn matches(&self, subject: &Subject) -> Arc<Matched> {
        self.memo.get(subject).unwrap_or_else(|| self.make(subject)).list
    }

    /// Whether anybody gets what is published on a subject, now.
    pub(crate) fn is_heard(&self, subject: &Subject) -> bool {
        // Not through the memo: a look at an inbox must not push out a match list in use.
        self.trie.read().matches(subject).is_any_open()
    }

    /// As [`matches`](Self::matches), without a look-up while nothing has changed. A cache belongs to one subject.
    pub(crate) fn matches_cached(&self, cache: &RouteCache, subject: &Subject) -> Arc<Matched> {
        let generation = self.generation.load(Ordering::Acquire);
        cache.get(generation).unwrap_or_else(|| {
            let kept = self.memo.get(subject).filter(|kept| kept.generation == generation);
            let kept = kept.unwrap_or_else(|| self.make(subject));
            cache.set(&kept);
            kept.list
        })
    }

    fn make(&self, subject: &Subject) -> Kept {
        let made = {
            let trie = self.trie.read();
            // Under the lock no change is in progress, so the list is complete for this generation.
            Kept { generation: self.generation.load(Ordering::Acquire), list: Arc::new(trie.matches(subject)) }
        };
        self.memo.keep(subject, made, |generation| self.generation.load(Ordering::Acquire) == generation)
    }
}

impl Entry {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("id", &self.id).field("open", &self.is_open()).finish_non_exhaustive()
    }
}
