//! What presence counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of one process's presence. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct PresenceMetrics {
    pub(super) sent: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) received: Counter,
    pub(super) received_bytes: Counter,
    pub(super) malformed: Counter,
    pub(super) refused: Counter,
    pub(super) resyncs: Counter,
    pub(super) nodes: Gauge,
    pub(super) agents: Gauge,
    pub(super) agents_bytes: Gauge,
}

impl PresenceMetrics {
    /// Makes the counters visible under `myelin_presence_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_presence");
        registry.register("messages_sent", "Messages about this process's agents, beats among them", self.sent.clone());
        registry.register("bytes_sent", "Bytes of those messages", self.sent_bytes.clone());
        registry.register("messages_received", "Messages about agents of other processes", self.received.clone());
        registry.register("bytes_received", "Bytes of those messages", self.received_bytes.clone());
        registry.register("messages_malformed", "Messages that could not be read and were left out", self.malformed.clone());
        registry.register("refused", "Processes and agents that were left out because too many are known", self.refused.clone());
        registry.register("watch_resyncs", "Watchers that were too slow and had to begin anew", self.resyncs.clone());
        registry.register("nodes", "Other processes with agents that are known", self.nodes.clone());
        registry.register("agents", "Agents of other processes that are known", self.agents.clone());
        registry.register("agents_bytes", "Bytes that those take, roughly", self.agents_bytes.clone());
    }

    /// What this process has said so far: messages, and their bytes.
    pub fn sent(&self) -> (u64, u64) {
        (self.sent.get(), self.sent_bytes.get())
    }
}
