//! Which messages a worker gets.

use super::pending::Pending;
use super::{Attempt, ConsumerState, millis};
use crate::stream::Index;

/// A message that a worker has for a while.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) sequence: u64,
    /// 1 for the first.
    pub(crate) deliveries: u32,
    pub(crate) attempts: Vec<Attempt>,
}

/// How much a worker takes at once. The first message is given whatever its size, so the bytes are exceeded by at most one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) messages: usize,
    pub(crate) bytes: u64,
}

impl Most {
    /// This many, of whatever size.
    pub(crate) const fn messages(messages: usize) -> Self {
        Self { messages, bytes: u64::MAX }
    }
}

impl ConsumerState {
    /// Up to `most` messages for a worker: first what comes again, then what is new up to `visible`.
    pub(crate) fn lease(&mut self, index: &Index, visible: u64, most: Most, now_ms: u64) -> Vec<Lease> {
        let max = most.messages;
        let mut bytes_left = most.bytes.max(1);
        let mut sequences = Vec::new();
        self.take_due(true, index, max, now_ms, &mut sequences, &mut bytes_left);
        let limit = self.config.in_flight_max + usize::from(cfg!(myelin_mutant = "beyond_in_flight_max"));
        let places = limit.saturating_sub(self.in_flight).min(max - sequences.len());
        let fresh_from = sequences.len();
        self.take_due(false, index, fresh_from + places, now_ms, &mut sequences, &mut bytes_left);
        let mut fresh = fresh_from + places - sequences.len();
        let mut cursor = self.cursor;
        for (sequence, entry) in index.range(self.cursor + 1..=visible) {
            if fresh == 0 || bytes_left == 0 {
                break;
            }
            cursor = sequence;
            if !self.config.wants(&entry.subject) {
                continue;
            }
            self.unread = self.unread.saturating_sub(1);
            if entry.due_ms > now_ms {
                self.wait(sequence, Pending::new(), entry.due_ms);
            } else {
                sequences.push(sequence);
                fresh -= 1;
                bytes_left = bytes_left.saturating_sub(entry.place.bytes as u64);
            }
        }
        // Everything up to what is visible was looked at, unless the count or the bytes ended it.
        self.cursor = if fresh == 0 || bytes_left == 0 { cursor } else { visible.max(cursor) };
        self.deliver(&sequences, now_ms);
        sequences.iter().filter_map(|sequence| self.lease_of(*sequence)).collect()
    }

    /// Takes what has waited long enough, until there are `count` in all or no bytes left.
    fn take_due(&mut self, is_again: bool, index: &Index, count: usize, now_ms: u64, sequences: &mut Vec<u64>, bytes_left: &mut u64) {
        while sequences.len() < count && *bytes_left > 0 {
            let waiting = if is_again { &mut self.again } else { &mut self.delayed };
            let Some((not_before_ms, sequence)) = waiting.first().copied().filter(|(at_ms, _)| *at_ms <= now_ms) else { return };
            if let Some(entry) = index.get(sequence) {
                waiting.remove(&(not_before_ms, sequence));
                sequences.push(sequence);
                *bytes_left = bytes_left.saturating_sub(entry.place.bytes as u64);
            } else {
                self.take(sequence);
            }
        }
    }

    fn lease_of(&self, sequence: u64) -> Option<Lease> {
        let pending = self.pending.get(&sequence)?;
        Some(Lease { sequence, deliveries: pending.deliveries, attempts: pending.attempts.iter().cloned().collect() })
    }

    /// These are with a worker from now on.
    pub(crate) fn deliver(&mut self, sequences: &[u64], now_ms: u64) {
        for sequence in sequences {
            let mut pending = self.take(*sequence).unwrap_or_else(Pending::new);
            pending.deliveries += 1;
            self.delivered += 1;
            self.redelivered += u64::from(pending.deliveries > 1);
            // A backoff longer than `ack_wait` holds for silence as well, a shorter one never shortens it.
            let wait = self.config.ack_wait.max(self.config.backoff_after(pending.deliveries));
            self.hold(*sequence, pending, now_ms.saturating_add(millis(wait)));
            self.cursor = self.cursor.max(*sequence);
        }
    }

    /// As `deliver`, when the log is read again.
    pub(crate) fn deliver_again(&mut self, index: &Index, sequences: &[u64], at_ms: u64) {
        let last = sequences.iter().copied().max().unwrap_or(0);
        self.catch_up(index, last);
        // Others are gone, or belonged to a filter whose record is lost.
        let held: Vec<_> = sequences.iter().copied().filter(|sequence| self.is_pending(*sequence)).collect();
        self.deliver(&held, at_ms);
    }

    /// When the log is read again, a record tells that this message was looked at. Whatever before it was not has to wait: it was not due
    /// then, or the record of its delivery is lost, and nobody is to take it for done with.
    pub(crate) fn catch_up(&mut self, index: &Index, sequence: u64) {
        for (passed, entry) in index.range(self.cursor.saturating_add(1)..=sequence) {
            if self.config.wants(&entry.subject) {
                self.wait(passed, Pending::new(), entry.due_ms);
            }
        }
        self.cursor = self.cursor.max(sequence);
    }
}
