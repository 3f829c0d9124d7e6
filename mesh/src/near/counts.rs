//! What the near cache counts.

use prometheus_client::metrics::counter::Counter;

/// Counters of one cache since it was made. Each is exact; together they are no snapshot. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Reads served from this process.
    pub(crate) hits: Counter,
    /// Reads that found nothing they could use, including those that waited for another's fill.
    pub(crate) misses: Counter,
    /// Entries pushed out by a bound.
    pub(crate) evictions: Counter,
    /// Keys named in invalidations, whether they were kept or not.
    pub(crate) invalidations: Counter,
    /// Fills whose value was not kept because an invalidation came first.
    pub(crate) overtaken: Counter,
    /// Times everything was dropped.
    pub(crate) emptied: Counter,
}
