//! What keeps the memory: files of this process, or a Redis.
//!
//! A store moves records and keeps their times. What a record is made of, sizes, default times, statistics, near cache and the snapshot of a watch
//! are written once, above it. Every store runs the same suite, [`conformance`](crate::conformance).
//!
//! What a store promises:
//! - **One clock.** Times to live and ages of windows are counted by the store's own clock, and never by that of a caller. What is past its time is
//!   never returned, also when it is still there: an entry written at `t` from `t + ttl` on, one of a window from `t + age_max` on.
//! - **All or nothing.** Each call is one atomic step for whoever reads, over all its keys, which are of one namespace.
//! - **Acknowledged is kept**, as far as the store keeps anything (embedded: on disk; Redis: what its replication keeps).
//! - **Every change is told.** Each write, delete and expiry of an entry is one change, in the order in which they happened; or the position of who
//!   asks is [`Changes::Gap`]. Touching an entry and working on windows are no changes.
//! - **Dropped futures.** A read or a wait that is dropped leaves nothing behind. A write that is dropped may still happen.

mod error;

use std::time::Duration;

use bytes::Bytes;

pub(crate) use self::error::StoreError;
use crate::window::Range;
use crate::{Expected, Key, Namespace, Position, Prefix, Revision, SpaceStats, WatchPosition, Window};

/// The store of a mesh, chosen at run time from a closed set.
#[derive(Debug)]
pub(crate) enum AnyStore {
    Embedded(crate::embedded::Embedded),
    Redis(crate::redis::Redis),
}

/// One entry to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) key: Key,
    /// Made by the handle, unique.
    pub(crate) revision: Revision,
    /// Opaque to the store.
    pub(crate) record: Bytes,
    /// Whole milliseconds, at least one; `None` is for ever.
    pub(crate) ttl: Option<Duration>,
}

/// One entry as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) revision: Revision,
    pub(crate) record: Bytes,
    /// What is left of its time; `None` is for ever.
    pub(crate) ttl: Option<Duration>,
}

/// The outcome of `swap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swapped {
    Done,
    /// Something else was there; `None`: nothing.
    Conflict(Option<Revision>),
}

/// Of what the keys are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Entries,
    Windows,
}

/// Which keys are listed.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    pub(crate) kind: Kind,
    pub(crate) prefix: &'a Prefix,
    /// Only keys greater than this one.
    pub(crate) after: Option<&'a Key>,
    /// At most so many, at least 1.
    pub(crate) limit: usize,
}

/// Some entries of a window, oldest first. `more` as in [`WindowPage`](crate::WindowPage).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StoredPage {
    pub(crate) entries: Vec<(Position, Bytes)>,
    pub(crate) more: bool,
}

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredChange {
    pub(crate) key: Key,
    pub(crate) what: What,
}

/// See [`StoredChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It was written; its content is read when it is needed.
    Put(Revision),
    Deleted,
    Expired,
}

/// What happened behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changes {
    /// In order, at most [`CHANGES_PER_TURN_MAX`](crate::limits::CHANGES_PER_TURN_MAX), and the position behind the last of them. None: the wait
    /// was over.
    Some(Vec<StoredChange>, WatchPosition),
    /// Something behind this position is not known any more.
    Gap,
}

