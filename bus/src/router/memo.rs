//! Match lists that were made and are still true, by subject.
//!
//! The memo is the only lasting owner of a list: publishers remember theirs weakly. So a handler is let go when its subscription ends, however
//! long a publisher stays silent after that.

use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::Matched;
use crate::wire::{Subject, limits};

/// Most lists kept: as many as connections, each with a subject of its own. A list of one receiver is about 250 bytes. When full, all are
/// forgotten: those in use are back with their next message, and those used once are not.
const LISTS_MAX: usize = limits::CONNECTIONS_MAX;

/// What requesters listen on once: remembering such a subject only pushes others out.
const ONE_TIME_PREFIX: &str = "_INBOX.";

#[derive(Debug, Default)]
pub(super) struct Memo {
    lists: RwLock<HashMap<Subject, Kept>>,
}

/// A list and the generation that it is complete for.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) generation: u64,
    pub(super) list: Arc<Matched>,
}

/// A publisher's memory of its match list and of the generation that it belongs to.
#[derive(Debug, Default)]
pub(crate) struct RouteCache(Mutex<(u64, Weak<Matched>)>);

impl Memo {
    /// While a change is just ending, the list may be of the generation before.
    pub(super) fn get(&self, subject: &Subject) -> Option<Kept> {
        self.lists.read().get(subject.as_str()).cloned()
    }

    /// Keeps a list if `is_current` holds for it, and returns the one that is kept: all publishers of a subject share one.
    pub(super) fn keep(&self, subject: &Subject, made: Kept, is_current: impl FnOnce(u64) -> bool) -> Kept {
        if subject.as_str().starts_with(ONE_TIME_PREFIX) {
            return made;
        }
        let mut lists = self.lists.write();
        if let Some(kept) = lists.get(subject.as_str())
            && kept.generation == made.generation
        {
            return kept.clone();
        }
        let full = if lists.len() >= LISTS_MAX { std::mem::take(&mut *lists) } else { HashMap::new() };
        // Asked under the lock, so that no list enters after the change that outdates it has called `clear`.
        let outdated = is_current(made.generation).then(|| lists.insert(subject.clone(), made.clone()));
        drop(lists);
        // Outside of the lock: a list may own the last reference to a handler, whose drop may publish.
        drop((full, outdated));
        made
    }

    pub(super) fn clear(&self) {
        if self.lists.read().is_empty() {
            return;
        }
        let outdated = std::mem::take(&mut *self.lists.write());
        // Outside of the lock, for the same reason.
        drop(outdated);
    }
}

impl RouteCache {
    pub(super) fn get(&self, generation: u64) -> Option<Arc<Matched>> {
        let cached = self.0.lock();
        (cached.0 == generation).then(|| cached.1.upgrade()).flatten()
    }

    pub(super) fn set(&self, kept: &Kept) {
        *self.0.lock() = (kept.generation, Arc::downgrade(&kept.list));
    }
}
