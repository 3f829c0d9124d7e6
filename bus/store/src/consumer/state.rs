//! The state of one consumer. No clock, no disk: what happens is told, what follows is returned.
//!
//! Invariants:
//! - a message at or below the cursor that the consumer wants is either pending or settled;
//! - pending messages that were delivered and not settled never exceed `in_flight_max`, except after that was lowered;
//! - messages are delivered in the order of their sequences, but for those that come again and those that were not due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use myelin_wire::Subject;
use myelin_wire::limits::DLQ_ATTEMPTS_MAX;

use super::Attempt;
use super::pending::{Pending, Phase};
use crate::config::ConsumerConfig;
use crate::stream::Index;

/// A consumer's position and what it has in hand.
#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(crate) config: ConsumerConfig,
    /// Highest sequence that was looked at.
    pub(super) cursor: u64,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// Ends of `ack_wait`, with the sequence.
    deadlines: BTreeSet<(u64, u64)>,
    /// What waits to be delivered again, with the time before which it is not.
    pub(super) again: BTreeSet<(u64, u64)>,
    /// What waits for its first delivery, likewise. Apart from the others, since these have a place in flight and those need one.
    pub(super) delayed: BTreeSet<(u64, u64)>,
    /// Wanted messages beyond the cursor.
    pub(super) unread: u64,
    /// Pending messages that were delivered.
    pub(super) in_flight: usize,
    /// Deliveries and redeliveries since the consumer was made, acks among them.
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) acked: u64,
}

/// What an ack, nak or term did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Done,
    /// The message is not this worker's: it was settled before, or another has it.
    Stale,
}

impl ConsumerState {
    /// Begins behind `cursor`.
    pub(crate) fn new(config: ConsumerConfig, cursor: u64) -> Self {
        Self {
            config,
            cursor,
            pending: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            again: BTreeSet::new(),
            delayed: BTreeSet::new(),
            unread: 0,
            in_flight: 0,
            delivered: 0,
            redelivered: 0,
            acked: 0,
        }
    }

    /// The worker needs `ack_wait` once more.
    pub(crate) fn extend(&mut self, sequence: u64, delivery: u32, now_ms: u64) -> Settled {
        if !self.is_leased(sequence, delivery) {
            return Settled::Stale;
        }
        let Some(pending) = self.take(sequence) else { return Settled::Stale };
        self.hold(sequence, pending, now_ms.saturating_add(millis(self.config.ack_wait)));
        Settled::Done
    }

    /// The message is done with, by whichever delivery of it.
    pub(crate) fn settle(&mut self, sequence: u64) -> Settled {
        match self.take(sequence) {
            Some(_) => {
                self.acked += 1;
                Settled::Done
            }
            None => Settled::Stale,
        }
    }

    /// Whether this delivery of the message is with a worker.
    pub(crate) fn is_leased(&self, sequence: u64, delivery: u32) -> bool {
        self.pending.get(&sequence).is_some_and(|pending| pending.deliveries == delivery && matches!(pending.phase, Phase::InFlight { .. }))
    }

    pub(crate) fn is_pending(&self, sequence: u64) -> bool {
        self.pending.contains_key(&sequence)
    }

    /// Whether the consumer needs this message, which it wants by its subject, no more.
    pub(crate) fn is_done_with(&self, sequence: u64) -> bool {
        sequence <= self.cursor && !self.pending.contains_key(&sequence)
    }

    /// A delivery ended without an ack; it comes again, not before a time.
    pub(crate) fn fail(&mut self, sequence: u64, attempt: Attempt, not_before_ms: u64) {
        let mut pending = self.take(sequence).unwrap_or_else(Pending::new);
        // A record of an attempt may be found without that of the delivery, if that was torn or damaged.
        pending.deliveries = pending.deliveries.max(1);
        if pending.attempts.len() == DLQ_ATTEMPTS_MAX {
            pending.attempts.pop_front();
        }
        pending.attempts.push_back(attempt);
        self.cursor = self.cursor.max(sequence);
        self.wait(sequence, pending, not_before_ms);
    }

