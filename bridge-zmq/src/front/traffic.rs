//! What has passed over one connection. Counted for whoever looks at it; nothing is decided by it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Counters of one connection. Cost per batch: a few stores to a cache line of the connection's own.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) since: SystemTime,
    started: Instant,
    /// Milliseconds from `started` to the last read.
    last_read: AtomicU64,
    received: AtomicU64,
    received_bytes: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
}

/// Messages and bytes of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Whole messages.
    pub messages: u64,
    /// Bytes, in: everything after the handshake, out: messages queued.
    pub bytes: u64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self {
            since: SystemTime::now(),
            started: Instant::now(),
            last_read: AtomicU64::new(0),
            received: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        }
    }

    /// Called by the connection's task alone, so that no locked instruction is needed.
    pub(super) fn on_read(&self, bytes: usize, now: Instant) {
        let elapsed = u64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(u64::MAX);
        self.last_read.store(elapsed, Ordering::Relaxed);
        self.received_bytes.store(self.received_bytes.load(Ordering::Relaxed) + bytes as u64, Ordering::Relaxed);
    }

    /// As [`on_read`](Self::on_read).
    pub(super) fn on_messages(&self, messages: usize) {
        self.received.store(self.received.load(Ordering::Relaxed) + messages as u64, Ordering::Relaxed);
    }

    pub(super) fn on_sent(&self, messages: usize, bytes: usize) {
        self.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How long nothing was read.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.duration_since(self.started).saturating_sub(Duration::from_millis(self.last_read.load(Ordering::Relaxed)))
    }

    pub(super) fn received(&self) -> Passed {
        Passed { messages: self.received.load(Ordering::Relaxed), bytes: self.received_bytes.load(Ordering::Relaxed) }
    }

    pub(super) fn sent(&self) -> Passed {
        Passed { messages: self.sent.load(Ordering::Relaxed), bytes: self.sent_bytes.load(Ordering::Relaxed) }
    }
}
