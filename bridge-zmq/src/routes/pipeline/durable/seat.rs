//! What one consumer has in hand, and what is known about its taking it. Synchronous; whoever calls brings the clock.
//!
//! Invariants:
//! - a lease is in exactly one part: being written, written with no barrier behind it, before a barrier, or being acked;
//! - the number of a barrier is given after everything before it was written, and the barrier goes out after that;
//! - at most [`BARRIERS_MAX`] barriers are unanswered.

use std::collections::VecDeque;
use std::time::Duration;

use myelin_bus::streams::Lease;
use tokio::time::Instant;

use super::BARRIERS_MAX;

/// What one consumer may have in hand: as much as its outlet holds.
pub(super) const MESSAGES_MAX: usize = super::super::CONSUMER_OUTLET.messages_max;
pub(super) const BYTES_MAX: usize = super::super::CONSUMER_OUTLET.bytes_max;

/// Leases with the bytes of their messages on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) leases: Vec<Lease>,
    pub(super) bytes: usize,
}

impl Part {
    fn append(&mut self, mut other: Self) {
        self.leases.append(&mut other.leases);
        self.bytes += other.bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }
}

/// How a consumer tells that it took what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It was asked whether it answers PINGs, and gets nothing before it is known.
    Asked { until: Instant },
    /// By PONGs.
    Fenced,
    /// Not at all: what its socket took is acked.
    Unfenced,
}

/// One consumer.
#[derive(Debug)]
pub(super) struct Seat {
    mode: Mode,
    writing: Part,
    written: Part,
    /// Behind each part went the barrier of this number.
    fenced: VecDeque<(u64, Part)>,
    /// Messages and bytes that are being acked.
    settling: (usize, usize),
    last_barrier: u64,
    /// When the last barrier without messages before it went out, if it is unanswered: a question whether the peer lives.
    asked: Option<Instant>,
    heard: Instant,
    progress: Instant,
    extended: Instant,
    /// What waited for the socket at the last look.
    queued: usize,
    /// Whether it was given messages at the last look.
    is_served: bool,
    /// It has had half of its time without progress, and gets nothing before everything that it has is acked: the stream may have given that to
    /// others, or would give it to this one once more.
    is_hung: bool,
}

/// What is to be done about a consumer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// A barrier to ask whether it lives.
    pub(super) ask: Option<u64>,
    /// It answers no PING; known from now on.
    pub(super) is_unfenced: bool,
    /// It did not answer that it lives.
    pub(super) is_dead: bool,
    /// It is given messages and was not before, or the other way round.
    pub(super) is_turned: bool,
    /// It goes on, and needs more time for these.
    pub(super) extend: Vec<Lease>,
}

/// The clocks of a pipeline's consumers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) ack_wait: Duration,
    /// A consumer with nothing in hand is asked whether it lives after this silence; `None`: never.
    pub(super) silence: Option<Duration>,
    /// And is dead after this long without an answer.
    pub(super) answer: Duration,
}

impl Seat {
    /// Of a peer that knows PINGs or not; `until` is when a first one has to be answered. Returns the barrier to ask with.
    pub(super) fn new(knows_pings: bool, now: Instant, until: Instant) -> (Self, Option<u64>) {
        let mode = if knows_pings { Mode::Asked { until } } else { Mode::Unfenced };
        let mut seat = Self {
            mode,
            writing: Part::default(),
            written: Part::default(),
            fenced: VecDeque::new(),
            settling: (0, 0),
            last_barrier: 0,
            asked: None,
            heard: now,
            progress: now,
            extended: now,
            queued: 0,
            is_served: !knows_pings,
            is_hung: false,
        };
        let ask = knows_pings.then(|| seat.fence(Part::default()));
        (seat, ask)
    }

    /// Messages and bytes that it may be given now: none or some of both.
    pub(super) fn room(&self, now: Instant, patience: &Patience) -> (usize, usize) {
        let (messages, bytes) = self.held();
        let room = (MESSAGES_MAX.saturating_sub(messages), BYTES_MAX.saturating_sub(bytes));
        if self.is_served_at(now, patience) && room.0 > 0 && room.1 > 0 { room } else { (0, 0) }
    }

    /// Messages and bytes in hand.
    pub(super) fn held(&self) -> (usize, usize) {
        let parts = || self.fenced.iter().map(|(_, part)| part).chain([&self.writing, &self.written]);
        let messages = parts().map(|part| part.leases.len()).sum::<usize>() + self.settling.0;
        (messages, parts().map(|part| part.bytes).sum::<usize>() + self.settling.1)
    }

    pub(super) fn is_unfenced(&self) -> bool {
        self.mode == Mode::Unfenced
    }

    fn is_served_at(&self, now: Instant, patience: &Patience) -> bool {
        !matches!(self.mode, Mode::Asked { .. }) && !self.is_hung && !self.is_late(now, patience)
    }

    fn is_late(&self, now: Instant, patience: &Patience) -> bool {
        self.has_leases() && now.duration_since(self.progress) >= patience.ack_wait / 2
    }

    fn has_leases(&self) -> bool {
        !self.writing.is_empty() || !self.written.is_empty() || self.fenced.iter().any(|(_, part)| !part.is_empty())
    }

