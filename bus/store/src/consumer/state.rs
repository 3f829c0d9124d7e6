//! The state of one consumer. No clock, no disk: what happens is told, what follows is returned.
//!
//! Invariants:
//! - a message at or below the cursor that the consumer wants is either pending or settled;
//! - pending messages that were delivered and not settled never exceed `in_flight_max`, except after that was lowered;
//! - messages are delivered in the order of their sequences, but for those that come again and those that were not due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use myelin_wire::limits::DLQ_ATTEMPTS_MAX;

use super::{Attempt, Outcome};
use crate::config::ConsumerConfig;
use crate::record::{Malformed, Reader, Writer};
use crate::stream::Index;

/// A consumer's position and what it has in hand.
#[derive(Debug)]
pub(crate) struct ConsumerState {
    pub(crate) config: ConsumerConfig,
    /// Highest sequence that was looked at.
    cursor: u64,
    pending: BTreeMap<u64, Pending>,
    /// Ends of `ack_wait`, with the sequence.
    deadlines: BTreeSet<(u64, u64)>,
    /// What waits to be delivered (again), with the time before which it is not.
    waiting: BTreeSet<(u64, u64)>,
    /// Pending messages that were delivered.
    in_flight: usize,
    /// Deliveries and redeliveries since the consumer was made, acks among them.
    pub(crate) delivered: u64,
    pub(crate) redelivered: u64,
    pub(crate) acked: u64,
}

#[derive(Debug, Clone)]
struct Pending {
    deliveries: u32,
    phase: Phase,
    attempts: VecDeque<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    InFlight { deadline_ms: u64 },
    Waiting { not_before_ms: u64 },
}

