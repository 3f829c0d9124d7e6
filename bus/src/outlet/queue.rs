//! The synchronous core of an outlet: what waits to be written, in whole messages.
//!
//! Invariants:
//! - **Whole messages.** `lens` holds the length of each waiting message in order; its sum is `bytes`, which is what `segments` followed by `tail`
//!   hold. A policy therefore removes exactly one message, never part of one.
//! - **Committed is gone.** What [`Queue::commit`] moved into a [`Wire`] may be half on the wire and is never dropped. At most
//!   [`COMMIT_BYTES`] plus one message are committed at a time.
//! - **One is admitted.** An empty queue takes a message of any size, so that a bound below the largest message cannot wedge a peer.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::OutletConfig;
use super::budget::Allowance;
use super::segments::Segments;
use super::wire::Wire;
use crate::Overflow;

/// Bodies up to this size are copied behind each other; larger ones are queued by reference, until they have to wait. Below it, a copy is
/// cheaper than a reference count, a queue entry and an `iovec`.
const COPY_BYTES_MAX: usize = 4096;

/// Bytes handed to the socket at a time: enough to fill a loopback socket buffer, small enough that `drop_oldest` still has something to drop.
pub(super) const COMMIT_BYTES: usize = 256 * 1024;

/// Buffers above this size are given back when they run empty, so that one burst does not stay allocated for the life of a connection.
pub(super) const RETAINED_BYTES_MAX: usize = 64 * 1024;

/// The same for the lists beside them, in entries.
pub(super) const RETAINED_ENTRIES_MAX: usize = 8192;

/// What became of one message offered to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits, after this many older messages were dropped for it.
    Accepted { evicted: usize },
    /// It was dropped.
    Dropped,
    /// The policy asks for the connection to end, because this bound is exceeded.
    Disconnect { bound: Bound },
}

/// What one more message would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// A bound of this queue.
    Own,
    /// What the budget of all queues leaves to this one.
    Budget,
}

/// Messages that wait, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    config: OutletConfig,
    segments: Segments,
    tail: BytesMut,
    lens: VecDeque<u32>,
    bytes: usize,
    control: BytesMut,
    /// Messages dropped for the budget since somebody asked.
    budget_drops: usize,
}

impl Queue {
    pub(super) fn new(config: OutletConfig) -> Self {
        Self {
            config,
            segments: Segments::default(),
            tail: BytesMut::new(),
            lens: VecDeque::new(),
            bytes: 0,
            control: BytesMut::new(),
            budget_drops: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn messages(&self) -> usize {
        self.lens.len()
    }

    pub(super) fn control_bytes(&self) -> usize {
        self.control.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lens.is_empty() && self.control.is_empty()
    }

    pub(super) fn take_budget_drops(&mut self) -> usize {
        std::mem::take(&mut self.budget_drops)
    }

    /// Offers one message, `head` followed by `body` and `tail`; `in_flight` is what the socket has not taken yet of earlier commits.
    pub(super) fn offer(&mut self, head: &[u8], body: &Bytes, tail: &[u8], in_flight: usize, allowance: Allowance) -> Admission {
        let len = head.len() + body.len() + tail.len();
        let mut evicted = 0;
        while let Some(bound) = self.exceeded(len, in_flight, allowance) {
            let for_budget = usize::from(bound == Bound::Budget);
            match self.config.overflow {
                Overflow::Block => break,
                Overflow::DropNewest => {
                    self.budget_drops += for_budget;
                    return Admission::Dropped;
                }
                Overflow::Disconnect => {
                    self.budget_drops += for_budget;
                    return Admission::Disconnect { bound };
                }
                Overflow::DropOldest => {
                    self.budget_drops += for_budget;
                    self.drop_oldest();
                    evicted += 1;
                }
            }
        }
        self.append(head, body, tail, len);
        Admission::Accepted { evicted }
    }

    /// The bound that one more message of `len` bytes would exceed.
    fn exceeded(&self, len: usize, in_flight: usize, allowance: Allowance) -> Option<Bound> {
        if self.lens.is_empty() {
            return None;
        }
        let held = self.bytes + in_flight;
        if self.lens.len() >= self.config.messages_max || held + len > self.config.bytes_max {
            return Some(Bound::Own);
        }
        (!allowance.admits(held, len)).then_some(Bound::Budget)
    }

    fn append(&mut self, head: &[u8], body: &Bytes, tail: &[u8], len: usize) {
        self.tail.extend_from_slice(head);
        if body.len() <= COPY_BYTES_MAX {
            self.tail.extend_from_slice(body);
        } else {
            self.seal_tail();
            self.segments.lend(body.clone());
        }
        self.tail.extend_from_slice(tail);
        self.bytes += len;
        self.lens.push_back(u32::try_from(len).expect("limits::PAYLOAD_CEILING is far below 4 GiB"));
    }

    /// Adds protocol bytes, which go out before the waiting messages.
    pub(super) fn control(&mut self, bytes: &[u8]) {
        self.control.extend_from_slice(bytes);
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            // Taken whole: a rest that stays here would keep all of it allocated for as long as nothing new is queued.
            self.segments.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn drop_oldest(&mut self) {
        let Some(len) = self.lens.pop_front() else { return };
        self.bytes -= len as usize;
        let left = self.segments.skip(len as usize);
        if left > 0 {
            // Only now: sealed at every drop, each message would become a segment of its own.
            self.seal_tail();
            let beyond = self.segments.skip(left);
            debug_assert_eq!(beyond, 0, "segments hold every waiting byte");
        }
    }

    /// Makes what waits hold no memory but its own.
    pub(super) fn own(&mut self) {
        self.segments.own();
    }

    /// Drops everything that waits.
    pub(super) fn clear(&mut self) {
        *self = Self { budget_drops: self.budget_drops, ..Self::new(self.config) };
    }

    /// Moves the oldest whole messages, about [`COMMIT_BYTES`] of them, into an empty `wire`.
    pub(super) fn commit(&mut self, wire: &mut Wire) {
        debug_assert_eq!(wire.remaining(), 0, "a wire is refilled only when it is empty");
        if self.control.is_empty() && self.segments.is_empty() && self.bytes <= COMMIT_BYTES {
            // The path of every small message: swap two buffers, no allocation, no reference count.
            std::mem::swap(&mut self.tail, &mut wire.buffer);
            wire.remaining = self.bytes;
            wire.messages = self.lens.len();
            self.lens.clear();
            self.bytes = 0;
            self.release_lists();
            return;
        }
        std::mem::swap(&mut self.control, &mut wire.buffer);
        wire.remaining = wire.buffer.len();
        self.seal_tail();
        let mut left = 0;
        while let Some(&len) = self.lens.front() {
            if left > 0 && left + len as usize > COMMIT_BYTES {
                break;
            }
            left += len as usize;
            wire.messages += 1;
            self.lens.pop_front();
        }
        self.bytes -= left;
        wire.remaining += left;
        self.segments.hand_over(left, &mut wire.segments);
        self.release_lists();
    }

    fn release_lists(&mut self) {
        if self.lens.is_empty() && self.lens.capacity() > RETAINED_ENTRIES_MAX {
            self.lens = VecDeque::new();
        }
        self.segments.release(RETAINED_ENTRIES_MAX);
    }
}

#[cfg(test)]
mod tests;
