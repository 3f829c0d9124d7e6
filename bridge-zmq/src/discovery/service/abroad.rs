//! Names of other machines: looked up there, led to from here; and ours, told to them.

use std::sync::Arc;

use myelin_bus::{Bus, SubscribeError};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::super::agent::{Agent, AgentName};
use super::super::answer::Found;
use super::super::attach::{AttachError, Attached, Opening};
use super::super::elsewhere::{Beyond, Elsewhere, ElsewhereConfig, Hooks, Local};
use super::look_up::LookupError;
use super::{Discovery, RESTORE_PARALLEL};

impl Discovery {
    /// Joins the sidecars of other machines that `bus` reaches: from then on they find the agents of this one, and lookups here find theirs. It ends
    /// with discovery, with a goodbye.
    ///
    /// Does nothing the second time.
    ///
    /// # Errors
    /// When the bus refuses the subscriptions.
    ///
    /// # Cancel safety
    /// It may have joined.
    pub async fn join(&self, bus: &Bus, config: ElsewhereConfig) -> Result<(), SubscribeError> {
        if self.inner.elsewhere.get().is_some() {
            return Ok(());
        }
        let (looking, locating) = (Arc::downgrade(&self.inner), Arc::downgrade(&self.inner));
        let hooks = Hooks {
            look: Box::new(move |name| {
                let inner = looking.upgrade();
                Box::pin(async move {
                    let Some(inner) = inner else { return Local::Unreachable };
                    Self { inner }.look_for_others(&name).await
                })
            }),
            located: Box::new(move |name, host| {
                if let Some(inner) = locating.upgrade() {
                    inner.attacher.locate(name, host);
                }
            }),
        };
        let tasks = (&self.inner.tracker, &self.inner.token);
        let elsewhere = Elsewhere::join(bus.clone(), config, hooks, self.inner.metrics.fleet.clone(), tasks).await?;
        let elsewhere = self.inner.elsewhere.get_or_init(|| elsewhere);
        for agent in self.agents().iter().filter(|agent| agent.attached) {
            elsewhere.serve(&agent.name, has_health(agent));
        }
        Ok(())
    }

    /// Tells the other sidecars again who is here, and asks who they are: to be called when the connection to them has come back. Otherwise the next
    /// beats find out what was missed.
    pub fn greet(&self) {
        if let Some(elsewhere) = self.inner.elsewhere.get() {
            elsewhere.greet();
        }
    }

    /// Says goodbye to the other sidecars, which forget the agents of this one at once. Takes as long as telling them of a registration at most.
    ///
    /// # Cancel safety
    /// It may not have been said; then it is said when discovery ends.
    pub async fn leave(&self) {
        if let Some(elsewhere) = self.inner.elsewhere.get() {
            elsewhere.leave().await;
        }
    }

