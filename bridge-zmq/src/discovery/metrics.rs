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
    pub(super) fleet: FleetMetrics,
}

/// What an operator sees of the sidecars of other machines.
#[derive(Clone, Debug, Default)]
pub(super) struct FleetMetrics {
    nodes: Gauge,
    names: Gauge,
    sent: Counter,
    received: Counter,
    malformed: Counter,
    refused: Counter,
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
        self.fleet.register(registry);
    }

    pub(super) fn answered(&self, verb: Verb, outcome: Outcome) {
        self.requests.get_or_create(&RequestLabels { verb, outcome }).inc();
    }

    pub(super) fn agents(&self, count: usize) {
        self.agents.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

impl FleetMetrics {
    fn register(&self, registry: &mut Registry) {
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| registry.register(format!("myelin_zmq_fleet_{name}"), help, gauge.clone());
        gauge("nodes", "Sidecars of other machines that are known", &self.nodes);
        gauge("names", "Agent names that other machines serve", &self.names);
        let mut counter =
            |name: &str, help: &str, counter: &Counter| registry.register(format!("myelin_zmq_fleet_{name}"), help, counter.clone());
        counter("announcements_sent", "Messages to all other sidecars that the network has taken", &self.sent);
        counter("announcements_received", "Messages of other sidecars to all", &self.received);
        counter("messages_malformed", "Messages between sidecars that could not be read", &self.malformed);
        counter("entries_refused", "Sidecars and names that were left out because too many are known", &self.refused);
    }

    /// How many other sidecars are known, and how many names, if that may have changed.
    pub(super) fn known(&self, nodes: usize, names: Option<usize>) {
        self.nodes.set(i64::try_from(nodes).unwrap_or(i64::MAX));
        if let Some(names) = names {
            self.names.set(i64::try_from(names).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn sent(&self) {
        self.sent.inc();
    }

    pub(super) fn received(&self) {
        self.received.inc();
    }

    pub(super) fn malformed(&self) {
        self.malformed.inc();
    }

    pub(super) fn refused(&self, entries: usize) {
        self.refused.inc_by(entries as u64);
    }
}
