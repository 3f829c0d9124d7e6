//! Where an outlet is between its connection's task and its producers, and what it holds; all of it behind the outlet's lock.

use super::budget::{Allowance, Budget};
use super::queue::Queue;
use super::wire::Wire;
use super::{OutletConfig, OutletError, Queued};

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) queue: Queue,
    /// Present unless a writer has it.
    pub(super) wire: Wire,
    pub(super) in_flight_bytes: usize,
    pub(super) in_flight_messages: usize,
    /// What the budget was told that we hold. It is told when a push or a write leaves something behind, so what the socket takes at once costs
    /// nothing.
    charged: usize,
    pub(super) error: Option<OutletError>,
    /// What waited when the outlet ended.
    pub(super) unwritten: Queued,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No socket yet; messages wait.
    Detached,
    /// Nothing to write.
    Idle,
    /// Somebody holds the wire and writes.
    Writing,
    /// The socket is full, or a writer used up its turns: the driver goes on.
    Blocked,
    /// Over.
    Closed,
}

impl State {
    pub(super) fn new(config: OutletConfig) -> Self {
        Self {
            phase: Phase::Detached,
            queue: Queue::new(config),
            wire: Wire::default(),
            in_flight_bytes: 0,
            in_flight_messages: 0,
            charged: 0,
            error: None,
            unwritten: Queued::default(),
        }
    }

    /// Hands out the wire with what waits, to be written without the lock.
    pub(super) fn take_wire(&mut self) -> Wire {
        let mut wire = std::mem::take(&mut self.wire);
        self.queue.commit(&mut wire);
        self.in_flight_bytes = wire.remaining();
        self.in_flight_messages = wire.messages();
        self.phase = Phase::Writing;
        wire
    }

    /// Ends everything and returns how many messages were not written; `None` if it had ended before.
    pub(super) fn end(&mut self, error: OutletError, budget: &Budget) -> Option<usize> {
        if self.phase == Phase::Closed {
            return None;
        }
        self.unwritten = self.queued();
        self.queue.clear();
        self.phase = Phase::Closed;
        self.error = Some(error);
        self.in_flight_bytes = 0;
        self.in_flight_messages = 0;
        self.wire = Wire::default();
        self.settle(budget);
        Some(self.unwritten.messages)
    }

    pub(super) fn queued(&self) -> Queued {
        Queued { bytes: self.bytes(), messages: self.queue.messages() + self.in_flight_messages }
    }

    fn bytes(&self) -> usize {
        self.queue.bytes() + self.in_flight_bytes
    }

    /// Tells the budget what waits now.
    pub(super) fn settle(&mut self, budget: &Budget) {
        let held = self.bytes();
        budget.settle(&mut self.charged, held);
    }

    /// Gives back what the budget was told, at the end of the outlet.
    pub(super) fn release(&mut self, budget: &Budget) {
        budget.settle(&mut self.charged, 0);
    }

    pub(super) fn allowance(&self, budget: &Budget) -> Allowance {
        budget.allowance(self.charged)
    }

    fn is_at_least(&self, bytes: usize, messages: usize) -> bool {
        self.bytes() >= bytes || self.queue.messages() >= messages
    }

    pub(super) fn is_full(&self, config: &OutletConfig, budget: &Budget) -> bool {
        self.phase != Phase::Closed && (self.is_at_least(config.bytes_max, config.messages_max) || self.is_beyond(budget))
    }

    /// Whether what waits is twice of what the budget leaves to this outlet.
    pub(super) fn is_far_beyond(&self, budget: &Budget) -> bool {
        !self.allowance(budget).admits(self.bytes() / 2, 1)
    }

    fn is_beyond(&self, budget: &Budget) -> bool {
        !self.allowance(budget).admits(self.bytes(), 1)
    }

    /// Whether there is room again: less than half of each bound is used, and the budget would admit as much again.
    pub(super) fn is_relieved(&self, config: &OutletConfig, budget: &Budget) -> bool {
        self.phase == Phase::Closed
            || (!self.is_at_least(config.bytes_max.div_ceil(2), config.messages_max.div_ceil(2))
                && self.allowance(budget).admits(self.bytes(), self.bytes().max(1)))
    }
}