    /// Names that other machines serve, each with the name of that machine, ordered by name; of several machines the one heard of last.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<(String, String)> {
        let Some(elsewhere) = self.inner.elsewhere.get() else { return Vec::new() };
        let with_host = |name: AgentName| Some((name.to_string(), elsewhere.host_of(name.as_str())?.to_string()));
        elsewhere.names().into_iter().filter_map(with_host).collect()
    }

    /// An agent is attached here: its ports are the registry's from now on, and others are told. Returns what to wait for with
    /// [`told`](Self::told).
    pub(super) fn attached(&self, agent: &Agent) {
        if self.inner.ports.lock().remove(&agent.name) {
            self.inner.ports_saver.changed();
        }
        if let Some(elsewhere) = self.inner.elsewhere.get() {
            elsewhere.serve(&agent.name, has_health(agent));
            // It may be known elsewhere for longer than here.
            self.inner.attacher.locate(&agent.name, elsewhere.host_of(agent.name.as_str()).as_deref());
        }
        if let (Some(attendance), Some(agent)) = (self.inner.attendance.get(), self.get(&agent.name)) {
            attendance.attached(&agent);
        }
    }

    /// A replica of an agent is registered no more: it may have been the last one.
    pub(super) fn unattended(&self, name: &AgentName) {
        let Some(attendance) = self.inner.attendance.get() else { return };
        match self.get(name) {
            Some(agent) => attendance.attached(&agent),
            None => attendance.withdrawn(name),
        }
    }

    /// Waits until the others were told that this agent is here.
    pub(super) async fn told(&self, agent: &Agent) {
        if let Some(elsewhere) = self.inner.elsewhere.get() {
            elsewhere.told(elsewhere.serve(&agent.name, has_health(agent))).await;
        }
    }

    /// What is said to a sidecar that asks for an agent of this one.
    async fn look_for_others(&self, name: &AgentName) -> Local {
        match self.look_up_here(name).await {
            Ok(Found { ports: _, card, last_registered }) => {
                let has_health = self.get(name).is_some_and(|agent| has_health(&agent));
                Local::Here(Beyond { has_health, card, last_registered })
            }
            Err(LookupError::Unknown) => Local::Unknown,
            Err(LookupError::Unreachable | LookupError::Attach(_)) => Local::Unreachable,
        }
    }

    /// Looks an agent up on other machines. `None` when none of them serves the name.
    pub(super) async fn look_up_elsewhere(&self, name: &AgentName) -> Option<Result<Found, LookupError>> {
        let elsewhere = self.inner.elsewhere.get()?;
        let Some(Beyond { has_health, card, last_registered }) = elsewhere.find(name).await? else {
            return Some(Err(LookupError::Unreachable));
        };
        // What the operator of this machine gave to something else, no other machine may take.
        if self.inner.registry.lock().is_reserved(name, has_health) {
            return None;
        }
        let opened = self.open(name, has_health).await.map_err(LookupError::Attach);
        if opened.is_ok() {
            self.inner.attacher.locate(name, elsewhere.host_of(name.as_str()).as_deref());
        }
        Some(opened.map(|ports| Found { ports, card, last_registered }))
    }

    /// Our ports for a name of another machine.
    async fn open(&self, name: &AgentName, has_health: bool) -> Result<Attached, AttachError> {
        let _name = self.lock_name(name).await;
        let inner = &*self.inner;
        let registered = self.get(name);
        let noted = {
            let ports = inner.ports.lock();
            let noted = ports.get(name);
            if registered.is_none() && noted.is_none() && !ports.has_room() {
                return Err(AttachError { reason: "too many names of other machines are in use".to_owned() });
            }
            noted
        };
        let preferred = registered.as_ref().and_then(|agent| agent.ports).or(noted);
        let opening = Opening { name: name.clone(), has_health, preferred };
        let opening = tokio::time::timeout(inner.config.attach_timeout, inner.attacher.open(opening));
        let ports = opening.await.map_err(|_| AttachError { reason: "opening a port took too long".to_owned() })??;
        if registered.is_some_and(|agent| agent.attached) {
            // It keeps its ports in the registry.
            inner.registry.lock().attached(name, ports);
            inner.saver.changed();
            return Ok(ports);
        }
        {
            let mut registry = inner.registry.lock();
            std::iter::once(ports.service_port).chain(ports.health_port).for_each(|port| registry.reserve(port));
        }
        if inner.ports.lock().set(name, ports) {
            let change = inner.ports_saver.changed();
            let _late_or_failed = inner.ports_saver.saved(change, inner.config.persist_patience).await;
        }
        Ok(ports)
    }

    /// Opens the ports of names of other machines again after a restart, whether those are there yet or not: clients have them cached.
    pub(super) async fn reopen(&self) {
        let noted: Vec<_> = self.inner.ports.lock().iter().map(|(name, ports)| (name.clone(), ports)).collect();
        let mut opening = JoinSet::new();
        for (name, before) in noted {
            if opening.len() >= RESTORE_PARALLEL {
                opening.join_next().await;
            }
            let discovery = self.clone();
            opening.spawn(async move {
                match discovery.open(&name, before.health_port.is_some()).await {
                    Ok(ports) if ports == before => {}
                    Ok(ports) => info!(agent = %name, ?before, now = ?ports, "agent of another machine got another port here"),
                    Err(error) => warn!(agent = %name, %error, "no port for an agent of another machine, its next lookup tries again"),
                }
            });
        }
        while opening.join_next().await.is_some() {}
    }
}

fn has_health(agent: &Agent) -> bool {
    agent.replicas.iter().any(|replica| replica.health.is_some())
}
