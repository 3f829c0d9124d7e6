//! Who gets what: the subscriptions of an embedded bus, and the match list of a subject.
//!
//! Invariants:
//! - **Cost.** A match visits the tokens of its subject and the wildcards beside them, never an unrelated subscription.
//! - **Generation.** Every change raises it before the change's call returns, so a match list of the current generation is complete.
//! - **No lock while handlers run.** A match list holds its receivers by reference count; a handler may publish, subscribe and unsubscribe.

mod matched;
#[cfg(test)]
mod model;
mod trie;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

pub(crate) use self::matched::Matched;
use self::trie::Trie;
use crate::InlineHandler;
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
    handler: Arc<dyn InlineHandler>,
}

/// The subscriptions of one bus.
#[derive(Debug)]
pub(crate) struct Router {
    trie: RwLock<Trie>,
    generation: AtomicU64,
    entries_max: usize,
}

/// A subscription's claim on its place in the router.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    interest: Interest,
    entry: Arc<Entry>,
}

/// A publisher's memory of its match list.
#[derive(Debug, Default)]
pub(crate) struct RouteCache(Mutex<Option<(u64, Arc<Matched>)>>);

impl Router {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self { trie: RwLock::default(), generation: AtomicU64::new(0), entries_max }
    }

    /// Adds a subscription; `None` when there are too many.
    pub(crate) fn insert(&self, interest: Interest, handler: Arc<dyn InlineHandler>) -> Option<Place> {
        let mut trie = self.trie.write();
        if trie.len() >= self.entries_max {
            return None;
        }
        let entry = Arc::new(Entry { id: trie.next_id(), open: AtomicBool::new(true), handler });
        trie.insert(&interest, Arc::clone(&entry));
        self.generation.fetch_add(1, Ordering::Release);
        Some(Place { interest, entry })
    }

    /// Removes a subscription, if it is still there.
    pub(crate) fn remove(&self, place: &Place) {
        place.entry.open.store(false, Ordering::Release);
        let mut trie = self.trie.write();
        let removed = trie.remove(&place.interest, place.entry.id);
        self.generation.fetch_add(1, Ordering::Release);
        drop(trie);
        // The entry may be the last reference to its handler, whose drop may lead back here.
        drop(removed);
    }

    /// Removes every subscription.
    pub(crate) fn clear(&self) {
        let removed = {
            let mut trie = self.trie.write();
            self.generation.fetch_add(1, Ordering::Release);
            std::mem::take(&mut *trie)
        };
        removed.for_each(&mut |entry| entry.open.store(false, Ordering::Release));
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
    pub(crate) fn matches(&self, subject: &Subject) -> Matched {
        self.trie.read().matches(subject)
    }

    /// The receivers of a subject, from the cache while nothing has changed. A cache belongs to one subject.
    pub(crate) fn matches_cached(&self, cache: &RouteCache, subject: &Subject) -> Arc<Matched> {
        let current = self.generation.load(Ordering::Acquire);
        if let Some((generation, matched)) = &*cache.0.lock()
            && *generation == current
        {
            return Arc::clone(matched);
        }
        let (generation, matched) = {
            let trie = self.trie.read();
            // Under the lock no change is in progress, so the list is complete for this generation.
            (self.generation.load(Ordering::Acquire), Arc::new(trie.matches(subject)))
        };
        let outdated = cache.0.lock().replace((generation, Arc::clone(&matched)));
        drop(outdated);
        matched
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