    /// Messages whose worker was silent for too long, with the delivery that is over.
    pub(crate) fn overdue(&self, now_ms: u64) -> Vec<(u64, u32)> {
        let silent = self.deadlines.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms);
        silent.filter_map(|(_, sequence)| Some((*sequence, self.pending.get(sequence)?.deliveries))).collect()
    }

    /// Messages that are with a worker.
    pub(crate) fn in_hand(&self) -> Vec<(u64, u32)> {
        let in_flight = |pending: &Pending| matches!(pending.phase, Phase::InFlight { .. });
        self.pending.iter().filter(|(_, pending)| in_flight(pending)).map(|(sequence, pending)| (*sequence, pending.deliveries)).collect()
    }

    pub(crate) fn is_in_hand(&self, sequence: u64) -> bool {
        self.pending.get(&sequence).is_some_and(|pending| matches!(pending.phase, Phase::InFlight { .. }))
    }

    /// How deliveries of a message ended.
    pub(crate) fn attempts(&self, sequence: u64) -> Vec<Attempt> {
        self.pending.get(&sequence).map(|pending| pending.attempts.iter().cloned().collect()).unwrap_or_default()
    }

    /// When the first worker has been silent for too long.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.first().map(|(at_ms, _)| *at_ms)
    }

    /// When something here changes by itself: a deadline, or something may be delivered again.
    pub(crate) fn next_event_ms(&self) -> Option<u64> {
        [&self.deadlines, &self.again, &self.delayed].iter().filter_map(|times| times.first()).map(|(at_ms, _)| *at_ms).min()
    }

    /// A message is there that was not.
    pub(crate) fn arrived(&mut self, subject: &Subject) {
        self.unread += u64::from(self.config.wants(subject));
    }

    /// The message is gone from the stream.
    pub(crate) fn forget(&mut self, sequence: u64, subject: &Subject) {
        if sequence > self.cursor {
            self.unread = self.unread.saturating_sub(u64::from(self.config.wants(subject)));
        }
        self.take(sequence);
    }

    /// Another configuration. What was passed because the old filter did not match it, and is wanted now, waits for its delivery; what is no
    /// longer wanted is let go of.
    pub(crate) fn configure(&mut self, config: ConsumerConfig, index: &Index) {
        let before = std::mem::replace(&mut self.config, config);
        if before.filter == self.config.filter {
            return;
        }
        for (sequence, entry) in index.range(0..=self.cursor) {
            match (before.wants(&entry.subject), self.config.wants(&entry.subject)) {
                (false, true) if !self.is_pending(sequence) => self.wait(sequence, Pending::new(), entry.due_ms),
                (true, false) => {
                    self.take(sequence);
                }
                (true, true) | (false, _) => {}
            }
        }
        self.count_unread(index);
    }

    /// Counts anew what is kept count of otherwise.
    pub(crate) fn count_unread(&mut self, index: &Index) {
        let wanted = index.range(self.cursor.saturating_add(1)..=u64::MAX).filter(|(_, entry)| self.config.wants(&entry.subject));
        self.unread = wanted.count() as u64;
    }

    /// Messages that it wants and has not looked at.
    pub(crate) fn unread(&self) -> u64 {
        self.unread
    }

    /// Messages that were delivered and are not settled.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Lowest sequence that is not settled, among those that were looked at.
    pub(crate) fn oldest_pending(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(sequence, _)| *sequence)
    }

    pub(super) fn take(&mut self, sequence: u64) -> Option<Pending> {
        let pending = self.pending.remove(&sequence)?;
        match pending.phase {
            Phase::InFlight { deadline_ms } => self.deadlines.remove(&(deadline_ms, sequence)),
            Phase::Waiting { not_before_ms } => self.waiting(&pending).remove(&(not_before_ms, sequence)),
        };
        self.in_flight -= usize::from(pending.deliveries > 0);
        Some(pending)
    }

    fn waiting(&mut self, pending: &Pending) -> &mut BTreeSet<(u64, u64)> {
        if pending.deliveries > 0 { &mut self.again } else { &mut self.delayed }
    }

    pub(super) fn hold(&mut self, sequence: u64, mut pending: Pending, deadline_ms: u64) {
        pending.phase = Phase::InFlight { deadline_ms };
        self.deadlines.insert((deadline_ms, sequence));
        self.insert(sequence, pending);
    }

    pub(super) fn wait(&mut self, sequence: u64, mut pending: Pending, not_before_ms: u64) {
        pending.phase = Phase::Waiting { not_before_ms };
        self.waiting(&pending).insert((not_before_ms, sequence));
        self.insert(sequence, pending);
    }

    fn insert(&mut self, sequence: u64, pending: Pending) {
        self.in_flight += usize::from(pending.deliveries > 0);
        self.pending.insert(sequence, pending);
    }

    /// How often a message that is not settled was delivered, and before when it is not again if no worker has it.
    #[cfg(test)]
    pub(crate) fn held(&self, sequence: u64) -> Option<(u32, Option<u64>)> {
        let pending = self.pending.get(&sequence)?;
        Some(match pending.phase {
            Phase::InFlight { .. } => (pending.deliveries, None),
            Phase::Waiting { not_before_ms } => (pending.deliveries, Some(not_before_ms)),
        })
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
