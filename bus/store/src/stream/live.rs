//! A stream that is open: its state behind a lock, and a thread that writes.
//!
//! Cost of one durable publish: one lock, one copy of the payload into the batch, one allocation for the waiter; of a batch: one write and one
//! sync per segment it touches (one, but for one in thousands), one wakeup per waiter. While a batch is synced, the next one gathers.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use super::{State, describe, directory};
use crate::clock::Clock;
use crate::config::{Durability, Name};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::log::{BATCH_BYTES_MAX, Batch, Segment, Want};
use crate::record::Salt;
use crate::reserve::Reserve;

/// How long records that nobody waits for may stay in memory.
const LAZY: Duration = Duration::from_millis(10);

/// How often the mark is synced, segments are looked through and a full disk is tried again.
const ROUND: Duration = Duration::from_millis(100);

/// What an open stream is made of.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) name: Name,
    disk: Disk,
    reserve: Reserve,
    pub(crate) clock: Clock,
    inner: Mutex<Inner>,
    /// Wakes the thread.
    work: Condvar,
    /// Something was stored, settled or made room for.
    pub(crate) changed: Notify,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    waiters: VecDeque<Waiter>,
    phase: Phase,
    /// The thread waits for something to do.
    is_asleep: bool,
    /// What nobody waits for is to be written as well.
    is_flushing: bool,
}

#[derive(Debug)]
struct Waiter {
    lsn: u64,
    done: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Closed,
    Broken(Box<str>),
}

/// What the thread does next, outside of the lock.
#[derive(Debug)]
struct Work {
    batch: Batch,
    is_synced: bool,
    want: Option<Want>,
    gone: Vec<Segment>,
    mark: bool,
}

