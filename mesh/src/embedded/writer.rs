//! The one thread that changes the file. It does in one commit what gathered since the last one, and sweeps what expired.
//!
//! Per write, at a load of one at a time: one wakeup of this thread, one sync, one wakeup of who waits. With many at a time, one sync for all that
//! came during the last one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, warn};

use super::core::{Core, Done, TurnError, TurnOptions, Turned, Work};
use super::file::StoreFile;
use super::state::{FileState, State};
use crate::store::StoreError;
use crate::{Durability, Namespace, limits};

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Work(Job),
    /// Do what came before, and let go of the file.
    Close(oneshot::Sender<()>),
}

/// A piece of work, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) space: Namespace,
    pub(super) work: Work,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<Done, StoreError>>,
    /// Room in the queue, given back when the work is done.
    pub(super) room: [OwnedSemaphorePermit; 2],
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) state: Arc<State>,
    pub(super) file: StoreFile,
    pub(super) core: Core,
    pub(super) bytes_max: u64,
    pub(super) durability: Durability,
    /// Since when something is only in memory.
    unsynced: Option<Instant>,
    /// When something expires next, and when it was looked for last; `None`: so long ago that it may be looked for at once.
    due_ms: Option<u64>,
    swept: Option<Instant>,
    /// Since when the file is away.
    away: Option<Instant>,
}

type Waiting = (oneshot::Sender<Result<Done, StoreError>>, [OwnedSemaphorePermit; 2]);

impl Writer {
    pub(super) fn new(state: Arc<State>, file: StoreFile, core: Core, bytes_max: u64, durability: Durability) -> Self {
        // What expired while nobody looked is due at once.
        Self { state, file, core, bytes_max, durability, unsynced: None, due_ms: Some(0), swept: None, away: None }
    }

