//! What a listener counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of one listener. Cloning shares them; unregistered they count for nobody.
#[derive(Debug, Clone, Default)]
pub struct ListenerMetrics {
    pub(super) connections: Gauge,
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) slow_consumers: Counter,
    pub(super) stale: Counter,
    pub(super) protocol_errors: Counter,
    pub(super) invalid_subjects: Counter,
    pub(super) dropped: Counter,
}

impl ListenerMetrics {
    /// Makes the counters visible under `myelin_bus_listener_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_bus_listener");
        registry.register("connections", "NATS clients connected now", self.connections.clone());
        registry.register("accepted_connections", "NATS clients that connected", self.accepted.clone());
        registry.register("refused_connections", "Connections beyond the maximum, told so and closed", self.refused.clone());
        registry.register("slow_consumers", "Clients cut off because they did not read what waited for them", self.slow_consumers.clone());
        registry.register("stale_connections", "Clients cut off because they answered no PING", self.stale.clone());
        registry.register("protocol_errors", "Clients cut off because they broke the protocol", self.protocol_errors.clone());
        registry.register(
            "invalid_subjects",
            "Publishes and subscriptions with a subject that cannot exist",
            self.invalid_subjects.clone(),
        );
        registry.register("dropped_messages", "Messages for clients that were gone or cut off before reading them", self.dropped.clone());
    }

    /// Clients connected now.
    pub fn connections(&self) -> u64 {
        u64::try_from(self.connections.get()).unwrap_or(0)
    }

    /// Clients cut off so far because they did not read.
    pub fn slow_consumers(&self) -> u64 {
        self.slow_consumers.get()
    }
}