    /// Gives it a message, which is about to be written.
    pub(super) fn give(&mut self, lease: Lease, bytes: usize, now: Instant) {
        if !self.has_leases() {
            // What is new has all its time.
            (self.progress, self.extended) = (now, now);
        }
        self.writing.leases.push(lease);
        self.writing.bytes += bytes;
    }

    /// What it was given is written, and that much waits for the socket. Returns the barrier that is to follow.
    pub(super) fn wrote(&mut self, queued: usize) -> Option<u64> {
        let part = std::mem::take(&mut self.writing);
        self.written.append(part);
        self.queued = queued;
        self.next_barrier()
    }

    /// The barrier behind what was written, if there is anything, and one may go out.
    fn next_barrier(&mut self) -> Option<u64> {
        if self.mode != Mode::Fenced || self.written.is_empty() || self.fenced.len() >= BARRIERS_MAX {
            return None;
        }
        let part = std::mem::take(&mut self.written);
        Some(self.fence(part))
    }

    fn fence(&mut self, part: Part) -> u64 {
        self.last_barrier += 1;
        self.fenced.push_back((self.last_barrier, part));
        self.last_barrier
    }

    /// A barrier was answered: what was before it is to be acked, and the next barrier may follow. `None` for one that nobody sent, or that was
    /// answered before: that it lives is all that the consumer says then, however often.
    pub(super) fn pong(&mut self, barrier: u64, now: Instant, patience: &Patience) -> Option<(Part, Option<u64>)> {
        if barrier == 0 || barrier > self.last_barrier {
            return None;
        }
        self.heard = now;
        let is_due = self.fenced.front().is_some_and(|(number, _)| *number <= barrier);
        // Who was given up answers its first one after all.
        if !is_due && self.mode != Mode::Unfenced {
            return None;
        }
        self.is_hung |= self.is_late(now, patience);
        (self.progress, self.asked) = (now, None);
        self.mode = Mode::Fenced;
        let mut taken = Part::default();
        while self.fenced.front().is_some_and(|(number, _)| *number <= barrier) {
            taken.append(self.fenced.pop_front().map(|(_, part)| part).unwrap_or_default());
        }
        self.begin_settling(&taken);
        Some((taken, self.next_barrier()))
    }

    /// For a peer that answers no PING: the socket took everything that was written before `leases` were counted.
    pub(super) fn flushed(&mut self, leases: usize, now: Instant, patience: &Patience) -> Part {
        if self.mode != Mode::Unfenced {
            // It has answered one meanwhile: what it took is for its PONGs to say.
            return Part::default();
        }
        self.is_hung |= self.is_late(now, patience);
        let mut taken = std::mem::take(&mut self.written);
        self.written.leases = taken.leases.split_off(leases.min(taken.leases.len()));
        if !self.written.is_empty() {
            // Their sizes are not kept apart: all are counted until the rest is taken too.
            self.written.bytes = taken.bytes;
            taken.bytes = 0;
        }
        (self.progress, self.heard) = (now, now);
        self.begin_settling(&taken);
        taken
    }

    /// Leases that were written with no barrier behind them.
    pub(super) fn unfenced_leases(&self) -> usize {
        self.written.leases.len()
    }

    fn begin_settling(&mut self, part: &Part) {
        self.settling.0 += part.leases.len();
        self.settling.1 += part.bytes;
    }

    /// A part is acked.
    pub(super) fn settled(&mut self, part: &Part) {
        self.settling.0 = self.settling.0.saturating_sub(part.leases.len());
        self.settling.1 = self.settling.1.saturating_sub(part.bytes);
        self.is_hung &= self.settling.0 > 0 || self.has_leases();
    }

    /// A look at it from time to time; `queued` is what waits for its socket.
    pub(super) fn look(&mut self, queued: usize, now: Instant, patience: &Patience) -> Due {
        self.is_hung |= self.is_late(now, patience);
        if queued < self.queued {
            self.progress = now;
        }
        self.queued = queued;
        let mut due = Due { extend: self.extend(now, patience), ..Due::default() };
        match self.mode {
            Mode::Asked { until } if now >= until => {
                self.mode = Mode::Unfenced;
                // Nothing was before it.
                self.fenced.clear();
                due.is_unfenced = true;
            }
            Mode::Fenced if !self.has_leases() => match (self.asked, patience.silence) {
                (Some(asked), _) => due.is_dead = now.duration_since(asked) >= patience.answer,
                (None, Some(silence)) if self.fenced.is_empty() && now.duration_since(self.heard) >= silence => {
                    self.asked = Some(now);
                    due.ask = Some(self.fence(Part::default()));
                }
                (None, _) => {}
            },
            _ => {}
        }
        let is_served = self.is_served_at(now, patience);
        due.is_turned = std::mem::replace(&mut self.is_served, is_served) != is_served;
        due
    }

    /// What needs more time, when it went on since it was last given some. Not at every sign of life: a quarter of `ack_wait` is soon enough.
    pub(super) fn extend(&mut self, now: Instant, patience: &Patience) -> Vec<Lease> {
        if self.progress <= self.extended || now.duration_since(self.extended) < patience.ack_wait / 4 {
            return Vec::new();
        }
        self.extended = now;
        self.leases()
    }

    /// Everything that is in its hands and not being acked.
    pub(super) fn leases(&self) -> Vec<Lease> {
        let parts = self.fenced.iter().map(|(_, part)| part).chain([&self.written, &self.writing]);
        parts.flat_map(|part| part.leases.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests;