    /// Works until it is told to stop, or nobody is there any more who could tell.
    pub(super) fn run(mut self, orders: Receiver<Order>) {
        let mut closing = None;
        while closing.is_none() {
            let first = match self.patience() {
                Some(patience) => orders.recv_timeout(patience),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut jobs = Vec::new();
            let mut bytes = 0;
            let mut next = match first {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while let Some(order) = next.take() {
                match order {
                    Order::Close(done) => closing = Some(done),
                    Order::Work(job) => {
                        bytes += job.bytes;
                        jobs.push(job);
                    }
                }
                if closing.is_none() && jobs.len() < limits::EMBEDDED_QUEUE_WRITES && bytes < limits::EMBEDDED_TURN_BYTES {
                    next = orders.try_recv().ok();
                }
            }
            self.turn(jobs);
        }
        self.close();
        // Whatever is still in the queue was not begun; who waits for it sees that the store is closed.
        drop(orders);
        if let Some(done) = closing {
            // Who asked may have stopped waiting.
            done.send(()).ok();
        }
    }

    /// For how long there is nothing to do without orders; `None`: for ever.
    fn patience(&self) -> Option<Duration> {
        if self.away.is_some() {
            return Some(limits::REOPEN_INTERVAL);
        }
        let sync = self.unsynced.map(|since| limits::RELAXED_SYNC_WITHIN.saturating_sub(since.elapsed()));
        let sweep = self.due_ms.map(|due_ms| {
            let until_due = Duration::from_millis(due_ms.saturating_sub(self.state.now_ms()));
            until_due.max(self.until_sweep())
        });
        [sync, sweep].into_iter().flatten().min()
    }

    fn until_sweep(&self) -> Duration {
        self.swept.map_or(Duration::ZERO, |swept| limits::SWEEP_INTERVAL.saturating_sub(swept.elapsed()))
    }

    fn turn(&mut self, jobs: Vec<Job>) {
        if self.away.is_some() {
            self.reopen();
        }
        let now_ms = self.state.now_ms();
        let sweep = self.due_ms.is_some_and(|due_ms| due_ms <= now_ms) && self.until_sweep().is_zero();
        let sync = self.unsynced.is_some_and(|since| since.elapsed() >= limits::RELAXED_SYNC_WITHIN);
        if jobs.is_empty() && !sweep && !sync {
            return;
        }
        let durability = match self.durability {
            Durability::Relaxed if !sync => redb::Durability::None,
            Durability::Relaxed | Durability::Synced => redb::Durability::Immediate,
        };
        let (work, waiting): (Vec<_>, Vec<Waiting>) = jobs.into_iter().map(|job| ((job.space, job.work), (job.reply, job.room))).unzip();
        let options = TurnOptions { now_ms, durability, sweep };
        let outcomes = match self.commit(&work, options) {
            Ok(turned) => {
                self.unsynced = match durability {
                    redb::Durability::Immediate => None,
                    _ => self.unsynced.or_else(|| Some(Instant::now())),
                };
                self.due_ms = turned.due_ms;
                self.state.advance(self.core.clock_ms());
                self.state.ring.push(turned.changes);
                turned.outcomes
            }
            Err(error) => work.iter().map(|_| Err(error.clone())).collect(),
        };
        if sweep {
            // What was too much for one turn goes in the next ones, each with whatever else waits.
            let is_done = self.away.is_some() || self.due_ms.is_none_or(|due_ms| due_ms > now_ms);
            self.swept = is_done.then(Instant::now);
        }
        for ((reply, room), outcome) in waiting.into_iter().zip(outcomes) {
            drop(room);
            // Who asked may have stopped waiting; what was done stays done.
            reply.send(outcome).ok();
        }
    }

    /// One commit, and what has to be done when it fails.
    fn commit(&mut self, work: &[(Namespace, Work)], options: TurnOptions) -> Result<Turned, StoreError> {
        let Self { state, core, .. } = self;
        let mut failed = None;
        let turned = state.with(|database| match catch_unwind(AssertUnwindSafe(|| core.turn(database, work, options))) {
            Ok(Ok(turned)) => Ok(turned),
            Ok(Err(error)) => {
                let told = write_error(&error);
                failed = Some(Some(error));
                Err(told)
            }
            Err(_) => {
                failed = Some(None);
                Err(StoreError::Unknown("the library gave up on the file".into()))
            }
        });
        match failed {
            Some(error) => Err(self.recover(error)),
            None => turned,
        }
    }

    /// After a failure the file is let go of and opened again: the library uses it no more, and only the file tells what of the turn is in it.
    /// Returns what the callers of the turn are told.
    fn recover(&mut self, failed: Option<TurnError>) -> StoreError {
        let told = match &failed {
            Some(error) => write_error(error),
            None => StoreError::Unknown("the library gave up on the file".into()),
        };
        let is_certain = matches!(failed, Some(TurnError::Before(_)));
        error!(error = ?failed, "the memory's file failed and is opened again");
        let turn = self.core.turn_number();
        let reason: Box<str> = "the file failed and is opened again".into();
        let database = self.state.set(FileState::Away(reason));
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
        self.away = Some(Instant::now());
        self.unsynced = None;
        if self.reopen() && self.core.turn_number() <= turn {
            // The turn is not in the file, and will not be. Turns before it may be missing if they were acknowledged before they were synced.
            if self.core.turn_number() < turn {
                warn!(turns = turn - self.core.turn_number(), "relaxed writes were lost");
            }
            return certainly_not(told);
        }
        if is_certain { told } else { unknown(told) }
    }

    /// Tries to open the file again; true: it is open.
    fn reopen(&mut self) -> bool {
        let state = match self.file.open(self.bytes_max) {
            Ok((database, mut core)) => {
                core.not_before(self.state.now_ms() + 1);
                self.state.advance(core.clock_ms());
                self.core = core;
                self.away = None;
                self.due_ms = Some(0);
                // Nobody was told what the failed turn changed, if it did, nor what was lost with it.
                self.state.ring.restart();
                FileState::Open(database)
            }
            Err(error) if error.is_retryable() => FileState::Away(error.to_string().into()),
            Err(error) => {
                // For good: there is nothing to try, to sweep or to sync any more.
                (self.away, self.due_ms) = (None, None);
                FileState::Damaged(error.to_string().into())
            }
        };
        let is_open = matches!(state, FileState::Open(_));
        self.state.set(state);
        is_open
    }

    fn close(&mut self) {
        if self.unsynced.is_some() {
            let options = TurnOptions { now_ms: self.state.now_ms(), durability: redb::Durability::Immediate, sweep: false };
            if let Err(error) = self.commit(&[], options) {
                error!(?error, "the last relaxed writes were not synced");
            }
        }
        self.state.ring.close();
        let database = self.state.set(FileState::Closed);
        if let Some(Err(error)) = database.map(redb::Database::close) {
            warn!(%error, "the memory's file was not closed in order, which costs time when it is opened next");
        }
    }
}

fn write_error(error: &TurnError) -> StoreError {
    let (TurnError::Before(error) | TurnError::Commit(error)) = error;
    match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string().into()),
        Error::Corrupted(reason) => StoreError::Damaged(reason.as_str().into()),
        error => StoreError::Unavailable(error.to_string().into()),
    }
}

fn certainly_not(error: StoreError) -> StoreError {
    match error {
        StoreError::Unknown(reason) => StoreError::Unavailable(reason),
        error => error,
    }
}

fn unknown(error: StoreError) -> StoreError {
    match error {
        StoreError::Full(reason) | StoreError::Unavailable(reason) | StoreError::Damaged(reason) | StoreError::Unknown(reason) => {
            StoreError::Unknown(reason)
        }
        StoreError::TooMuch => StoreError::TooMuch,
        StoreError::Closed => StoreError::Closed,
    }
}
