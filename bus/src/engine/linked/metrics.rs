//! What a link counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of one link. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct LinkMetrics {
    pub(super) connected: Gauge,
    pub(super) nodes: Gauge,
    pub(super) sent: Counter,
    pub(super) arrived: Counter,
    pub(super) unwanted: Counter,
    pub(super) spilled: Counter,
    pub(super) returned: Counter,
    pub(super) announced: Counter,
    pub(super) heard: Counter,
    pub(super) malformed: Counter,
}

impl LinkMetrics {
    /// Makes the counters visible under `myelin_link_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_link");
        registry.register("connected", "1 while the NATS servers can be reached, else 0", self.connected.clone());
        registry.register("nodes", "Other machines that have said something lately", self.nodes.clone());
        registry.register("sent_messages", "Messages that were sent to other machines", self.sent.clone());
        registry.register("arrived_messages", "Messages that came from other machines", self.arrived.clone());
        registry.register(
            "unwanted_messages",
            "Messages that stayed here because nobody elsewhere listens to their subject",
            self.unwanted.clone(),
        );
        registry.register(
            "spilled_requests",
            "Requests that went to other machines although agents here serve their subject: those were busy or away",
            self.spilled.clone(),
        );
        registry.register(
            "returned_requests",
            "Spilled requests that nobody elsewhere serves and that wait here instead",
            self.returned.clone(),
        );
        registry.register("announcements_sent", "Words to other machines about who listens here", self.announced.clone());
        registry.register("announcements_heard", "Words of other machines about who listens there", self.heard.clone());
        registry.register("announcements_malformed", "Such words that could not be read", self.malformed.clone());
    }
}
