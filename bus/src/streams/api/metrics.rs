//! What the server of streams counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Counters of one server. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct StreamServerMetrics {
    pub(super) requests: Counter,
    pub(super) captured: Counter,
    pub(super) not_captured: Counter,
    pub(super) buried: Counter,
    pub(super) workers_gone: Counter,
}

impl StreamServerMetrics {
    /// Makes the counters visible under `myelin_streams_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_streams");
        registry.register("requests", "Requests about streams and consumers that were answered", self.requests.clone());
        registry.register(
            "captured_messages",
            "Plain publishes that a stream stored because they were on its subjects",
            self.captured.clone(),
        );
        registry.register(
            "uncaptured_messages",
            "Plain publishes on a stream's subjects that it refused, being full or closed, and whose publisher did not ask to be told",
            self.not_captured.clone(),
        );
        registry.register(
            "buried_messages",
            "Plain publishes on a stream's subjects that became dead letters, being too large for it or unreadable",
            self.buried.clone(),
        );
        registry.register(
            "released_messages",
            "Messages that were given to another worker because nobody listened any more on the inbox they were sent to",
            self.workers_gone.clone(),
        );
    }
}
