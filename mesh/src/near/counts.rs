//! What the near cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one cache since it was made. Each is exact; together they are no snapshot.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Reads served from this process.
    pub(crate) hits: Count,
    /// Reads that found nothing they could use, including those that waited for another's fill.
    pub(crate) misses: Count,
    /// Entries pushed out by a bound.
    pub(crate) evictions: Count,
    /// Keys named in invalidations, whether they were kept or not.
    pub(crate) invalidations: Count,
    /// Fills whose value was not kept because an invalidation came first.
    pub(crate) overtaken: Count,
    /// Times everything was dropped.
    pub(crate) emptied: Count,
}

/// A counter that many threads raise.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        // A statistic orders nothing.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
