//! Who is registered: the synchronous core of discovery.
//!
//! Invariants:
//! - *bounded*: never more agents, replicas or bytes than [`RegistryLimits`] say. What does not fit is refused; nothing is
//!   evicted to make room, because an agent registers once and could not come back.
//! - *findable*: every agent has at least one replica, the latest registration last.
//! - *disjoint*: no port of ours that is in use is ever taken for an agent's, which would connect us to ourselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use hashbrown::HashSet;
use thiserror::Error;

use super::agent::{Agent, AgentName, Registration, Replica};
use super::attach::Attached;

/// How much is registered at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryLimits {
    /// Agents. Default 16,384, as many as connections.
    pub agents_max: usize,
    /// Replicas of one agent. Default 16.
    pub replicas_max: usize,
    /// Bytes of one agent's name and card. Default 16 KiB, some thirty times the usual.
    pub entry_bytes_max: usize,
    /// Bytes of all names and cards. Default 32 MiB, which is 2 KiB for each of [`RegistryLimits::agents_max`].
    pub bytes_max: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self {
            agents_max: myelin_bus::wire::limits::CONNECTIONS_MAX,
            replicas_max: 16,
            entry_bytes_max: 16 * 1024,
            bytes_max: 32 * 1024 * 1024,
        }
    }
}

/// Why a registration was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// As many agents as allowed are registered.
    #[error("registry is full: {max} agents")]
    AgentsFull {
        /// The limit.
        max: usize,
    },
    /// As many replicas as allowed serve under this name, all of them alive.
    #[error("agent {name} has {max} living replicas already")]
    ReplicasFull {
        /// The name.
        name: AgentName,
        /// The limit.
        max: usize,
    },
    /// The registration alone is too large.
    #[error("registration of {bytes} bytes is over {max}")]
    EntryTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// All registrations together would be too large.
    #[error("registry is full: {max} bytes")]
    BytesFull {
        /// The limit.
        max: usize,
    },
    /// The operator gave the name to something else.
    #[error("name {name} belongs to a configured route")]
    NameReserved {
        /// The name, or that of the agent's health socket.
        name: Box<str>,
    },
    /// The address is one where we serve an agent ourselves.
    #[error("port {port} is a port of the registry itself")]
    OwnPort {
        /// The port.
        port: u16,
    },
}

/// What a registration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The name was unknown.
    New,
    /// The same endpoint registered before.
    Updated,
    /// One more replica: what was registered before still lives.
    Added,
    /// The endpoints registered before are gone.
    Replaced,
}

/// An accepted registration.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The agent as it is now.
    pub agent: Arc<Agent>,
    /// What changed.
    pub change: Change,
    /// Endpoints that no longer serve, and under which name they did.
    pub withdrawn: Vec<(AgentName, SocketAddr)>,
}

/// All agents by name.
#[derive(Debug)]
pub struct Registry {
    limits: RegistryLimits,
    agents: BTreeMap<AgentName, Arc<Agent>>,
    bytes: usize,
    /// The highest [`Replica::order`] given so far.
    order: u64,
    /// Ports of ours that are in use.
    own_ports: HashSet<u16>,
    /// Names that belong to somebody else.
    reserved_names: HashSet<Box<str>>,
}

impl Registry {
    /// An empty registry.
    pub fn new(limits: RegistryLimits) -> Self {
        Self { limits, agents: BTreeMap::new(), bytes: 0, order: 0, own_ports: HashSet::new(), reserved_names: HashSet::new() }
    }

    /// Names a port of ours that no agent can have, such as that of discovery itself.
    pub fn reserve(&mut self, port: u16) {
        self.own_ports.insert(port);
    }

    /// Names what no agent may be called. To be said before agents are restored.
    pub fn reserve_name(&mut self, name: &str) {
        self.reserved_names.insert(name.into());
    }

    /// Takes back an agent from disk, to be attached again. Refused (`false`) when it does not fit any more or is there
    /// already.
    pub fn restore(&mut self, agent: Agent) -> bool {
        let bytes = entry_bytes(&agent);
        let fits = self.agents.len() < self.limits.agents_max
            && bytes <= self.limits.entry_bytes_max
            && self.bytes + bytes <= self.limits.bytes_max
            && (1..=self.limits.replicas_max).contains(&agent.replicas.len())
            && self.reserved(&agent.name, agent.replicas.iter().any(|replica| replica.health.is_some())).is_none();
        if !fits || self.agents.contains_key(&agent.name) {
            return false;
        }
        self.bytes += bytes;
        self.order = agent.replicas.iter().map(|replica| replica.order).fold(self.order, u64::max);
        self.agents.insert(agent.name.clone(), Arc::new(Agent { attached: false, ..agent }));
        true
    }

    /// The endpoints whose life decides what a registration of `name` at `endpoint` means. They must be looked at, and
    /// those found alive given to [`Registry::register`].
    pub fn contested(&self, name: &AgentName, endpoint: SocketAddr) -> Vec<SocketAddr> {
        let Some(agent) = self.agents.get(name) else { return Vec::new() };
        agent.replicas.iter().map(|replica| replica.endpoint).filter(|other| *other != endpoint).collect()
    }

