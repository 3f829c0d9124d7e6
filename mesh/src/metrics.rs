//! What the mesh counts. Handles work unregistered, so that a library user needs no registry.

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
}

impl Metrics {
    /// Makes the counters visible under `myelin_mesh_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_mesh");
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
        }
    }
}
