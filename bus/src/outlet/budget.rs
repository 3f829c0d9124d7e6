//! What all outlets of a process may hold together.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::wire::limits;

/// What every outlet may hold however little of the budget is left: the small traffic of a peer that reads is never refused for others that do not.
const FLOOR_BYTES: usize = 16 * 1024;

/// Beyond three quarters of the budget, a queue may grow to this part of what is left.
const SHARE: usize = 8;

/// Bytes queued in outlets, over all peers that share the budget; clones share it. Default 256 MiB.
///
/// Up to three quarters of the budget, only an outlet's own bounds hold. Beyond, a queue is at its bound as well once it holds more than an eighth
/// of what is left (16 KiB at least), and its own policy applies: to the fullest queues first, and to smaller ones the less is left. A peer with
/// little waiting is never punished for one with much.
///
/// The sum stays within the budget, but for three things that always have a place: 16 KiB per outlet, one message of an empty queue, and with
/// policy `block` one batch per producer.
///
/// Cost per push: one relaxed load; one relaxed add if the socket did not take everything at once.
#[derive(Debug, Clone)]
pub struct Budget {
    bytes_max: usize,
    queued: Gauge,
    drops: Counter,
}

impl Budget {
    /// A budget of `bytes_max` bytes, all of it free.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, queued: Gauge::default(), drops: Counter::default() }
    }

    /// The bound in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Bytes that wait now, without what a writer is just handing to its socket.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        usize::try_from(self.queued.get()).unwrap_or(0)
    }

    /// Messages that were dropped, and connections that were ended, because of the budget and not of a queue's own bounds.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.drops.get()
    }

    /// Makes the budget visible under `myelin_bus_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_bus");
        let limit: Gauge = Gauge::default();
        limit.set(to_gauge(self.bytes_max));
        registry.register("queued_bytes", "Bytes that wait for peers to read, over all connections", self.queued.clone());
        registry.register("queued_bytes_max", "The bound limits.queued_bytes", limit);
        registry.register(
            "queued_bytes_drops",
            "Messages dropped and peers disconnected because queued_bytes neared its bound, also counted with their policy",
            self.drops.clone(),
        );
    }

    /// What an outlet that is `charged` bytes may do now.
    pub(super) fn allowance(&self, charged: usize) -> Allowance {
        Allowance { bytes_max: self.bytes_max, others: self.queued_bytes().saturating_sub(charged) }
    }

    /// Brings what an outlet is charged to what it holds.
    pub(super) fn settle(&self, charged: &mut usize, held: usize) {
        if *charged != held {
            self.queued.inc_by(to_gauge(held) - to_gauge(*charged));
            *charged = held;
        }
    }

    pub(super) fn count_drops(&self, drops: usize) {
        if drops > 0 {
            self.drops.inc_by(drops as u64);
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(limits::QUEUED_BYTES_PROCESS_MAX)
    }
}

fn to_gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The state of a budget as one push sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    bytes_max: usize,
    others: usize,
}

impl Allowance {
    /// Whether a queue that holds `own` bytes may take `more`.
    pub(super) fn admits(self, own: usize, more: usize) -> bool {
        let used = self.others.saturating_add(own);
        let wanted = used.saturating_add(more);
        wanted <= self.bytes_max - self.bytes_max / 4 || own.saturating_add(more) <= self.share(used)
    }

    fn share(self, used: usize) -> usize {
        (self.bytes_max.saturating_sub(used) / SHARE).max(FLOOR_BYTES)
    }
}

#[cfg(test)]
mod tests;
