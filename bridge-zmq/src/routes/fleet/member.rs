//! One name: its services, the ports of ours that lead there, and the connections to its replicas on this machine.

use std::fmt;
use std::net::SocketAddr;

use hashbrown::HashMap;

use super::super::service::Service;
use crate::discovery::agent::AgentName;
use crate::discovery::attach::Attached;
use crate::front::{Connector, ConnectorState, Endpoint, Listener};

/// One name.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) main: Served,
    pub(super) health: Option<Served>,
    /// Another machine that serves it.
    elsewhere: Option<Box<str>>,
}

/// One socket of an agent, and the port of ours that leads to it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) service: Service,
    pub(super) listener: Listener,
    /// By the endpoint of the replica's *service* socket, also for its health socket: that is what names a replica.
    pub(super) replicas: HashMap<SocketAddr, (SocketAddr, Connector)>,
}

/// Where an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On this machine, connected or about to be.
    Here,
    /// On the machine of this name.
    Elsewhere(String),
    /// It was on another machine, and is on none that is known.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "here",
            Self::Elsewhere(host) => host,
            Self::Nowhere => "nowhere",
        })
    }
}

/// An agent as `agents` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStatus {
    /// The name it registered under.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// Our port in front of it.
    pub port: u16,
    /// Our port in front of its health socket.
    pub health_port: Option<u16>,
    /// Where its replicas on this machine listen.
    pub endpoints: Vec<SocketAddr>,
    /// How many of them are connected now.
    pub connected: usize,
    /// Requests that wait for one of them.
    pub waiting: usize,
    /// The bytes of their payloads.
    pub waiting_bytes: usize,
}

impl Served {
    pub(super) fn new(service: Service, listener: Listener) -> Self {
        Self { service, listener, replicas: HashMap::new() }
    }

    pub(super) fn connect(&mut self, replica: SocketAddr, socket: SocketAddr) {
        // A registration is news: an agent that has come back is tried at once, not when the pause that its absence has earned it is over.
        let is_kept = |(known, connector): &(SocketAddr, Connector)| {
            *known == socket && matches!(*connector.state().borrow(), ConnectorState::Connected { .. })
        };
        if self.replicas.get(&replica).is_some_and(is_kept) {
            return;
        }
        let connector = self.service.connect_agent(&Endpoint::from(socket));
        self.replicas.insert(replica, (socket, connector));
    }
}

impl Member {
    pub(super) fn new(main: Served) -> Self {
        Self { main, health: None, elsewhere: None }
    }

    pub(super) fn add_health(&mut self, health: Served) {
        health.service.set_elsewhere(self.elsewhere.is_some());
        self.health = Some(health);
    }

    /// Another machine serves the name, or none does.
    pub(super) fn locate(&mut self, host: Option<&str>) {
        if self.elsewhere.as_deref() == host {
            return;
        }
        self.elsewhere = host.map(Into::into);
        for served in std::iter::once(&self.main).chain(&self.health) {
            served.service.set_elsewhere(host.is_some());
        }
    }

    /// An agent of this machine that is not connected may be back any moment, unless another machine has it.
    fn place(&self) -> Place {
        match &self.elsewhere {
            Some(host) if self.main.service.agents_connected() == 0 => Place::Elsewhere(host.to_string()),
            None if self.main.replicas.is_empty() => Place::Nowhere,
            Some(_) | None => Place::Here,
        }
    }

    pub(super) fn ports(&self) -> Attached {
        Attached {
            service_port: self.main.listener.local_addr().port(),
            health_port: self.health.as_ref().map(|served| served.listener.local_addr().port()),
        }
    }

    pub(super) fn status(&self, name: &AgentName) -> MemberStatus {
        let (ports, waiting) = (self.ports(), self.main.service.waiting());
        MemberStatus {
            name: name.to_string(),
            place: self.place(),
            port: ports.service_port,
            health_port: ports.health_port,
            endpoints: self.main.replicas.keys().copied().collect(),
            connected: self.main.service.agents_connected(),
            waiting: waiting.messages,
            waiting_bytes: waiting.bytes,
        }
    }
}
