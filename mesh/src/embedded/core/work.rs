//! What is asked of the core, and what it answers.

use std::time::Duration;

use bytes::Bytes;

use crate::store::{StoreError, StoredChange, Swapped, Write};
use crate::{Expected, Key, Namespace, Position, Window};

/// One change that was asked for. It is done as a whole or not at all.
#[derive(Debug, Clone)]
pub(in super::super) enum Work {
    Write(Vec<Write>),
    Swap { key: Key, expected: Expected, new: Option<Write> },
    Delete(Vec<Key>),
    Touch { key: Key, ttl: Option<Duration> },
    Append { window: Window, records: Vec<Bytes> },
    Clear(Key),
}

impl Work {
    /// Bytes of records.
    pub(in super::super) fn bytes(&self) -> usize {
        match self {
            Self::Write(writes) => writes.iter().map(|write| write.record.len()).sum(),
            Self::Swap { new, .. } => new.as_ref().map_or(0, |write| write.record.len()),
            Self::Append { records, .. } => records.iter().map(Bytes::len).sum(),
            Self::Delete(_) | Self::Touch { .. } | Self::Clear(_) => 0,
        }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Done {
    Written,
    Swapped(Swapped),
    Deleted(u64),
    Touched(bool),
    Appended(Vec<Position>),
    Cleared(bool),
}

/// One turn of the core: several pieces of work in one commit.
#[derive(Debug)]
pub(in super::super) struct Turned {
    /// In the order of the work.
    pub(in super::super) outcomes: Vec<Result<Done, StoreError>>,
    /// In the order in which they happened.
    pub(in super::super) changes: Vec<(Namespace, StoredChange)>,
    /// When something has to be looked at next; `None`: never. It may be in the past, when there was too much for one turn.
    pub(in super::super) due_ms: Option<u64>,
}

/// Why a turn did not end well.
#[derive(Debug)]
pub(in super::super) enum TurnError {
    /// Nothing of it happened.
    Before(redb::Error),
    /// It failed when it was to be made durable; the number of the turn tells, once the file was opened again, whether it happened.
    Commit(redb::Error),
}
