//! What is counted of requests about memory. What the mesh does is counted by the mesh, under the same prefix.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::store::Store;

/// Handles that work unregistered. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryMetrics {
    pub(super) requests: Counter,
    pub(super) failed: Counter,
    pub(super) overloaded: Counter,
    pub(super) watches: Gauge,
    pub(super) told: Counter,
}

impl MemoryMetrics {
    /// Makes them visible under `myelin_memory_…`, with what is read of the store when somebody asks.
    pub(crate) fn register(&self, store: &Store, registry: &mut Registry) {
        registry.register_collector(Box::new(StoreCollector(store.clone())));
        let registry = registry.sub_registry_with_prefix("myelin_memory");
        registry.register("requests", "Requests about memory", self.requests.clone());
        registry.register(
            "failed_requests",
            "Requests about memory that were answered by an error, conflicts included",
            self.failed.clone(),
        );
        registry.register(
            "overloaded_requests",
            "Requests about memory that were refused because too many were at work",
            self.overloaded.clone(),
        );
        registry.register("watches", "Watches of other processes", self.watches.clone());
        registry.register("told_events", "Events that watches of other processes were told", self.told.clone());
    }
}

/// The store at the moment.
#[derive(Debug)]
struct StoreCollector(Store);

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: u64| -> Result<(), std::fmt::Error> {
            let metric = ConstGauge::new(value as f64);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("myelin_memory_reachable", "Whether the store of the memory answered when it was last asked", self.0.is_reachable().into())?;
        let Some((entries, bytes)) = self.0.ready().and_then(|mesh| mesh.near_size()) else { return Ok(()) };
        gauge("myelin_memory_near_entries", "Entries in the near cache", entries as u64)?;
        gauge("myelin_memory_near_bytes", "Bytes of the near cache, with what keeping them costs", bytes)
    }
}
