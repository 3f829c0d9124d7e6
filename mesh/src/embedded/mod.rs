//! The store in this process: one file, one thread that changes it, reads beside it.
//!
//! A write: [`Embedded::submit`] → a bounded queue → [`writer::Writer`] (gathers, one commit, one sync) → [`core::Core::turn`] (what it does to the
//! tables) → whoever waits, and the [`ring`] of changes. A read: a thread for blocking work → `core::read`, `scan`, `recent`.
//!
//! What it keeps in memory, whatever is in the file: the cache of pages (`cache_bytes`), the queue (64 MiB of records, 1,024 writes), the ring of
//! changes (16,384 of at most 0.7 KiB), and 16 reads with their answers.

mod core;
#[cfg(test)]
mod disk;
mod file;
mod ring;
mod state;
#[cfg(test)]
mod tests;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use redb::Database;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::core::{Done, Listed, Work};
use self::file::StoreFile;
use self::state::{FileState, State};
use self::writer::{Job, Order, Writer};
use crate::error::OpenError;
use crate::store::{Changes, Scan, Store, StoreError, Stored, StoredPage, Swapped, Write};
use crate::window::Range;
use crate::{EmbeddedConfig, Expected, Key, Namespace, Position, SpaceStats, WatchPosition, Window, limits};

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Embedded {
    state: Arc<State>,
    orders: SyncSender<Order>,
    /// Room in the queue: places, and KiB of records.
    places: Arc<Semaphore>,
    kibibytes: Arc<Semaphore>,
    reads: Semaphore,
}

/// What a permit for bytes stands for.
const ROOM_UNIT: usize = 1 << 10;

impl Embedded {
    pub(crate) async fn open(config: EmbeddedConfig) -> Result<Self, OpenError> {
        let path = config.directory.display().to_string();
        match spawn_blocking(move || Self::open_blocking(&config)).await {
            Ok(opened) => opened,
            Err(error) => Err(OpenError::Io { path: path.into(), reason: error.to_string().into() }),
        }
    }

    /// Whether there is a store; the directory is one that can be used. Takes three calls of the system.
    pub(crate) fn look_for(config: &EmbeddedConfig) -> Result<bool, OpenError> {
        StoreFile::of(config).look()
    }

    fn open_blocking(config: &EmbeddedConfig) -> Result<Self, OpenError> {
        Self::open_file(StoreFile::of(config), config)
    }