/// What a store does. See the head of this module for what holds of all of it.
pub(crate) trait Store {
    /// The entries of these keys, in their order. At most [`KEYS_PER_CALL_MAX`](crate::limits::KEYS_PER_CALL_MAX) keys; a key may come twice.
    /// [`StoreError::TooMuch`] instead of more bytes than [`READ_BYTES_MAX`](crate::limits::READ_BYTES_MAX), which are never all in memory.
    async fn read(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError>;

    /// Writes all of them or none. Repeating it is harmless: same revision, same content. If a key comes twice, the later one stays.
    async fn write(&self, space: &Namespace, writes: Vec<Write>) -> Result<(), StoreError>;

    /// Replaces what is there by `new` (or by nothing) if it is what is expected. Never repeated by the store.
    async fn swap(&self, space: &Namespace, key: &Key, expected: Expected, new: Option<Write>) -> Result<Swapped, StoreError>;

    /// Takes these entries away, and tells how many there were that had not expired.
    async fn delete(&self, space: &Namespace, keys: &[Key]) -> Result<u64, StoreError>;

    /// Gives an entry a new time to live, counted from now, and leaves its revision; false: there is none.
    async fn touch(&self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Result<bool, StoreError>;

    /// Keys in ascending order of their bytes. What is there during the whole of a scan is in it, once.
    async fn scan(&self, space: &Namespace, scan: Scan<'_>) -> Result<Vec<Key>, StoreError>;

    /// Appends in this order, trims by count and age, and lets the window live for its age; in one step. Never repeated by the store.
    async fn append(&self, space: &Namespace, window: &Window, records: Vec<Bytes>) -> Result<Vec<Position>, StoreError>;

    /// Entries within the bounds of `window`: of the newest `entries_max` those that are younger than `age_max`. No more in one answer than the
    /// limits `RECENT_BYTES_MAX` and `RECENT_ENTRIES_MAX`, but one at least if there is one.
    async fn recent(&self, space: &Namespace, window: &Window, range: Range) -> Result<StoredPage, StoreError>;

    /// Takes a window away; false: there is none.
    async fn clear(&self, space: &Namespace, window: &Key) -> Result<bool, StoreError>;

    /// The position behind everything that happened so far.
    async fn head(&self, space: &Namespace) -> Result<WatchPosition, StoreError>;

    /// What happened behind `after`; if nothing did, waits for it as long as `wait`.
    async fn changes(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError>;

    /// What is there.
    async fn stats(&self, space: &Namespace) -> Result<SpaceStats, StoreError>;

    /// Finishes what was begun and lets go of files and connections. Everything after it is `Closed`.
    async fn close(&self);
}

/// Hands every call to the store in use.
macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            AnyStore::Embedded($store) => $call,
            AnyStore::Redis($store) => $call,
        }
    };
}

impl Store for AnyStore {
    async fn read(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        either!(self, store => store.read(space, keys).await)
    }

    async fn write(&self, space: &Namespace, writes: Vec<Write>) -> Result<(), StoreError> {
        either!(self, store => store.write(space, writes).await)
    }

    async fn swap(&self, space: &Namespace, key: &Key, expected: Expected, new: Option<Write>) -> Result<Swapped, StoreError> {
        either!(self, store => store.swap(space, key, expected, new).await)
    }

    async fn delete(&self, space: &Namespace, keys: &[Key]) -> Result<u64, StoreError> {
        either!(self, store => store.delete(space, keys).await)
    }

    async fn touch(&self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Result<bool, StoreError> {
        either!(self, store => store.touch(space, key, ttl).await)
    }

    async fn scan(&self, space: &Namespace, scan: Scan<'_>) -> Result<Vec<Key>, StoreError> {
        either!(self, store => store.scan(space, scan).await)
    }

    async fn append(&self, space: &Namespace, window: &Window, records: Vec<Bytes>) -> Result<Vec<Position>, StoreError> {
        either!(self, store => store.append(space, window, records).await)
    }

    async fn recent(&self, space: &Namespace, window: &Window, range: Range) -> Result<StoredPage, StoreError> {
        either!(self, store => store.recent(space, window, range).await)
    }

    async fn clear(&self, space: &Namespace, window: &Key) -> Result<bool, StoreError> {
        either!(self, store => store.clear(space, window).await)
    }

    async fn head(&self, space: &Namespace) -> Result<WatchPosition, StoreError> {
        either!(self, store => store.head(space).await)
    }

    async fn changes(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError> {
        either!(self, store => store.changes(space, after, wait).await)
    }

    async fn stats(&self, space: &Namespace) -> Result<SpaceStats, StoreError> {
        either!(self, store => store.stats(space).await)
    }

    async fn close(&self) {
        either!(self, store => store.close().await);
    }
}
