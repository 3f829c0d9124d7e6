//! The list of attached agents, as `myelin agents` and `$MYELIN.API.AGENTS.LIST` show it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::presence::PresenceEntry;
use super::zmq::Amount;

/// Where the list comes from. A closure and no trait, because there is exactly one place that knows (`build.rs`).
pub(super) type AgentsSource = Arc<dyn Fn() -> Vec<AgentEntry> + Send + Sync>;

/// One attached agent, or several replicas under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentEntry {
    /// The name it registered under, or the name of its route.
    pub(crate) name: String,
    /// `connected`, `away` while we try to reach it, or `elsewhere` when another machine's sidecar is connected to it.
    pub(crate) state: String,
    /// `here`, the name of the machine that has it, or `nowhere` for one that was on another machine and is not any more.
    #[serde(default = "here")]
    pub(crate) place: String,
    /// Where it can be reached on the bus.
    pub(crate) subject: String,
    /// Where the agent itself listens, or connects from.
    pub(crate) endpoints: Vec<String>,
    /// Our port that leads to it; none for a route's, and for one of another machine that nobody here has asked for.
    pub(crate) local_port: Option<u16>,
    /// Our port that leads to its health socket.
    pub(crate) health_port: Option<u16>,
    /// `registration` or `route`.
    pub(crate) source: String,
    /// Requests that wait for it.
    pub(crate) waiting: usize,
    /// What presence knows of it; none for one that has not been seen alive, and from a sidecar of an earlier release.
    #[serde(default)]
    pub(crate) presence: Option<PresenceEntry>,
    /// What it answered last when it was asked for its health.
    #[serde(default)]
    pub(crate) document: Option<String>,
    /// What has passed between it and its sidecar.
    #[serde(default)]
    pub(crate) traffic: Option<AgentTraffic>,
}

/// Messages and bytes to and from an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentTraffic {
    pub(crate) sent: Amount,
    pub(crate) received: Amount,
}

/// Adds what else is known of agents that are attached here.
pub(super) fn complete(entries: &mut [AgentEntry]) {
    for entry in entries.iter_mut().filter(|entry| entry.place == here()) {
        entry.document = document(&entry.name);
        entry.traffic = traffic(&entry.name);
    }
}

/// The last health document of an agent of this machine, where somebody asks for it.
fn document(_name: &str) -> Option<String> {
    None
}

/// What has passed between an agent of this machine and us, where that is counted.
fn traffic(_name: &str) -> Option<AgentTraffic> {
    None
}

/// What a sidecar of an earlier release means.
pub(super) fn here() -> String {
    "here".to_owned()
}

/// The reply to `$MYELIN.API.AGENTS.LIST`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentsReply {
    pub(crate) agents: Vec<AgentEntry>,
}