    fn open_file(file: StoreFile, config: &EmbeddedConfig) -> Result<Self, OpenError> {
        let (database, core) = file.open_or_create(config.bytes_max)?;
        let state = Arc::new(State::new(database, core.clock_ms()));
        // More orders than places never wait, but for one that closes the store.
        let (orders, received) = sync_channel(limits::EMBEDDED_QUEUE_WRITES + 8);
        let writer = Writer::new(Arc::clone(&state), file, core, config.bytes_max, config.durability);
        let named = thread::Builder::new().name("myelin-memory".to_owned());
        let watched = Arc::clone(&state);
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| writer.run(received))).is_err() {
                // A mistake of ours. Nobody may wait for a thread that is not there.
                watched.ring.close();
                watched.set(FileState::Damaged("the writing thread ended by a panic".into()));
            }
        };
        named.spawn(run).map_err(|error| OpenError::Io {
            path: config.directory.display().to_string().into(),
            reason: format!("no thread for it: {error}").into(),
        })?;
        Ok(Self {
            state,
            orders,
            places: Arc::new(Semaphore::new(limits::EMBEDDED_QUEUE_WRITES)),
            kibibytes: Arc::new(Semaphore::new(limits::EMBEDDED_QUEUE_BYTES / ROOM_UNIT)),
            reads: Semaphore::new(limits::EMBEDDED_READS_MAX),
        })
    }

    /// Has a piece of work done by the writer, and waits until it is durable.
    async fn submit(&self, space: &Namespace, work: Work) -> Result<Done, StoreError> {
        let bytes = work.bytes();
        let room = async {
            let kibibytes = u32::try_from(bytes.div_ceil(ROOM_UNIT).min(limits::EMBEDDED_QUEUE_BYTES / ROOM_UNIT)).unwrap_or(u32::MAX);
            let place = Arc::clone(&self.places).acquire_owned().await;
            let kibibytes = Arc::clone(&self.kibibytes).acquire_many_owned(kibibytes).await;
            place.and_then(|place| Ok([place, kibibytes?])).map_err(|_| StoreError::Closed)
        };
        let Ok(room) = timeout(limits::EMBEDDED_QUEUE_PATIENCE, room).await else {
            return Err(StoreError::Unavailable("too many writes are waiting".into()));
        };
        let (reply, replied) = oneshot::channel();
        let job = Job { space: space.clone(), work, bytes, reply, room: room? };
        if self.orders.try_send(Order::Work(job)).is_err() {
            return self.state.with(|_| Err(StoreError::Closed));
        }
        match replied.await {
            Ok(outcome) => outcome,
            // Everything that was begun is answered before the store counts as closed.
            Err(_) if self.state.is_closed() => Err(StoreError::Closed),
            Err(_) => Err(StoreError::Unknown("the writing thread ended by a panic".into())),
        }
    }

    /// Reads on a thread that may wait for the disk.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database, u64) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _turn = self.reads.acquire().await.map_err(|_| StoreError::Closed)?;
        let state = Arc::clone(&self.state);
        match spawn_blocking(move || state.with(|database| work(database, state.now_ms()))).await {
            Ok(read) => read,
            Err(error) if error.is_panic() => Err(StoreError::Damaged("the library gave up on the file".into())),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

/// An answer that is not one to this question: a mistake of ours.
fn mistaken<T>(done: &Done) -> Result<T, StoreError> {
    debug_assert!(false, "{done:?}");
    Err(StoreError::Unknown("the writer answered something else".into()))
}

impl Store for Embedded {
    async fn read(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        let (space, keys) = (space.clone(), keys.to_vec());
        self.look(move |database, now_ms| core::read(database, &space, &keys, now_ms)).await
    }

    async fn write(&self, space: &Namespace, writes: Vec<Write>) -> Result<(), StoreError> {
        match self.submit(space, Work::Write(writes)).await? {
            Done::Written => Ok(()),
            done => mistaken(&done),
        }
    }

    async fn swap(&self, space: &Namespace, key: &Key, expected: Expected, new: Option<Write>) -> Result<Swapped, StoreError> {
        match self.submit(space, Work::Swap { key: key.clone(), expected, new }).await? {
            Done::Swapped(swapped) => Ok(swapped),
            done => mistaken(&done),
        }
    }

    async fn delete(&self, space: &Namespace, keys: &[Key]) -> Result<u64, StoreError> {
        match self.submit(space, Work::Delete(keys.to_vec())).await? {
            Done::Deleted(count) => Ok(count),
            done => mistaken(&done),
        }
    }

    async fn touch(&self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Result<bool, StoreError> {
        match self.submit(space, Work::Touch { key: key.clone(), ttl }).await? {
            Done::Touched(was_there) => Ok(was_there),
            done => mistaken(&done),
        }
    }

    async fn scan(&self, space: &Namespace, scan: Scan<'_>) -> Result<Vec<Key>, StoreError> {
        let Scan { kind, prefix, after, limit } = scan;
        let (space, listed) = (space.clone(), Listed { kind, prefix: prefix.clone(), after: after.cloned(), limit });
        self.look(move |database, now_ms| core::scan(database, &space, &listed, now_ms)).await
    }

    async fn append(&self, space: &Namespace, window: &Window, records: Vec<Bytes>) -> Result<Vec<Position>, StoreError> {
        match self.submit(space, Work::Append { window: window.clone(), records }).await? {
            Done::Appended(positions) => Ok(positions),
            done => mistaken(&done),
        }
    }

    async fn recent(&self, space: &Namespace, window: &Window, range: Range) -> Result<StoredPage, StoreError> {
        let (space, window) = (space.clone(), window.clone());
        self.look(move |database, now_ms| core::recent(database, &space, &window, range, now_ms)).await
    }

    async fn clear(&self, space: &Namespace, window: &Key) -> Result<bool, StoreError> {
        match self.submit(space, Work::Clear(window.clone())).await? {
            Done::Cleared(was_there) => Ok(was_there),
            done => mistaken(&done),
        }
    }

    async fn head(&self, _: &Namespace) -> Result<WatchPosition, StoreError> {
        self.state.with(|_| Ok(self.state.ring.head()))
    }

    async fn changes(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError> {
        self.state.ring.changes(space, after, wait).await
    }

    async fn stats(&self, space: &Namespace) -> Result<SpaceStats, StoreError> {
        let space = space.clone();
        self.look(move |database, _| core::stats(database, &space)).await
    }

    async fn close(&self) {
        let (done, closed) = oneshot::channel();
        // The order may find no place while the queue is full: it is tried again when there is one.
        let mut order = Order::Close(done);
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = self.orders.try_send(order) {
            order = back;
            drop(self.places.acquire().await);
        }
        // An error: the thread had ended before, which is as good.
        drop(closed.await);
    }
}