/// A message that a worker has for a while.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pub(crate) sequence: u64,
    /// 1 for the first.
    pub(crate) deliveries: u32,
    pub(crate) attempts: Vec<Attempt>,
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
            waiting: BTreeSet::new(),
            in_flight: 0,
            delivered: 0,
            redelivered: 0,
            acked: 0,
        }
    }

    /// Up to `max` messages for a worker: first what comes again, then what is new up to `visible`.
    pub(crate) fn lease(&mut self, index: &Index, visible: u64, max: usize, now_ms: u64) -> Vec<Lease> {
        let mut sequences = Vec::new();
        let mut places = self.config.in_flight_max.saturating_sub(self.in_flight);
        while sequences.len() < max
            && let Some((not_before_ms, sequence)) = self.waiting.first().copied()
            && not_before_ms <= now_ms
        {
            if index.get(sequence).is_none() {
                self.forget(sequence);
                continue;
            }
            // What waits for its first delivery takes a place in flight; what was delivered before has one.
            if self.pending.get(&sequence).is_some_and(|pending| pending.deliveries == 0) {
                if places == 0 {
                    break;
                }
                places -= 1;
            }
            self.waiting.pop_first();
            sequences.push(sequence);
        }
        let mut fresh = places.min(max - sequences.len());
        let mut cursor = self.cursor;
        for (sequence, entry) in index.range(self.cursor + 1..=visible) {
            if fresh == 0 {
                break;
            }
            cursor = sequence;
            if !self.config.wants(&entry.subject) {
                continue;
            }
            if entry.due_ms > now_ms {
                self.wait(sequence, Pending::new(), entry.due_ms);
            } else {
                sequences.push(sequence);
                fresh -= 1;
            }
        }
        // Everything up to what is visible was looked at, unless the count ended it.
        self.cursor = if fresh == 0 { cursor } else { visible.max(cursor) };
        self.deliver(&sequences, now_ms);
        sequences.iter().filter_map(|sequence| self.lease_of(*sequence)).collect()
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
        // A record of an attempt may be found without that of the delivery, if that was damaged.
        let mut pending = self.take(sequence).unwrap_or_else(|| Pending { deliveries: 1, ..Pending::new() });
        if pending.attempts.len() == DLQ_ATTEMPTS_MAX {
            pending.attempts.pop_front();
        }
        pending.attempts.push_back(attempt);
        self.cursor = self.cursor.max(sequence);
        self.wait(sequence, pending, not_before_ms);
    }

    /// Messages whose worker was silent for too long.
    pub(crate) fn overdue(&self, now_ms: u64) -> Vec<u64> {
        self.deadlines.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms).map(|(_, sequence)| *sequence).collect()
    }

    /// Messages that are with a worker.
    pub(crate) fn in_hand(&self) -> Vec<(u64, u32)> {
        let in_flight = |pending: &Pending| matches!(pending.phase, Phase::InFlight { .. });
        self.pending.iter().filter(|(_, pending)| in_flight(pending)).map(|(sequence, pending)| (*sequence, pending.deliveries)).collect()
    }

    /// When something here changes by itself: a deadline, or something may be delivered again.
    pub(crate) fn next_event_ms(&self) -> Option<u64> {
        let deadline = self.deadlines.first().map(|(at_ms, _)| *at_ms);
        let waiting = self.waiting.first().map(|(at_ms, _)| *at_ms);
        deadline.into_iter().chain(waiting).min()
    }

    /// The message is gone from the stream.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.take(sequence);
    }

    /// As `deliver`, when the log is read again. What lies between the cursor and these was not due then, or its record is lost: it waits.
    pub(crate) fn deliver_again(&mut self, index: &Index, sequences: &[u64], at_ms: u64) {
        let last = sequences.iter().copied().max().unwrap_or(0);
        let passed: Vec<_> = index
            .range(self.cursor + 1..=last)
            .filter(|(sequence, entry)| self.config.wants(&entry.subject) && !sequences.contains(sequence))
            .map(|(sequence, entry)| (sequence, entry.due_ms))
            .collect();
        for (sequence, due_ms) in passed {
            self.wait(sequence, Pending::new(), due_ms);
        }
        self.deliver(sequences, at_ms);
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

    fn take(&mut self, sequence: u64) -> Option<Pending> {
        let pending = self.pending.remove(&sequence)?;
        match pending.phase {
            Phase::InFlight { deadline_ms } => self.deadlines.remove(&(deadline_ms, sequence)),
            Phase::Waiting { not_before_ms } => self.waiting.remove(&(not_before_ms, sequence)),
        };
        self.in_flight -= usize::from(pending.deliveries > 0);
        Some(pending)
    }

    fn hold(&mut self, sequence: u64, mut pending: Pending, deadline_ms: u64) {
        pending.phase = Phase::InFlight { deadline_ms };
        self.deadlines.insert((deadline_ms, sequence));
        self.insert(sequence, pending);
    }

    fn wait(&mut self, sequence: u64, mut pending: Pending, not_before_ms: u64) {
        pending.phase = Phase::Waiting { not_before_ms };
        self.waiting.insert((not_before_ms, sequence));
        self.insert(sequence, pending);
    }

    fn insert(&mut self, sequence: u64, pending: Pending) {
        self.in_flight += usize::from(pending.deliveries > 0);
        self.pending.insert(sequence, pending);
    }

    pub(crate) fn write(&self, body: &mut Writer) {
        body.u64(self.cursor).u64(self.delivered).u64(self.redelivered).u64(self.acked).u32(self.pending.len() as u32);
        for (sequence, pending) in &self.pending {
            let not_before_ms = match pending.phase {
                Phase::InFlight { .. } => u64::MAX,
                Phase::Waiting { not_before_ms } => not_before_ms,
            };
            body.u64(*sequence).u32(pending.deliveries).u64(not_before_ms).u8(pending.attempts.len() as u8);
            for attempt in &pending.attempts {
                body.u64(attempt.at_ms).u8(attempt.outcome as u8).long_text(&attempt.error);
            }
        }
    }

    /// Reads a state back. What was with a worker still is: its deadline is past, so it comes again as the attempt it was.
    pub(crate) fn read(config: ConsumerConfig, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut state = Self::new(config, reader.u64()?);
        (state.delivered, state.redelivered, state.acked) = (reader.u64()?, reader.u64()?, reader.u64()?);
        for _ in 0..reader.u32()? {
            let (sequence, deliveries, not_before_ms) = (reader.u64()?, reader.u32()?, reader.u64()?);
            let mut attempts = VecDeque::new();
            for _ in 0..reader.u8()? {
                let at_ms = reader.u64()?;
                let outcome = Outcome::from_byte(reader.u8()?).ok_or(Malformed)?;
                attempts.push_back(Attempt { at_ms, outcome, error: reader.long_text()?.into() });
            }
            let pending = Pending { deliveries, attempts, ..Pending::new() };
            if not_before_ms == u64::MAX {
                state.hold(sequence, pending, 0);
            } else {
                state.wait(sequence, pending, not_before_ms);
            }
        }
        Ok(state)
    }
}

impl Pending {
    fn new() -> Self {
        Self { deliveries: 0, phase: Phase::Waiting { not_before_ms: 0 }, attempts: VecDeque::new() }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
