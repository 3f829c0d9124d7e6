//! The producers' side of an outlet.

use std::fmt;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::MutexGuard;

use super::budget::Allowance;
use super::queue::{Admission, Bound};
use super::state::{Phase, State};
use super::{Outlet, OutletConfig, OutletError, Pushed};
use crate::Overflow;

/// Protocol bytes a peer may leave unread before it counts as not reading at all.
const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// Messages being added to an outlet by [`Outlet::push_with`].
pub struct Batch<'a> {
    outlet: &'a Outlet,
    state: MutexGuard<'a, State>,
    allowance: Allowance,
    pushed: Pushed,
}

impl Batch<'_> {
    /// Adds one message, `head` followed by `body` and `tail`.
    pub fn message(&mut self, head: &[u8], body: &Bytes, tail: &[u8]) {
        let (state, pushed) = (&mut *self.state, &mut self.pushed);
        if state.phase == Phase::Closed {
            pushed.dropped += 1;
            return;
        }
        match state.queue.offer(head, body, tail, state.in_flight_bytes, self.allowance) {
            Admission::Accepted { evicted } => {
                pushed.accepted += 1;
                pushed.dropped += evicted;
            }
            Admission::Dropped => pushed.dropped += 1,
            Admission::Disconnect { bound } => {
                pushed.dropped += 1;
                let error = self.outlet.slow(bound);
                self.outlet.fail(state, error);
            }
        }
    }

    fn finish(mut self) -> Pushed {
        let outlet = self.outlet;
        if self.pushed.dropped > 0 {
            outlet.dropped.fetch_add(self.pushed.dropped as u64, Ordering::Relaxed);
            outlet.budget.count_drops(self.state.queue.take_budget_drops());
        }
        let is_full = outlet.config.overflow == Overflow::Block && self.state.is_full(&outlet.config, &outlet.budget);
        outlet.write_or_leave(self.state);
        // Asked again after the write: what the socket took at once is no reason to wait.
        self.pushed.over = is_full && outlet.state.lock().is_full(&outlet.config, &outlet.budget);
        self.pushed
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("pushed", &self.pushed).finish_non_exhaustive()
    }
}

impl Outlet {
    /// Queues one message, `head` followed by `body`, and writes it at once if the socket is free.
    pub fn push(&self, head: &[u8], body: &Bytes) -> Pushed {
        self.push_with(|batch| batch.message(head, body, &[]))
    }

    /// Queues several messages under one lock and writes them with as few writes as possible.
    pub fn push_batch<'a>(&self, messages: impl IntoIterator<Item = &'a Bytes>) -> Pushed {
        self.push_with(|batch| messages.into_iter().for_each(|message| batch.message(&[], message, &[])))
    }

    /// Queues the messages that `fill` adds, under one lock and with as few writes as possible; for protocols that frame a body on both sides.
    /// `fill` runs under the lock: it formats and adds, and does not touch this outlet.
    pub fn push_with(&self, fill: impl FnOnce(&mut Batch<'_>)) -> Pushed {
        let state = self.state.lock();
        let allowance = state.allowance(&self.budget);
        let mut batch = Batch { outlet: self, state, allowance, pushed: Pushed::default() };
        fill(&mut batch);
        batch.finish()
    }

    /// Queues protocol bytes (a PONG, a greeting) ahead of the waiting messages. They are never dropped by a policy.
    ///
    /// Returns `false`, and queues nothing, when 64 KiB of them already wait: the peer asks without ever reading, and is best closed.
    #[must_use = "a peer that never reads its answers should be closed"]
    pub fn push_control(&self, bytes: &[u8]) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Closed || state.queue.control_bytes() + bytes.len() > CONTROL_BYTES_MAX {
            return false;
        }
        state.queue.control(bytes);
        self.write_or_leave(state);
        true
    }

    /// Writes what waits if nobody else does, or else tells the budget of it.
    pub(super) fn write_or_leave(&self, mut state: MutexGuard<'_, State>) {
        if state.phase == Phase::Idle && !state.queue.is_empty() {
            let wire = state.take_wire();
            drop(state);
            self.write(wire);
        } else {
            if state.phase != Phase::Writing {
                // Nobody is about to write it: it may wait for as long as the peer does not read.
                state.queue.own();
            }
            state.settle(&self.budget);
        }
    }

    fn slow(&self, bound: Bound) -> OutletError {
        let OutletConfig { bytes_max, messages_max, .. } = self.config;
        match bound {
            Bound::Own => OutletError::SlowPeer { bytes_max, messages_max },
            Bound::Budget => OutletError::Budget { bytes_max: self.budget.bytes_max() },
        }
    }
}
