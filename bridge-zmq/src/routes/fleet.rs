//! Agents that discovery has found: each name becomes a service with ports of ours, with no configuration.
//!
//! An agent `X` gets the service `X` behind one port, and if it has a health socket, `X.health` behind a second. An agent of another machine gets the
//! same without a connection to it: what its callers here ask goes over the bus to whoever serves it. Ports come from a range outside
//! the kernel's ephemeral ports, so that after a restart nobody else holds the port that clients have cached; a name asks for its old port first.
//!
//! Bounds: what discovery's registry admits; one name has at most two listeners.

mod member;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::member::{Member, Served};
use super::RouteContext;
use super::service::{Service, ServiceConfig};
use crate::discovery::agent::AgentName;
use crate::discovery::attach::{AttachError, Attached, Attacher, Attachment, Opening};
use crate::front::{BindError, ConnectorState, Endpoint, Listener};

pub use self::member::{MemberStatus, Place};

/// What metrics count attached agents as.
const GROUP: &str = "attached agents";

/// Where and how attached agents are served.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// The address our ports are bound to; loopback by default.
    pub host: IpAddr,
    /// The ports to choose from; 17000 to 21999 by default.
    pub ports: RangeInclusive<u16>,
    /// How each agent's requests are treated.
    pub service: ServiceConfig,
}

/// All attached agents. Dropping it closes their ports.
#[derive(Debug)]
pub struct Fleet {
    context: RouteContext,
    config: FleetConfig,
    /// Discovery never works on one name twice at a time.
    names: Mutex<HashMap<AgentName, Member>>,
}

impl Fleet {
    /// A fleet without members.
    #[must_use]
    pub fn new(context: &RouteContext, config: FleetConfig) -> Arc<Self> {
        // Agents choose their names themselves, so there is no end to them.
        let context = RouteContext { front: context.front.for_group(GROUP), ..context.clone() };
        Arc::new(Self { context, config, names: Mutex::default() })
    }

    /// What discovery calls.
    #[must_use]
    pub fn attacher(self: &Arc<Self>) -> Attacher {
        let (attach, detach, open, locate) = (Arc::clone(self), Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let attacher = Attacher::new(
            move |attachment| {
                let fleet = Arc::clone(&attach);
                async move { fleet.attach(attachment).await }
            },
            move |name, endpoint| {
                let fleet = Arc::clone(&detach);
                async move { fleet.detach(&name, endpoint) }
            },
        );
        attacher.with_elsewhere(
            move |opening| {
                let fleet = Arc::clone(&open);
                async move { fleet.open(opening).await }
            },
            move |name, host| locate.locate(name, host),
        )
    }

    /// Every attached agent, by name.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        let names = self.names.lock();
        let mut members: Vec<_> = names.iter().map(|(name, member)| member.status(name)).collect();
        members.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        members
    }

    /// What the connections to the replicas of an agent are doing; none for an agent that is not here.
    #[must_use]
    pub fn connections(&self, name: &str) -> Vec<watch::Receiver<ConnectorState>> {
        let names = self.names.lock();
        let replicas = names.get(name).into_iter().flat_map(|member| member.main.replicas.values());
        replicas.map(|(_, connector)| connector.state()).collect()
    }

    /// Requests that attached agents work on now, by name, see [`Service::replies_owed`].
    #[must_use]
    pub fn replies_owed(&self) -> Vec<(String, usize)> {
        let names = self.names.lock();
        let served =
            |member: &Member| std::iter::once(&member.main).chain(&member.health).map(|served| served.service.replies_owed()).sum();
        names.iter().map(|(name, member)| (name.to_string(), served(member))).collect()
    }

    /// Binds what is missing, then notes everything at once: a call that is cancelled halfway leaves things as they were.
    async fn attach(&self, attachment: Attachment) -> Result<Attached, AttachError> {
        let Attachment { name, endpoint, health, preferred } = attachment;
        self.bind_missing(&name, health.is_some(), preferred).await?;
        let mut names = self.names.lock();
        let member = names.get_mut(&name).ok_or_else(|| AttachError { reason: "agent is being detached, try again".to_owned() })?;
        member.main.connect(endpoint, endpoint);
        let former = match (&mut member.health, health) {
            (Some(served), Some(health)) => {
                served.connect(endpoint, health);
                None
            }
            // It came back without a health socket; what had that port may be somebody else by now.
            (Some(served), None) => served.replicas.remove(&endpoint),
            (None, _) => None,
        };
        let ports = member.ports();
        drop(names);
        drop(former);
        Ok(ports)
    }

