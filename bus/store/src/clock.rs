//! The time of the day, in milliseconds since 1970: stored messages keep theirs over restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from. Never goes backwards within a process, whatever the system's clock does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    latest_ms: Arc<AtomicU64>,
}

impl Clock {
    pub(crate) fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = crate::consumer::millis(since);
        self.latest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}
