//! The table of reply sinks that other processes know by a number.
//!
//! All live equally long, so the order of insertion is the order of expiry and the number is an index: a ring serves as map and as timer.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Caller, ReplySink};

#[derive(Debug)]
pub(super) struct Sinks {
    ring: VecDeque<Entry>,
    /// The number of the first entry in the ring.
    first: u64,
    max: usize,
    ttl: Duration,
}

#[derive(Debug)]
struct Entry {
    expires: Instant,
    sink: ReplySink,
    is_answered: bool,
}

impl Sinks {
    pub(super) fn new(max: usize, ttl: Duration) -> Self {
        Self { ring: VecDeque::new(), first: 0, max: max.max(1), ttl }
    }

    /// Remembers a sink and returns its number. When full, the oldest is forgotten.
    pub(super) fn add(&mut self, sink: ReplySink, now: Instant) -> u64 {
        self.expire(now);
        if self.ring.len() == self.max {
            self.forget_oldest();
        }
        self.ring.push_back(Entry { expires: now + self.ttl, sink, is_answered: false });
        self.first + self.ring.len() as u64 - 1
    }

    /// The sink of this number, to be given a reply.
    pub(super) fn get(&mut self, number: u64, now: Instant) -> Option<ReplySink> {
        self.expire(now);
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let entry = self.ring.get_mut(index)?;
        entry.is_answered = true;
        Some(entry.sink.clone())
    }

    /// The callers without a reply so far, once for each request.
    pub(super) fn unanswered(&mut self, now: Instant) -> impl Iterator<Item = &Caller> {
        self.expire(now);
        self.ring.iter().filter(|entry| !entry.is_answered).filter_map(|entry| entry.sink.caller())
    }

    fn expire(&mut self, now: Instant) {
        while self.ring.front().is_some_and(|entry| entry.expires <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.ring.pop_front();
        self.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_valid_until_they_expire_or_are_pushed_out() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut sinks = Sinks::new(2, Duration::from_secs(10));
        let sink = || ReplySink::new(|_| {});

        let first = sinks.add(sink(), start);
        let second = sinks.add(sink(), later(5));
        assert!(sinks.get(first, later(9)).is_some());
        assert!(sinks.get(first, later(10)).is_none(), "expired");
        assert!(sinks.get(second, later(10)).is_some());

        let third = sinks.add(sink(), later(11));
        let fourth = sinks.add(sink(), later(11));
        assert!(sinks.get(second, later(11)).is_none(), "pushed out");
        assert!(sinks.get(third, later(11)).is_some() && sinks.get(fourth, later(11)).is_some());
        assert!(sinks.get(fourth + 1, later(11)).is_none());
    }
}
