//! Presence of this machine: begun here, shown by `myelin agents` and `$MYELIN.API.AGENTS.LIST`.

use std::collections::HashMap;
use std::time::SystemTime;

use myelin_bus::Bus;
use myelin_bus::presence::{Agent, Presence, PresenceConfig, PresenceMetrics};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use super::agents::AgentEntry;
use super::error::BuildError;
use crate::config::Config;

/// Where the list of agents has those from that are known by presence alone.
const SOURCE: &str = "presence";

/// An agent as presence knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PresenceEntry {
    /// `alive`, `asleep`, `suspect`, `dead` or `left`.
    pub(crate) state: String,
    /// Why, in a few words.
    pub(crate) reason: String,
    /// When it entered that state: Unix milliseconds, by the clock of whoever answers.
    pub(crate) since_ms: u64,
    pub(crate) incarnation: u64,
    /// What its machine is called; empty if it has no name.
    pub(crate) machine: String,
    /// The process that speaks for it.
    pub(crate) node: String,
    pub(crate) kind: String,
    pub(crate) capabilities: Vec<String>,
    pub(crate) reachable: bool,
    pub(crate) ready: bool,
    /// Per cent.
    pub(crate) busy: u8,
    /// What its last health check said, if there was one.
    pub(crate) healthy: Option<bool>,
    pub(crate) metadata: Vec<(String, String)>,
}

/// Begins presence on the bus of the sidecar.
pub(super) fn start(config: &Config, bus: &Bus, registry: &mut Registry) -> Result<Presence, BuildError> {
    let metrics = PresenceMetrics::default();
    metrics.register(registry);
    let mut settings = PresenceConfig::default();
    (settings.machine, settings.metrics) = (config.serve.host.as_str().into(), metrics);
    bus.presence_with(&settings).map_err(|error| BuildError::setting(config, "serve.host", &error))
}

impl PresenceEntry {
    pub(crate) fn new(agent: &Agent) -> Self {
        let since = SystemTime::now().checked_sub(agent.age()).unwrap_or(SystemTime::UNIX_EPOCH);
        let card = &agent.card;
        Self {
            state: agent.state.to_string(),
            reason: agent.reason.to_string(),
            since_ms: super::zmq::unix_ms(since),
            incarnation: agent.incarnation,
            machine: agent.machine.to_string(),
            node: agent.node.to_string(),
            kind: card.kind_of().to_owned(),
            capabilities: card.capabilities().map(str::to_owned).collect(),
            reachable: agent.axes.reachable,
            ready: agent.axes.ready,
            busy: agent.axes.busy,
            healthy: agent.axes.healthy,
            metadata: card.metadata_of().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// Adds what presence knows to a list of agents, and the agents that only presence knows.
pub(super) fn join(entries: &mut Vec<AgentEntry>, presence: &Presence) {
    let own = presence.node();
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        by_name.entry(entry.name.clone()).or_default().push(at);
    }
    // By name, the living first: the first that fits an entry is the one it is about.
    for agent in presence.list() {
        let place = if agent.node == own { super::agents::here() } else { agent.machine.to_string() };
        let of_name = by_name.get(agent.id().as_str()).map_or(&[][..], Vec::as_slice);
        match of_name.iter().find(|at| entries[**at].presence.is_none() && entries[**at].place == place) {
            Some(at) => entries[*at].presence = Some(PresenceEntry::new(&agent)),
            None => entries.push(alone(&agent, place)),
        }
    }
}

/// An agent that has not registered with a sidecar that we know.
fn alone(agent: &Agent, place: String) -> AgentEntry {
    AgentEntry {
        name: agent.id().to_string(),
        state: agent.state.to_string(),
        place,
        subject: agent.card.requests_at().to_string(),
        endpoints: Vec::new(),
        local_port: None,
        health_port: None,
        source: SOURCE.to_owned(),
        waiting: 0,
        presence: Some(PresenceEntry::new(agent)),
        document: None,
        traffic: None,
    }
}
