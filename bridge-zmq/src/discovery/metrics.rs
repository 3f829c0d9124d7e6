//! What an operator sees of discovery.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::dialect::Request;

/// Handles of all metrics of discovery. The default is registered nowhere and costs the same.
#[derive(Clone, Debug, Default)]
pub struct DiscoveryMetrics {
    requests: Family<RequestLabels, Counter>,
    agents: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: Verb,
    outcome: Outcome,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Verb {
    Register,
    Lookup,
    List,
    Health,
    Malformed,
}

impl From<&Request> for Verb {
    fn from(request: &Request) -> Self {
        match request {
            Request::Register(_) => Self::Register,
            Request::Lookup { .. } => Self::Lookup,
            Request::List => Self::List,
            Request::Health => Self::Health,
        }
    }
}

/// How it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Outcome {
    Done,
    Unknown,
    Unreachable,
    Refused,
    Busy,
    Dropped,
    AttachFailed,
}

impl DiscoveryMetrics {
    /// Registers all of them under `myelin_zmq_discovery_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "myelin_zmq_discovery_requests",
            "Requests to the registry, by what was asked and how it was answered",
            self.requests.clone(),
        );
        registry.register("myelin_zmq_discovery_agents", "Agents in the registry", self.agents.clone());
    }

    pub(super) fn answered(&self, verb: Verb, outcome: Outcome) {
        self.requests.get_or_create(&RequestLabels { verb, outcome }).inc();
    }

    pub(super) fn agents(&self, count: usize) {
        self.agents.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
