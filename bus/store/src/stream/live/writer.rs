//! The thread of a stream: takes what gathered, writes and syncs it without the lock, and looks after segments and the mark.
//!
//! Whoever publishes one message after the other comes back as soon as it is told that the last one is safe. If the next batch were begun at that
//! moment, it would have those who came meanwhile, and the one after it the others: two halves that take turns, each waiting for two syncs. Where
//! a sync is long, the thread therefore waits a small part of its time for those that it has just told. Where a sync is short, half a batch is made
//! while the other is synced, and nothing is waited for.

use std::io;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tracing::{error, warn};

use super::{Inner, Live, Phase, Waiter};
use crate::config::Durability;
use crate::log::{BATCH_BYTES_MAX, Batch, Segment, Want};
use crate::stream::directory;

/// How long records that nobody waits for may stay in memory.
const LAZY: Duration = Duration::from_millis(10);

/// How often the mark is synced, segments are looked through and a full disk is tried again.
const ROUND: Duration = Duration::from_millis(100);

/// The longest wait for those who were just told, as a part of the sync before.
const GATHER_PART: u32 = 8;

/// A wait for less than this is not worth its two switches.
const GATHER_MIN: Duration = Duration::from_micros(100);

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
    /// Whoever waits is told even if this thread goes down by a mistake of ours.
    pub(super) fn write_until_the_end(&self) {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.write())).is_err() {
            self.inner.lock().end(Phase::Broken("the writing thread panicked".into()));
            self.changed.notify_waiters();
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
            let is_synced = work.is_synced;
            let began = Instant::now();
            let done = MutexGuard::unlocked(&mut inner, || self.work_on(&work));
            let took = began.elapsed();
            let done = done.and_then(|made| inner.finish(work, made));
            let failure = done.err();
            if let Some(error) = &failure {
                error!(stream = %self.name, %error, "a stream cannot be written and is closed");
                inner.end(Phase::Broken(error.to_string().into()));
            }
            let served = inner.served();
            let count = served.len();
            // Without the lock: each of them may want it at once.
            MutexGuard::unlocked(&mut inner, || {
                served.into_iter().for_each(Waiter::tell);
                self.changed.notify_waiters();
            });
            if failure.is_some() {
                return;
            }
            if is_synced {
                self.gather(&mut inner, count, took / GATHER_PART);
            }
        }
        if let Err(error) = inner.state.sync_mark() {
            warn!(stream = %self.name, %error, "the mark was not synced");
        }
        inner.end(Phase::Closed);
        self.changed.notify_waiters();
    }

    /// Waits at most this long for as many as were told to come again.
    fn gather(&self, inner: &mut MutexGuard<'_, Inner>, told: usize, patience: Duration) {
        if told == 0 || patience < GATHER_MIN || inner.phase != Phase::Open {
            return;
        }
        inner.gathering = Some(inner.waiters.len() + told);
        let _timed_out = self.work.wait_for(inner, patience);
        inner.gathering = None;
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
        work.want.map_or(Ok(None), |want| self.reserve.make(&directory, want))
    }
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
            (Some(segment), _) => self.state.give(segment),
            (None, Some(want)) => self.state.tail.refuse(want),
            (None, None) => {}
        }
        Ok(())
    }
}
