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
    /// `connected`, or `away` while we try to reach it.
    pub(crate) state: String,
    /// Where it can be reached on the bus.
    pub(crate) subject: String,
    /// Where the agent itself listens, or connects from.
    pub(crate) endpoints: Vec<String>,
    /// Our port that leads to it.
    pub(crate) local_port: Option<u16>,
    /// Our port that leads to its health socket.
    pub(crate) health_port: Option<u16>,
    /// `registration` or `route`.
    pub(crate) source: String,
    /// Requests that wait for it.
    pub(crate) waiting: usize,
}

/// The reply to `$MYELIN.API.AGENTS.LIST`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentsReply {
    pub(crate) agents: Vec<AgentEntry>,
}
