//! The thread of a stream: takes what gathered, writes and syncs it without the lock, and looks after segments and the mark.
//!
//! Whoever publishes one message after the other comes back as soon as it is told that the last one is safe. If the next batch were begun at that
//! moment, it would have those who came meanwhile, and the one after it the others: two halves that take turns, each waiting for two syncs. Where
//! a sync is long, the thread therefore waits a small part of its time for those that it has just told. Where a sync is short, half a batch is made
//! while the other is synced, and nothing is waited for.
//!
//! Nothing is asked of the disk under the lock: those who wait for it are threads that also have other work. Whatever nobody waits for comes after
//! everybody was told.

use std::io;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;
use tracing::{error, warn};

use super::{Inner, Live, Phase, Waiter};
use crate::config::Durability;
use crate::log::{BATCH_BYTES_MAX, Segment, Want};
use crate::stream::{Commit, directory};

/// How long records that nobody waits for may stay in memory.
const LAZY: Duration = Duration::from_millis(10);

/// How often the mark is synced, segments are looked through and a full disk is tried again.
const ROUND: Duration = Duration::from_millis(100);

/// A mark is not synced again before so many times as long as it took have passed: on a slow disk others need it more.
const MARK_PART: u32 = 8;

/// The longest wait for those who were just told, as a part of the sync before.
const GATHER_PART: u32 = 8;

/// A wait for less than this is not worth its two switches.
const GATHER_MIN: Duration = Duration::from_micros(100);

/// What the thread does next, outside of the lock.
#[derive(Debug)]
struct Work {
    commit: Option<Commit>,
    is_synced: bool,
    upkeep: Upkeep,
}

/// What nobody waits for.
#[derive(Debug)]
struct Upkeep {
    want: Option<Want>,
    gone: Vec<Segment>,
    is_mark_due: bool,
}

/// When it is time to look after things again, in milliseconds since 1970.
#[derive(Debug, Default, Clone, Copy)]
struct Due {
    round_ms: u64,
    mark_ms: u64,
}

impl Upkeep {
    fn is_any(&self) -> bool {
        self.want.is_some() || !self.gone.is_empty() || self.is_mark_due
    }
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
        let mut due = Due::default();
        let mut inner = self.inner.lock();
        loop {
            let now_ms = self.clock.now_ms();
            inner.state.tick(now_ms);
            let Some(work) = inner.next_work(due, now_ms) else {
                if inner.phase != Phase::Open {
                    break;
                }
                self.sleep(&mut inner, now_ms);
                continue;
            };
            if now_ms >= due.round_ms {
                due.round_ms = now_ms + ROUND.as_millis() as u64;
            }
            match self.work(&mut inner, work) {
                Ok(None) => {}
                Ok(Some(mark_took)) => due.mark_ms = self.clock.now_ms() + (mark_took * MARK_PART).as_millis() as u64,
                Err(error) => {
                    error!(stream = %self.name, %error, "a stream cannot be written and is closed");
                    inner.end(Phase::Broken(error.to_string().into()));
                    drop(inner);
                    self.changed.notify_waiters();
                    return;
                }
            }
        }
        let mark = inner.state.take_mark();
        if let Err(error) = MutexGuard::unlocked(&mut inner, || mark.sync()) {
            warn!(stream = %self.name, %error, "the mark was not synced");
        }
        inner.end(Phase::Closed);
        self.changed.notify_waiters();
    }

    /// Writes, tells, and looks after the rest. Returns how long the mark took to be synced, if it was.
    fn work(&self, inner: &mut MutexGuard<'_, Inner>, work: Work) -> io::Result<Option<Duration>> {
        let Work { commit, is_synced, upkeep } = work;
        let began = Instant::now();
        let mut gathering = None;
        if let Some(commit) = commit {
            MutexGuard::unlocked(inner, || commit.write(is_synced))?;
            inner.state.end_commit(commit, is_synced);
            // Those who are told now come again while the rest is looked after, and for a moment more.
            let until = Instant::now() + began.elapsed() / GATHER_PART;
            let served = inner.served();
            gathering = (is_synced && !served.is_empty()).then(|| (inner.waiters.len() + served.len(), until));
            // Without the lock: each of them may want it at once.
            MutexGuard::unlocked(inner, || {
                served.into_iter().for_each(Waiter::tell);
                self.changed.notify_waiters();
            });
        }
        let mark_took = if upkeep.is_any() { self.look_after(inner, upkeep)? } else { None };
        if let Some((waiters, until)) = gathering {
            self.gather(inner, waiters, until.saturating_duration_since(Instant::now()));
        }
        Ok(mark_took)
    }

    /// Does what nobody waits for. Returns how long the mark took to be synced, if it was.
    fn look_after(&self, inner: &mut MutexGuard<'_, Inner>, upkeep: Upkeep) -> io::Result<Option<Duration>> {
        let mark = upkeep.is_mark_due.then(|| inner.state.take_mark());
        let (made, mark_took) = MutexGuard::unlocked(inner, || {
            let made = self.keep_up(&upkeep)?;
            let began = Instant::now();
            let synced = mark.map(|mark| mark.sync().map(|()| began.elapsed())).transpose();
            Ok::<_, io::Error>((made, synced?))
        })?;
        match (made, upkeep.want) {
            (Some(segment), _) => inner.state.give(segment),
            (None, Some(want)) => inner.state.tail.refuse(want),
            (None, None) => {}
        }
        MutexGuard::unlocked(inner, || self.changed.notify_waiters());
        Ok(mark_took)
    }

    /// Waits at most this long for so many waiters.
    fn gather(&self, inner: &mut MutexGuard<'_, Inner>, waiters: usize, patience: Duration) {
        if inner.waiters.len() >= waiters || patience < GATHER_MIN || inner.phase != Phase::Open {
            return;
        }
        inner.gathering = Some(waiters);
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

    fn keep_up(&self, upkeep: &Upkeep) -> io::Result<Option<Segment>> {
        let directory = directory(&self.name);
        for segment in &upkeep.gone {
            self.disk.remove(&format!("{directory}/{}", segment.id))?;
        }
        upkeep.want.map_or(Ok(None), |want| self.reserve.make(&directory, want))
    }
}

impl Inner {
    fn next_work(&mut self, due: Due, now_ms: u64) -> Option<Work> {
        let is_round = now_ms >= due.round_ms;
        let tail = &self.state.tail;
        let is_synced = tail.is_batch_awaited() && self.state.core.config.durability == Durability::Synced;
        let is_due = tail.is_batch_awaited() || (self.is_flushing && tail.has_batch()) || tail.batch_bytes() > BATCH_BYTES_MAX / 2;
        // A full disk is asked again now and then, not all the time.
        let want = self.state.wanted().filter(|_| self.phase == Phase::Open && (is_round || !tail.is_full()));
        let gone = if is_round { self.state.collect(now_ms) } else { Vec::new() };
        let is_mark_due = is_round && now_ms >= due.mark_ms && self.state.is_mark_unsynced();
        let upkeep = Upkeep { want, gone, is_mark_due };
        (is_due || upkeep.is_any()).then(|| {
            self.is_flushing = false;
            Work { commit: is_due.then(|| self.state.begin_commit()), is_synced, upkeep }
        })
    }
}
