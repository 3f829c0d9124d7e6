//! What discovery knows of an agent.

use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use myelin_bus::wire::limits::AGENT_ID_BYTES_MAX;
use thiserror::Error;

use super::attach::Attached;
use super::json::{Json, Text, render};

/// The name an agent registers under: any text of 1 to 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(Arc<str>);

/// A name that no agent can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("agent name must be text of 1 to {AGENT_ID_BYTES_MAX} bytes")]
pub struct NameError;

impl AgentName {
    /// Takes a name.
    ///
    /// # Errors
    /// [`NameError`] when it is empty or too long.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > AGENT_ID_BYTES_MAX {
            return Err(NameError);
        }
        Ok(Self(name.into()))
    }

    /// Takes a name as it stands in a request.
    ///
    /// # Errors
    /// [`NameError`], also when it holds a lone surrogate.
    pub fn from_text(name: &Text) -> Result<Self, NameError> {
        Self::new(&name.decode().ok_or(NameError)?)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the service in front of its health socket.
    pub fn health(&self) -> String {
        format!("{}.health", self.0)
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For looking names up in a map without making one.
impl Borrow<str> for AgentName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What an agent says about itself beyond its address, each value as it came, in the printed form of [`render`].
///
/// Printed text is a fraction of a parsed tree's memory, and these values are only ever printed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// `agent_type`
    pub agent_type: Box<str>,
    /// `capabilities`
    pub capabilities: Box<str>,
    /// `dependencies`
    pub dependencies: Box<str>,
    /// `metadata`
    pub metadata: Box<str>,
}

impl Card {
    /// Collects the fields from wherever `field` finds them; what is missing gets an empty value of the usual type.
    pub(super) fn collect<'a>(field: impl Fn(&str) -> Option<&'a Json>) -> Self {
        let printed = |keys: &[&str], missing: &str| -> Box<str> {
            let value = keys.iter().find_map(|key| field(key));
            value.map_or_else(|| missing.into(), |value| render(value).into())
        };
        Self {
            agent_type: printed(&["agent_type", "type"], "\"unknown\""),
            capabilities: printed(&["capabilities"], "[]"),
            dependencies: printed(&["dependencies"], "[]"),
            metadata: printed(&["metadata"], "{}"),
        }
    }

    /// Bytes that the values occupy.
    pub fn len_bytes(&self) -> usize {
        self.agent_type.len() + self.capabilities.len() + self.dependencies.len() + self.metadata.len()
    }
}

/// A registration as it was sent, its address not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Under which name the agent wants to be found.
    pub name: AgentName,
    /// Where it says it runs; none when it does not say.
    pub host: Option<String>,
    /// The port of its service socket.
    pub port: u16,
    /// The port of its health socket.
    pub health_port: Option<u16>,
    /// Everything else.
    pub card: Card,
}

/// One process that serves under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where its service socket listens.
    pub endpoint: SocketAddr,
    /// Where its health socket listens.
    pub health: Option<SocketAddr>,
    /// Counts registrations of all agents: the higher one came later, whatever the clock did.
    pub order: u64,
}

/// A name, who serves it, and where we serve it to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The name.
    pub name: AgentName,
    /// What the latest registration said.
    pub card: Card,
    /// When that was.
    pub last_registered: SystemTime,
    /// Who serves; never empty, the latest registration last.
    pub replicas: Vec<Replica>,
    /// Our ports for this name: in use when [`Agent::attached`], else those to ask for first.
    pub ports: Option<Attached>,
    /// Whether our ports are bound in this process.
    pub attached: bool,
}
