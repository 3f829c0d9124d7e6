//! What the writer and the readers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use redb::Database;

use super::ring::Ring;
use crate::store::StoreError;

/// See the head of this module.
#[derive(Debug)]
pub(super) struct State {
    /// Held for reading by whoever uses the file, and for writing by the writer when it lets go of it. Never across an await.
    file: RwLock<FileState>,
    pub(super) ring: Ring,
    clock: Clock,
}

/// Whether there is a file to work on.
#[derive(Debug)]
pub(super) enum FileState {
    Open(Database),
    /// It failed, and is opened again.
    Away(Box<str>),
    /// It failed for good.
    Damaged(Box<str>),
    Closed,
}

/// Milliseconds since 1970 by the clock of the system, never less than before.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl Clock {
    fn now_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}

impl State {
    pub(super) fn new(database: Database, clock_ms: u64) -> Self {
        Self { file: RwLock::new(FileState::Open(database)), ring: Ring::new(), clock: Clock(AtomicU64::new(clock_ms)) }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// From here on no time before this one is used.
    pub(super) fn advance(&self, time_ms: u64) {
        self.clock.0.fetch_max(time_ms, Ordering::Relaxed);
    }

    /// Works on the file, if there is one. Other than the writer's, work may be done at the same time.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.file.read() {
            FileState::Open(database) => work(database),
            FileState::Away(reason) => Err(StoreError::Unavailable(reason.clone())),
            FileState::Damaged(reason) => Err(StoreError::Damaged(reason.clone())),
            FileState::Closed => Err(StoreError::Closed),
        }
    }

    /// Whether it was closed in order.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&*self.file.read(), FileState::Closed)
    }

    /// Lets go of the file, once nobody reads it any more. Returns it, so that who closes it hears of errors.
    pub(super) fn set(&self, state: FileState) -> Option<Database> {
        match std::mem::replace(&mut *self.file.write(), state) {
            FileState::Open(database) => Some(database),
            FileState::Away(_) | FileState::Damaged(_) | FileState::Closed => None,
        }
    }
}
