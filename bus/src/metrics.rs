//! What the bus counts. Handles work unregistered, so that a library user needs no registry.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::Overflow;

/// Counters of one bus. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) published: Counter,
    pub(crate) delivered: Counter,
    pub(crate) requests: Counter,
    pub(crate) no_responders: Counter,
    pub(crate) late_replies: Counter,
    pub(crate) refused_too_large: Counter,
    dropped: Family<PolicyLabel, Counter>,
    /// The children of `dropped`, so that a drop takes no lock of the family.
    dropped_by: [Counter; Overflow::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabel {
    policy: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let dropped = Family::<PolicyLabel, Counter>::default();
        let dropped_by = Overflow::ALL.map(|policy| dropped.get_or_create(&PolicyLabel { policy: policy.as_str() }).clone());
        Self {
            published: Counter::default(),
            delivered: Counter::default(),
            requests: Counter::default(),
            no_responders: Counter::default(),
            late_replies: Counter::default(),
            refused_too_large: Counter::default(),
            dropped,
            dropped_by,
        }
    }
}

impl Metrics {
    /// Makes the counters visible under `myelin_bus_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("myelin_bus");
        registry.register("published_messages", "Messages that were published on this bus", self.published.clone());
        registry.register(
            "delivered_messages",
            "Messages handed to subscribers and queue groups, one per receiver",
            self.delivered.clone(),
        );
        registry.register("dropped_messages", "Messages that a full subscription lost, by its policy", self.dropped.clone());
        registry.register("requests", "Requests made by this process", self.requests.clone());
        registry.register("no_responders", "Requests that nobody was subscribed to", self.no_responders.clone());
        registry.register("late_replies", "Replies that nobody waited for any more", self.late_replies.clone());
        registry.register(
            "refused_too_large",
            "Messages and replies that were larger than the bus carries",
            self.refused_too_large.clone(),
        );
    }

    pub(crate) fn dropped(&self, policy: Overflow) -> &Counter {
        &self.dropped_by[policy as usize]
    }
}
