//! The bounds of an embedded bus.

use std::time::Duration;

use crate::Metrics;
use crate::wire::limits;

/// Bounds and observers of an embedded bus. Everything has a default.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Largest payload in bytes; default 8 MiB. At most 64 MiB, more is taken as that.
    pub payload_bytes_max: usize,
    /// Most subscriptions; default 1,048,576 (about 0.5 KiB each). Another is refused.
    pub subscriptions_max: usize,
    /// Most requests of this process that wait for replies; default 65,536. Another is refused.
    pub requests_max: usize,
    /// Most reply addresses that are known outside of this process; default 65,536. Another makes the oldest invalid, and its replies count as
    /// late.
    pub reply_subjects_max: usize,
    /// How long a reply address is valid outside of this process; default 60 s, twice the longest patience seen from agents. Requests made
    /// with [`Bus::request`](crate::Bus::request) keep theirs as long as they wait.
    pub reply_subject_ttl: Duration,
    /// Where the bus counts; default: nowhere that anybody reads.
    pub metrics: Metrics,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self {
            payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT,
            subscriptions_max: 1 << 20,
            requests_max: 1 << 16,
            reply_subjects_max: 1 << 16,
            reply_subject_ttl: Duration::from_secs(60),
            metrics: Metrics::default(),
        }
    }
}
