//! What is counted of the talk between sidecars about polls. Handles work unregistered.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The counters; clones share them.
#[derive(Clone, Debug, Default)]
pub struct HealthMetrics {
    messages: Counter,
    bytes: Counter,
    malformed: Counter,
    checks: Counter,
    documents: Gauge,
    sidecars: Gauge,
    checked: Gauge,
}

impl HealthMetrics {
    /// Makes the counters visible under `myelin_health_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_health");
        registry.register("messages_sent", "Messages to other sidecars about polls", self.messages.clone());
        registry.register("messages_sent_bytes", "Their bytes", self.bytes.clone());
        registry.register("messages_malformed", "Messages of other sidecars about polls that cannot be read", self.malformed.clone());
        registry.register("checks", "Requests to agents of this machine, for polls of other machines", self.checks.clone());
        registry.register("documents", "Answers of agents elsewhere that are known here", self.documents.clone());
        registry.register("leases", "Sidecars that tell of their agents", self.sidecars.clone());
        registry.register("checked", "Requests that agents of this machine are asked again and again for others", self.checked.clone());
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.messages.inc();
        self.bytes.inc_by(bytes as u64);
    }

    pub(super) fn malformed(&self) {
        self.malformed.inc();
    }

    pub(super) fn checked(&self) {
        self.checks.inc();
    }

    pub(super) fn known(&self, documents: usize, sidecars: usize, checked: usize) {
        for (gauge, value) in [(&self.documents, documents), (&self.sidecars, sidecars), (&self.checked, checked)] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
