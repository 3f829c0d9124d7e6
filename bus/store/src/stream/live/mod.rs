//! A stream that is open: its state behind a lock, and a thread that writes.
//!
//! Cost of one durable publish: one lock, one copy of the payload into the batch, one allocation for the waiter; of a batch: one write and one
//! sync per segment it touches (one, but for one in thousands), one wakeup per waiter, outside of the lock. While a batch is synced, the next one
//! gathers; on a slow disk it is given a moment more, see [`writer`].

#[cfg(test)]
mod together;
#[cfg(test)]
mod upkeep;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use super::{State, describe};
use crate::clock::Clock;
use crate::config::{Durability, Name};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::record::Salt;
use crate::reserve::Reserve;

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
    describing: Mutex<()>,
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
    /// The thread waits for so many waiters, or a moment, before it writes the next batch.
    gathering: Option<usize>,
}

#[derive(Debug)]
struct Waiter {
    lsn: u64,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl Waiter {
    fn tell(self) {
        // Who does not wait any more does not mind.
        drop(self.done.send(Ok(())));
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Closed,
    Broken(Box<str>),
}

impl Live {
    /// Begins to write. The thread ends with [`close`](Self::close).
    pub(crate) fn start(name: Name, disk: Disk, reserve: Reserve, clock: Clock, state: State) -> io::Result<Arc<Self>> {
        let inner = Inner { state, waiters: VecDeque::new(), phase: Phase::Open, is_asleep: false, is_flushing: true, gathering: None };
        let live = Arc::new(Self {
            name,
            disk,
            reserve,
            clock,
            inner: Mutex::new(inner),
            work: Condvar::new(),
            changed: Notify::new(),
            thread: Mutex::new(None),
            describing: Mutex::new(()),
        });
        let owner = Arc::clone(&live);
        let thread = std::thread::Builder::new().name(format!("stream {}", live.name)).spawn(move || owner.write_until_the_end())?;
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
                        // Registered under the lock: what makes room is done under it as well, and told afterwards.
                        room.as_mut().enable();
                        inner.gathering = inner.gathering.map(|_| 0);
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
    pub(crate) fn describe(&self, salt: Salt) {
        // One at a time, and each the latest: two writers of one file would write neither.
        let _turn = self.describing.lock();
        let config = self.read(|state| state.core.config.clone());
        // The log has it, and is what counts at the next start.
        if let Err(error) = describe(&self.disk, &config, salt) {
            warn!(stream = %self.name, %error, "the description beside the log is an old one");
        }
    }

    /// A wakeup is a syscall: only when the thread sleeps, or has gathered all that it waits for.
    fn wake(&self, inner: &mut Inner) {
        let is_gathered = inner.gathering.is_some_and(|waiters| inner.waiters.len() >= waiters);
        if inner.is_asleep || is_gathered {
            inner.is_asleep = false;
            inner.gathering = None;
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
            inner.gathering = None;
            self.work.notify_one();
        }
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            error!(stream = %self.name, "the writing thread of a stream panicked");
        }
    }
}

impl Inner {
    /// Number of the last record that is as safe as the stream promises.
    fn safe_lsn(&self) -> u64 {
        match self.state.core.config.durability {
            Durability::Synced if cfg!(myelin_mutant = "ack_from_memory") => u64::MAX,
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

    /// Takes out who waits for nothing any more.
    fn served(&mut self) -> Vec<Waiter> {
        let safe_lsn = self.safe_lsn();
        let count = self.waiters.partition_point(|waiter| waiter.lsn <= safe_lsn);
        self.waiters.drain(..count).collect()
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
