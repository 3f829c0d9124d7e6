//! One connected client, as its session, its subscriptions and its connection's task share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::protocol::error_line;
use super::{ListenerConfig, ListenerMetrics};
use crate::outlet::{Outlet, OutletConfig, Pushed};
use crate::{Bus, Overflow, Pressure};

/// Published bytes per [`ListenerConfig::stall`].
const STALL_BYTES: usize = 64 * 1024;

/// Longest stall of one publish, however large.
const STALL_MAX: Duration = Duration::from_secs(1);

/// The client's own name of a subscription.
pub(super) type Sid = Box<[u8]>;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) bus: Bus,
    pub(super) outlet: Arc<Outlet>,
    /// Told when the connection's task has something to do that is not reading or writing.
    pub(super) attention: Notify,
    /// Whether the client reads `HMSG`.
    has_headers: AtomicBool,
    /// Whether the client wants its own messages back.
    has_echo: AtomicBool,
    /// Set once the client has not read for too long; nothing more is queued for it.
    is_slow: AtomicBool,
    /// Subscriptions that have had their last message.
    exhausted: Mutex<Vec<Sid>>,
    limits: QueueLimits,
    metrics: ListenerMetrics,
}

#[derive(Debug, Clone, Copy)]
struct QueueLimits {
    bytes_max: usize,
    messages_max: usize,
    stall: Duration,
}

impl Client {
    pub(super) fn new(id: u64, bus: Bus, config: &ListenerConfig) -> Self {
        let limits = QueueLimits { bytes_max: config.queue_bytes_max, messages_max: config.queue_messages_max, stall: config.stall };
        // `Block` tells when three quarters wait and drops nothing; past the whole bound the client is cut off here, at the end of a message,
        // so that the error line can be read.
        let queue = OutletConfig {
            bytes_max: three_quarters(limits.bytes_max),
            messages_max: three_quarters(limits.messages_max),
            overflow: Overflow::Block,
        };
        let outlet = Outlet::with_budget(queue, &config.budget);
        Self {
            id,
            bus,
            outlet: Arc::new(outlet),
            attention: Notify::new(),
            has_headers: AtomicBool::new(false),
            has_echo: AtomicBool::new(true),
            is_slow: AtomicBool::new(false),
            exhausted: Mutex::default(),
            limits,
            metrics: config.metrics.clone(),
        }
    }

    pub(super) fn set_options(&self, has_headers: bool, has_echo: bool) {
        self.has_headers.store(has_headers, Ordering::Relaxed);
        self.has_echo.store(has_echo, Ordering::Relaxed);
    }

    pub(super) fn has_headers(&self) -> bool {
        self.has_headers.load(Ordering::Relaxed)
    }

    pub(super) fn has_echo(&self) -> bool {
        self.has_echo.load(Ordering::Relaxed)
    }

    pub(super) fn is_slow(&self) -> bool {
        self.is_slow.load(Ordering::Relaxed)
    }

    /// Whether nothing can reach this client any more.
    pub(super) fn is_gone(&self) -> bool {
        self.is_slow() || self.outlet.is_closed()
    }

    /// Queues something said to the client behind what waits already: a `PONG` promises that everything before it has been sent.
    pub(super) fn say(&self, line: &[u8]) {
        if !self.is_slow() {
            let pushed = self.outlet.push(line, &Bytes::new());
            // A client that asks without reading the answers is cut off like one that does not read messages; no publisher waits for it.
            drop(self.judge(pushed, line.len()));
        }
    }

    /// Decides, after `bytes` were pushed, whether the publisher waits a little or the client is cut off.
    pub(super) fn judge(&self, pushed: Pushed, bytes: usize) -> Option<Pressure> {
        if pushed.dropped > 0 {
            self.metrics.dropped.inc_by(pushed.dropped as u64);
        }
        if !pushed.over {
            return None;
        }
        let queued = self.outlet.queued();
        let is_full =
            queued.bytes > self.limits.bytes_max || queued.messages > self.limits.messages_max || self.outlet.is_far_beyond_budget();
        // A batch that fills the queue by itself says nothing about the client.
        if is_full && queued.messages > pushed.accepted {
            self.cut_off();
            return None;
        }
        let stall = self.limits.stall.saturating_mul(u32::try_from(bytes.div_ceil(STALL_BYTES)).unwrap_or(u32::MAX)).min(STALL_MAX);
        let outlet = Arc::clone(&self.outlet);
        (!stall.is_zero()).then(|| {
            Pressure::new(async move {
                // Either way the publisher goes on: a client that does not recover in time runs into its bound and is cut off.
                let _relieved = timeout(stall, outlet.relieved()).await;
            })
        })
    }

    fn cut_off(&self) {
        if self.is_slow.swap(true, Ordering::Relaxed) {
            return;
        }
        self.metrics.slow_consumers.inc();
        let _told = self.outlet.push(&error_line("Slow Consumer"), &Bytes::new());
        self.attention.notify_one();
    }

    pub(super) fn count_dropped(&self, messages: usize) {
        self.metrics.dropped.inc_by(messages as u64);
    }

    /// Remembers that a subscription has had its last message; the connection's task removes it.
    pub(super) fn exhaust(&self, sid: Sid) {
        self.exhausted.lock().push(sid);
        self.attention.notify_one();
    }

    pub(super) fn take_exhausted(&self) -> Vec<Sid> {
        std::mem::take(&mut *self.exhausted.lock())
    }
}

fn three_quarters(bound: usize) -> usize {
    (bound / 4 * 3).max(1)
}