impl Live {
    /// Begins to write. The thread ends with [`close`](Self::close).
    pub(crate) fn start(name: Name, disk: Disk, reserve: Reserve, clock: Clock, state: State) -> io::Result<Arc<Self>> {
        let inner = Inner { state, waiters: VecDeque::new(), phase: Phase::Open, is_asleep: false, is_flushing: true };
        let live = Arc::new(Self {
            name,
            disk,
            reserve,
            clock,
            inner: Mutex::new(inner),
            work: Condvar::new(),
            changed: Notify::new(),
            thread: Mutex::new(None),
        });
        let owner = Arc::clone(&live);
        let thread = std::thread::Builder::new().name(format!("stream {}", live.name)).spawn(move || owner.write())?;
        *live.thread.lock() = Some(thread);
        Ok(live)
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.inner.lock().state)
    }

    /// Does something to the state as soon as there is room for its record, and waits until that is as safe as the stream promises.
    ///
    /// # Cancel safety
    /// It may have been done.
    pub(crate) async fn act<R>(
        &self,
        mut act: impl FnMut(&mut State, u64) -> Result<(R, Option<u64>), StoreError>,
    ) -> Result<R, StoreError> {
        loop {
            let mut room = pin!(self.changed.notified());
            room.as_mut().enable();
            let waiting = {
                let mut inner = self.inner.lock();
                inner.phase.check()?;
                let now_ms = self.clock.now_ms();
                match act(&mut inner.state, now_ms) {
                    Ok((done, lsn)) => match lsn.and_then(|lsn| inner.wait_for(lsn)) {
                        None => {
                            self.wake(&mut inner);
                            return Ok(done);
                        }
                        Some(waiting) => {
                            inner.state.tail.await_batch();
                            self.wake(&mut inner);
                            Some((done, waiting))
                        }
                    },
                    Err(StoreError::Busy) => {
                        self.wake(&mut inner);
                        None
                    }
                    Err(error) => return Err(error),
                }
            };
            match waiting {
                Some((done, waiting)) => {
                    waiting.await.unwrap_or(Err(StoreError::Closed))?;
                    return Ok(done);
                }
                None => room.await,
            }
        }
    }

    /// Does something to the state now, if there is room for its record; nobody waits for it.
    pub(crate) fn try_act<R>(&self, act: impl FnOnce(&mut State, u64) -> Result<R, StoreError>) {
        let mut inner = self.inner.lock();
        if inner.phase == Phase::Open && act(&mut inner.state, self.clock.now_ms()).is_ok() {
            self.wake(&mut inner);
            self.changed.notify_waiters();
        }
    }

    /// Writes what the stream is beside its log.
    pub(crate) fn describe(&self, salt: Salt) -> Result<(), StoreError> {
        let config = self.read(|state| state.core.config.clone());
        describe(&self.disk, &config, salt).map_err(|error| StoreError::Broken { cause: error.to_string().into() })
    }

    /// A wakeup is a syscall: only when the thread sleeps.
    fn wake(&self, inner: &mut Inner) {
        if inner.is_asleep {
            inner.is_asleep = false;
            self.work.notify_one();
        }
    }

    /// Writes what is there, syncs it and ends the thread. Blocks for as long as the disk takes.
    pub(crate) fn close(&self) {
        {
            let mut inner = self.inner.lock();
            if inner.phase == Phase::Open {
                inner.phase = Phase::Closing;
            }
            inner.state.tail.await_batch();
            inner.is_asleep = false;
            self.work.notify_one();
        }
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!(stream = %self.name, "the writing thread of a stream panicked");
        }
    }

    fn write(&self) {
        let mut last_round_ms = 0;
        let mut inner = self.inner.lock();
        loop {
            let now_ms = self.clock.now_ms();
            inner.state.tick(now_ms);
            let is_round = now_ms >= last_round_ms + ROUND.as_millis() as u64;
            let Some(work) = inner.next_work(is_round, now_ms) else {
                if inner.phase != Phase::Open {
                    break;
                }
                self.sleep(&mut inner, now_ms);
                continue;
            };
            if is_round {
                last_round_ms = now_ms;
            }
            let done = MutexGuard::unlocked(&mut inner, || self.work_on(&work));
            let done = done.and_then(|made| inner.finish(work, made));
            self.changed.notify_waiters();
            if let Err(error) = done {
                error!(stream = %self.name, %error, "a stream cannot be written and is closed");
                inner.end(Phase::Broken(error.to_string().into()));
                return;
            }
        }
        if let Err(error) = inner.state.sync_mark() {
            warn!(stream = %self.name, %error, "the mark was not synced");
        }
        inner.end(Phase::Closed);
        self.changed.notify_waiters();
    }

    fn sleep(&self, inner: &mut MutexGuard<'_, Inner>, now_ms: u64) {
        inner.is_asleep = true;
        let event = inner.state.next_event_ms().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms)));
        let lazy = inner.state.tail.has_batch().then_some(LAZY);
        let round = inner.state.wants_rounds().then_some(ROUND);
        match event.into_iter().chain(lazy).chain(round).min() {
            // What is due at once and cannot be done, for want of room, is tried again after a while.
            Some(duration) => drop(self.work.wait_for(inner, duration.max(LAZY))),
            None => self.work.wait(inner),
        }
        if inner.is_asleep {
            // Nobody woke us: what was lazy has waited long enough.
            inner.is_asleep = false;
            inner.is_flushing = true;
        }
    }

    fn work_on(&self, work: &Work) -> io::Result<Option<Segment>> {
        work.batch.write()?;
        if work.is_synced {
            work.batch.sync()?;
        }
        let directory = directory(&self.name);
        for segment in &work.gone {
            self.disk.remove(&format!("{directory}/{}", segment.id))?;
        }
        work.want.map_or(Ok(None), |want| self.make(&directory, want))
    }

    /// Makes a segment; `None` if the disk is full.
    fn make(&self, directory: &str, want: Want) -> io::Result<Option<Segment>> {
        // What freed itself goes to the reserve first.
        match self.reserve.fill().and_then(|()| Segment::create(&self.disk, directory, want.id, want.bytes)) {
            Ok(segment) => Ok(Some(segment)),
            Err(error) if !is_full(&error) => Err(error),
            Err(_full) if want.reserve_will_do => self.reserve.take(directory, want.id),
            Err(_full) => Ok(None),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl Inner {
    fn next_work(&mut self, is_round: bool, now_ms: u64) -> Option<Work> {
        let tail = &self.state.tail;
        let is_synced = tail.is_batch_awaited() && self.state.core.config.durability == Durability::Synced;
        let is_due = tail.is_batch_awaited() || (self.is_flushing && tail.has_batch()) || tail.batch_bytes() > BATCH_BYTES_MAX / 2;
        // A full disk is asked again now and then, not all the time.
        let want = self.state.wanted().filter(|_| self.phase == Phase::Open && (is_round || !tail.is_full()));
        let gone = if is_round { self.state.collect(now_ms) } else { Vec::new() };
        let mark = is_round && self.state.is_mark_unsynced();
        let is_any = is_due || want.is_some() || !gone.is_empty() || mark;
        is_any.then(|| {
            self.is_flushing = false;
            let batch = if is_due { self.state.begin_commit() } else { Batch::default() };
            Work { batch, is_synced, want, gone, mark }
        })
    }

    fn finish(&mut self, work: Work, made: Option<Segment>) -> io::Result<()> {
        self.state.end_commit(work.batch, work.is_synced)?;
        if work.mark {
            self.state.sync_mark()?;
        }
        match (made, work.want) {
            (Some(segment), _) => self.state.give(segment)?,
            (None, Some(_)) => self.state.tail.refuse(),
            (None, None) => {}
        }
        let safe_lsn = self.safe_lsn();
        while self.waiters.front().is_some_and(|waiter| waiter.lsn <= safe_lsn) {
            if let Some(waiter) = self.waiters.pop_front() {
                // Who does not wait any more does not mind.
                drop(waiter.done.send(Ok(())));
            }
        }
        Ok(())
    }

    /// Number of the last record that is as safe as the stream promises.
    fn safe_lsn(&self) -> u64 {
        match self.state.core.config.durability {
            Durability::Synced => self.state.durable_lsn(),
            Durability::OsBuffered => self.state.written_lsn(),
            Durability::Memory => u64::MAX,
        }
    }

    fn wait_for(&mut self, lsn: u64) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        if lsn <= self.safe_lsn() {
            return None;
        }
        let (done, waiting) = oneshot::channel();
        debug_assert!(self.waiters.back().is_none_or(|last| last.lsn <= lsn), "numbers rise");
        self.waiters.push_back(Waiter { lsn, done });
        Some(waiting)
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        let error = self.phase.check().err().unwrap_or(StoreError::Closed);
        for waiter in self.waiters.drain(..) {
            drop(waiter.done.send(Err(error.clone())));
        }
    }
}

impl Phase {
    fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Open => Ok(()),
            Self::Closing | Self::Closed => Err(StoreError::Closed),
            Self::Broken(cause) => Err(StoreError::Broken { cause: cause.clone() }),
        }
    }
}
