//! The list of attached agents, as `myelin agents` and `$MYELIN.API.AGENTS.LIST` show it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
