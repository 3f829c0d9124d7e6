//! One sidecar that tells of its agents, and the lease with it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Questions whose answers are waited for; of older ones they are worth nothing.
const WAITING_MAX: usize = 4;

/// Between two questions that new documents ask for: a fleet whose documents come one by one is not asked for each.
const UNCOVERED_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Source {
    /// The number of the last that was told.
    told: u32,
    lease: Option<Lease>,
    /// Questions without an answer: their numbers, and when they were sent.
    waiting: VecDeque<(u32, Instant)>,
    number: u32,
    renewed_at: Option<Instant>,
    renew_at: Instant,
    heard: Instant,
    /// Requests that it told of.
    pub(super) keys: usize,
}

/// What it said of all it told.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// The number of the last that had been told.
    told: u32,
    /// When the question was sent.
    asked: Instant,
    /// How old the oldest look at an agent was when the question arrived.
    oldest: Duration,
}

impl Source {
    /// One that has told everything up to `told`.
    pub(super) fn new(told: u32, now: Instant) -> Self {
        Self { told, lease: None, waiting: VecDeque::new(), number: 0, renewed_at: None, renew_at: now, heard: now, keys: 0 }
    }

    /// Whether what was told first with this number is known to be no older than the bound.
    pub(super) fn covers(&self, since: u32, now: Instant, bound: Duration) -> bool {
        self.lease.is_some_and(|lease| !is_behind(lease.told, since) && now.duration_since(lease.asked) + lease.oldest <= bound)
    }

    /// It tells something with this number. Returns whether it is the one after the last.
    pub(super) fn follows(&mut self, number: u32, now: Instant) -> bool {
        let is_next = number == self.told.wrapping_add(1);
        (self.told, self.heard) = (number, now);
        is_next
    }

    /// What was told with this number is not covered by a lease yet, unless it only changed.
    pub(super) fn uncovered(&mut self, since: u32, now: Instant) {
        if self.lease.is_none_or(|lease| is_behind(lease.told, since)) {
            let soon = self.renewed_at.map_or(now, |at| at + UNCOVERED_PAUSE);
            self.renew_at = self.renew_at.min(soon.max(now));
        }
    }

    /// The answer to a question. Returns whether everything was told up to where it says.
    pub(super) fn leased(&mut self, number: u32, told: u32, oldest: Duration, now: Instant) -> bool {
        self.heard = now;
        let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == number) else { return true };
        let asked = self.waiting[place].1;
        // Those before it will not be answered, or say nothing newer.
        self.waiting.drain(..=place);
        self.lease = Some(Lease { told, asked, oldest });
        told == self.told
    }

    /// Nothing of it counts.
    pub(super) fn lost(&mut self) {
        (self.lease, self.keys) = (None, 0);
        self.waiting.clear();
    }

    /// The number of a question, if one is due.
    pub(super) fn renew(&mut self, now: Instant, renew: Duration) -> Option<u32> {
        if self.keys == 0 || self.renew_at > now {
            return None;
        }
        self.number = self.number.wrapping_add(1);
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.number, now));
        (self.renewed_at, self.renew_at) = (Some(now), now + renew);
        Some(self.number)
    }

    /// When a question is due, if any.
    pub(super) fn renew_at(&self) -> Option<Instant> {
        (self.keys > 0).then_some(self.renew_at)
    }

    pub(super) fn is_silent_for(&self, span: Duration, now: Instant) -> bool {
        now.duration_since(self.heard) > span
    }
}

/// Whether a number is before another; they wrap.
fn is_behind(number: u32, other: u32) -> bool {
    number.wrapping_sub(other) > u32::MAX / 2
}