    /// Takes a registration whose address has been checked.
    ///
    /// # Errors
    /// When it does not fit; nothing has changed then.
    pub fn register(
        &mut self,
        registration: &Registration,
        endpoint: SocketAddr,
        seen: Seen<'_>,
        now: SystemTime,
    ) -> Result<Registered, RegistryError> {
        let own = |port: &u16| seen.local && self.own_ports.contains(port);
        if let Some(port) = std::iter::once(endpoint.port()).chain(registration.health_port).find(own) {
            return Err(RegistryError::OwnPort { port });
        }
        if let Some(name) = self.reserved(&registration.name, registration.health_port.is_some()) {
            return Err(RegistryError::NameReserved { name });
        }
        let before = self.agents.get(&registration.name).cloned();
        let (mut replicas, mut withdrawn) = (Vec::new(), Vec::new());
        for replica in before.iter().flat_map(|agent| &agent.replicas).filter(|old| old.endpoint != endpoint) {
            // An endpoint that another name has registered since is alive, but no longer this agent.
            if seen.alive.contains(&replica.endpoint) && !self.taken_over(&registration.name, replica) {
                replicas.push(*replica);
            } else {
                withdrawn.push((registration.name.clone(), replica.endpoint));
            }
        }
        if replicas.len() >= self.limits.replicas_max {
            return Err(RegistryError::ReplicasFull { name: registration.name.clone(), max: self.limits.replicas_max });
        }
        let change = match &before {
            None => Change::New,
            Some(before) if before.replicas.iter().any(|old| old.endpoint == endpoint) => Change::Updated,
            Some(_) if replicas.is_empty() => Change::Replaced,
            Some(_) => Change::Added,
        };
        let health = registration.health_port.map(|port| SocketAddr::new(endpoint.ip(), port));
        replicas.push(Replica { endpoint, health, order: self.order + 1 });
        let agent = Arc::new(Agent {
            name: registration.name.clone(),
            card: registration.card.clone(),
            last_registered: now,
            replicas,
            ports: before.as_ref().and_then(|before| before.ports),
            attached: before.as_ref().is_some_and(|before| before.attached),
        });
        self.admit(&agent, before.as_deref())?;
        self.order += 1;
        withdrawn.extend(self.withdraw_stale(&agent.name, endpoint));
        self.agents.insert(agent.name.clone(), Arc::clone(&agent));
        Ok(Registered { agent, change, withdrawn })
    }

    /// Records the ports under which an agent is served from now on.
    pub fn attached(&mut self, name: &AgentName, ports: Attached) {
        let Some(agent) = self.agents.get_mut(name) else { return };
        let agent = Arc::make_mut(agent);
        if let (true, Some(old)) = (agent.attached, agent.ports) {
            for port in both(old) {
                self.own_ports.remove(&port);
            }
        }
        self.own_ports.extend(both(ports));
        agent.ports = Some(ports);
        agent.attached = true;
    }

    /// An agent by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Agent>> {
        self.agents.get(name)
    }

    /// All agents, ordered by name.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// How many agents there are.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// Bytes of all names and cards.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an agent of this name would need a name that belongs to somebody else.
    pub fn is_reserved(&self, name: &AgentName, has_health: bool) -> bool {
        self.reserved(name, has_health).is_some()
    }

    /// The name that an agent of this name would need, and which is reserved.
    fn reserved(&self, name: &AgentName, has_health: bool) -> Option<Box<str>> {
        let health = has_health.then(|| name.health());
        let taken = |name: &str| self.reserved_names.get(name).cloned();
        taken(name.as_str()).or_else(|| taken(&health?))
    }

    /// Checks and books the size of an entry.
    fn admit(&mut self, agent: &Agent, before: Option<&Agent>) -> Result<(), RegistryError> {
        let bytes = entry_bytes(agent);
        if bytes > self.limits.entry_bytes_max {
            return Err(RegistryError::EntryTooLarge { bytes, max: self.limits.entry_bytes_max });
        }
        if before.is_none() && self.agents.len() >= self.limits.agents_max {
            return Err(RegistryError::AgentsFull { max: self.limits.agents_max });
        }
        let total = self.bytes - before.map_or(0, entry_bytes) + bytes;
        // An update that shrinks an entry is welcome even where a restored registry is over a lowered limit.
        if total > self.limits.bytes_max && total > self.bytes {
            return Err(RegistryError::BytesFull { max: self.limits.bytes_max });
        }
        self.bytes = total;
        Ok(())
    }

    /// Whether another name registered this replica's endpoint later.
    fn taken_over(&self, name: &AgentName, replica: &Replica) -> bool {
        self.agents
            .values()
            .filter(|agent| agent.name != *name)
            .any(|agent| agent.replicas.iter().any(|other| other.endpoint == replica.endpoint && other.order > replica.order))
    }

    /// Takes an endpoint from the other names that have moved on since they registered it. One that has nothing newer
    /// keeps it: two names for one process are legal.
    fn withdraw_stale(&mut self, name: &AgentName, endpoint: SocketAddr) -> Vec<(AgentName, SocketAddr)> {
        let mut withdrawn = Vec::new();
        for agent in self.agents.values_mut().filter(|agent| agent.name != *name) {
            let Some((_latest, older)) = agent.replicas.split_last() else { continue };
            if older.iter().any(|replica| replica.endpoint == endpoint) {
                Arc::make_mut(agent).replicas.retain(|replica| replica.endpoint != endpoint);
                withdrawn.push((agent.name.clone(), endpoint));
            }
        }
        withdrawn
    }
}

/// What the caller of [`Registry::register`] found out about the world.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The contested endpoints that accept connections.
    pub alive: &'a [SocketAddr],
    /// Whether the registered endpoint is on this machine.
    pub local: bool,
}

fn entry_bytes(agent: &Agent) -> usize {
    agent.name.as_str().len() + agent.card.len_bytes()
}

fn both(ports: Attached) -> impl Iterator<Item = u16> {
    std::iter::once(ports.service_port).chain(ports.health_port)
}
