//! What is found under a key.

use std::time::Duration;

use crate::{Key, Revision, Value};

/// An entry as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// What was written.
    pub value: Value,
    /// By which write.
    pub revision: Revision,
    /// How long it had to live when it was read; `None`: for ever.
    pub ttl: Option<Duration>,
}

/// What a compare-and-set expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: the key has no entry, or one that expired.
    Absent,
    /// The entry of this write, unchanged. A touch changes no entry.
    Revision(Revision),
}

/// A part of a scan: keys in ascending order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// At most as many as were asked for.
    pub keys: Vec<Key>,
    /// Where the next part begins; `None`: this was the last one.
    pub next: Option<Key>,
}

/// What a namespace has in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpaceStats {
    /// Entries. What expired a moment ago may still be counted.
    pub entries: u64,
    /// Windows. What expired a moment ago may still be counted.
    pub windows: u64,
    /// Bytes of encoded values, revisions included and keys not, where the store counts them.
    pub bytes: Option<u64>,
}