    /// Binds what is missing for a name of another machine: its requests find their way on the bus.
    async fn open(&self, opening: Opening) -> Result<Attached, AttachError> {
        let Opening { name, has_health, preferred } = opening;
        self.bind_missing(&name, has_health, preferred).await?;
        let names = self.names.lock();
        names.get(&name).map(Member::ports).ok_or_else(|| AttachError { reason: "name is being given up, try again".to_owned() })
    }

    /// Another machine serves a name from now on, or none does.
    fn locate(&self, name: &AgentName, host: Option<&str>) {
        if let Some(member) = self.names.lock().get_mut(name) {
            member.locate(host);
        }
    }

    async fn bind_missing(&self, name: &AgentName, has_health: bool, preferred: Option<Attached>) -> Result<(), AttachError> {
        let (has_main, had_health) = match self.names.lock().get(name) {
            Some(member) => (true, member.health.is_some()),
            None => (false, false),
        };
        let main = match has_main {
            true => None,
            false => Some(self.serve(name.as_str(), preferred.map(|ports| ports.service_port)).await?),
        };
        let health = match has_health && !had_health {
            true => Some(self.serve(&name.health(), preferred.and_then(|ports| ports.health_port)).await?),
            false => None,
        };
        let mut names = self.names.lock();
        if let Some(main) = main {
            names.insert(name.clone(), Member::new(main));
        }
        if let (Some(member), Some(health)) = (names.get_mut(name), health) {
            member.add_health(health);
        }
        Ok(())
    }

    fn detach(&self, name: &AgentName, endpoint: SocketAddr) {
        let mut names = self.names.lock();
        let Some(member) = names.get_mut(name) else { return };
        let main = member.main.replicas.remove(&endpoint);
        let health = member.health.as_mut().and_then(|served| served.replicas.remove(&endpoint));
        drop(names);
        // Closing a connection calls back into its route, so it happens without the lock.
        drop((main, health));
    }

    async fn serve(&self, name: &str, preferred: Option<u16>) -> Result<Served, AttachError> {
        let refused = |reason: String| AttachError { reason };
        let service = Service::new(&self.context, name, self.config.service.clone()).map_err(|error| refused(error.to_string()))?;
        let listener = self.bind(&service, preferred).await.map_err(|error| refused(error.to_string()))?;
        tracing::info!(service = name, port = listener.local_addr().port(), "agent served");
        Ok(Served::new(service, listener))
    }

    /// Binds the preferred port, or else the first free one of the range, beginning anywhere in it.
    async fn bind(&self, service: &Service, preferred: Option<u16>) -> Result<Listener, BindError> {
        let mut last = None;
        for port in preferred.into_iter().chain(from_anywhere(&self.config.ports, fastrand::u32(..))) {
            let endpoint = Endpoint::new(self.config.host, port);
            match service.bind_callers(&endpoint).await {
                Err(error @ BindError::InUse { .. }) => last = Some(error),
                // A port kept from a run with other rights is no reason to refuse the agent.
                Err(error) if preferred == Some(port) => last = Some(error),
                bound => return bound,
            }
        }
        Err(last.expect("the range holds a port"))
    }
}

/// Each port of a range once, beginning `offset` behind its start.
fn from_anywhere(ports: &RangeInclusive<u16>, offset: u32) -> impl Iterator<Item = u16> {
    let (start, end) = (u32::from(*ports.start()), u32::from(*ports.end()));
    let count = (end + 1).saturating_sub(start);
    (0..count).map(move |step| {
        let port = start + (offset % count + step) % count;
        u16::try_from(port).expect("it lies between two ports")
    })
}

#[cfg(test)]
mod tests;
