//! What the mesh counts. Handles work unregistered, so that a library user needs no registry.

use crate::near;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of one mesh. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) reads: Counter,
    pub(crate) found: Counter,
    pub(crate) writes: Counter,
    pub(crate) appends: Counter,
    pub(crate) conflicts: Counter,
    pub(crate) unknown: Counter,
    pub(crate) refused: Counter,
    pub(crate) damaged: Counter,
    pub(crate) bytes_given: Counter,
    pub(crate) bytes_stored: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) near: near::Counts,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Keys that were looked up.
    pub reads: u64,
    /// Keys that were looked up and had an entry.
    pub found: u64,
    /// Entries that were written.
    pub writes: u64,
    /// Entries that were appended to windows.
    pub appends: u64,
    /// Compare-and-sets that found something else.
    pub conflicts: u64,
    /// Writes of which nobody knows whether they happened.
    pub unknown: u64,
    /// Values that were larger than the mesh keeps.
    pub refused: u64,
    /// Records that could not be read.
    pub damaged: u64,
    /// Bytes of values as they were given.
    pub bytes_given: u64,
    /// Bytes of the same values as they were stored.
    pub bytes_stored: u64,
    /// Watches that had to begin anew.
    pub resyncs: u64,
    /// Reads that the near cache served.
    pub near_hits: u64,
    /// Reads that the near cache could not serve.
    pub near_misses: u64,
    /// Entries that a bound pushed out of the near cache.
    pub near_evictions: u64,
    /// Keys that the server named as changed.
    pub near_invalidations: u64,
    /// Values that were not kept because they had changed while they were read.
    pub near_overtaken: u64,
    /// Times the near cache was emptied because a server was not heard, or had to be connected again.
    pub near_emptied: u64,
}

impl Metrics {
    /// Makes the counters visible under `myelin_memory_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_memory");
        for (name, help, counter) in [
            ("read_keys", "Keys that were looked up", &self.reads),
            ("found_keys", "Keys that were looked up and had an entry", &self.found),
            ("written_entries", "Entries that were written", &self.writes),
            ("appended_entries", "Entries that were appended to windows", &self.appends),
            ("conflicts", "Compare-and-sets that found something else", &self.conflicts),
            ("unknown_writes", "Writes of which nobody knows whether they happened", &self.unknown),
            ("refused_too_large", "Values that were larger than the mesh keeps", &self.refused),
            ("damaged_records", "Records that could not be read", &self.damaged),
            ("given_bytes", "Bytes of values as they were given", &self.bytes_given),
            ("stored_bytes", "Bytes of the same values as they were stored", &self.bytes_stored),
            ("resyncs", "Watches that had to begin anew", &self.resyncs),
            ("near_hits", "Reads that the near cache served", &self.near.hits),
            ("near_misses", "Reads that the near cache could not serve", &self.near.misses),
            ("near_evicted_entries", "Entries that a bound pushed out of the near cache", &self.near.evictions),
            ("near_invalidated_keys", "Keys that the server named as changed", &self.near.invalidations),
            ("near_overtaken_fills", "Values that were not kept because they had changed while they were read", &self.near.overtaken),
            ("near_emptied", "Times the near cache was emptied because a server was not heard", &self.near.emptied),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.get(),
            found: self.found.get(),
            writes: self.writes.get(),
            appends: self.appends.get(),
            conflicts: self.conflicts.get(),
            unknown: self.unknown.get(),
            refused: self.refused.get(),
            damaged: self.damaged.get(),
            bytes_given: self.bytes_given.get(),
            bytes_stored: self.bytes_stored.get(),
            resyncs: self.resyncs.get(),
            near_hits: self.near.hits.get(),
            near_misses: self.near.misses.get(),
            near_evictions: self.near.evictions.get(),
            near_invalidations: self.near.invalidations.get(),
            near_overtaken: self.near.overtaken.get(),
            near_emptied: self.near.emptied.get(),
        }
    }
}
