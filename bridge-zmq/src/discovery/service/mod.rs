//! Decides what a request gets: the shell around the registry. Registrations are in [`register`], lookups in [`look_up`], and what concerns other
//! machines in [`abroad`].

mod abroad;
mod look_up;
mod register;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use hashbrown::DefaultHashBuilder;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::agent::{Agent, AgentName};
use super::answer;
use super::attach::{AttachError, Attached, Attacher, Attachment};
use super::config::DiscoveryConfig;
use super::dialect::{Dialect, Request};
use super::elsewhere::Elsewhere;
use super::handler::DiscoveryHandler;
use super::metrics::{DiscoveryMetrics, Outcome, Verb};
use super::ports::{Ports, PortsFile};
use super::reach::Reach;
use super::registry::Registry;
use super::saver::Saver;
use super::store::{Store, StoreError};
use crate::attendance::Attendance;

/// Names are spread over this many locks, so that registrations of different agents wait for each other rarely.
const NAME_LOCKS: usize = 64;
/// How many agents are attached at a time when a registry is restored.
const RESTORE_PARALLEL: usize = 32;

/// The registry, answering. Cloning is cheap and gives the same one.
#[derive(Clone, Debug)]
pub struct Discovery {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: DiscoveryConfig,
    registry: Arc<Mutex<Registry>>,
    attacher: Attacher,
    reach: Arc<Reach>,
    saver: Saver,
    /// Of names that other machines serve. Never locked together with `registry`.
    ports: Arc<Mutex<Ports>>,
    ports_saver: Saver,
    /// Once this sidecar has joined the others.
    elsewhere: OnceLock<Elsewhere>,
    /// Once its agents are shown as present.
    attendance: OnceLock<Attendance>,
    /// Held while one name is changed, from looking at its old endpoints to recording its new ports. Always taken before
    /// `registry`, which is never held across an await.
    names: Vec<tokio::sync::Mutex<()>>,
    hasher: DefaultHashBuilder,
    metrics: DiscoveryMetrics,
    started: Instant,
    tracker: TaskTracker,
    token: CancellationToken,
}

/// Who asks: the two ends of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Where it comes from.
    pub peer: IpAddr,
    /// Where it reached us.
    pub local: SocketAddr,
}

/// Why discovery cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory or the registry file in it cannot be used.
    #[error("registry file unusable")]
    Store(#[from] StoreError),
    /// The task that reads it was stopped.
    #[error("reading the registry file was interrupted")]
    Interrupted,
}

impl Discovery {
    /// Reads the registry back, attaches everyone in it, and is ready to answer. Its tasks run on `tracker` and end with `token`, after the
    /// last changes are on disk.
    ///
    /// # Errors
    /// When the registry file cannot be used. A damaged one can: that is logged, and costs the damaged entries only.
    ///
    /// # Cancel safety
    /// Dropping it in the middle leaves agents attached; drop the routes too.
    pub async fn start(
        config: DiscoveryConfig,
        attacher: Attacher,
        metrics: DiscoveryMetrics,
        tracker: &TaskTracker,
        token: CancellationToken,
    ) -> Result<Self, StartError> {
        let state_dir = config.state_dir.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let store = Store::open(&state_dir)?;
            let loaded = store.load()?;
            let file = PortsFile::new(&state_dir);
            let ports = file.load()?;
            Ok::<_, StoreError>((store, loaded, file, ports))
        });
        let (store, loaded, file, (ports, damaged)) = reading.await.map_err(|_| StartError::Interrupted)??;
        let mut registry = Registry::new(config.limits);
        for port in &config.reserved_ports {
            registry.reserve(*port);
        }
        for name in &config.reserved_names {
            registry.reserve_name(name);
        }
        for agent in loaded.agents {
            let name = agent.name.clone();
            if !registry.restore(agent) {
                warn!(agent = %name, "registration on disk does not fit the limits or has the name of a route, dropped");
            }
        }
        if damaged > 0 {
            warn!(lines = damaged, "ports of names of other machines were damaged on disk, using what could be read");
        }
        let registry = Arc::new(Mutex::new(registry));
        let (agents, store) = (Arc::clone(&registry), Arc::new(store));
        let snapshot = move || {
            let (agents, store): (Vec<_>, _) = (agents.lock().agents().cloned().collect(), Arc::clone(&store));
            move || store.save(&agents)
        };
        let ports = Arc::new(Mutex::new(ports));
        let of_ports = Arc::clone(&ports);
        let ports_snapshot = move || {
            let (ports, file) = (of_ports.lock().clone(), file.clone());
            move || file.save(&ports)
        };
        let discovery = Self {
            inner: Arc::new(Inner {
                saver: Saver::start("registry", snapshot, tracker, token.clone()),
                ports,
                ports_saver: Saver::start("ports of other machines' agents", ports_snapshot, tracker, token.clone()),
                elsewhere: OnceLock::new(),
                attendance: OnceLock::new(),
                reach: Arc::new(Reach::new(config.connect_timeout, config.connect_trusted)),
                names: (0..NAME_LOCKS).map(|_| tokio::sync::Mutex::new(())).collect(),
                hasher: DefaultHashBuilder::default(),
                started: Instant::now(),
                tracker: tracker.clone(),
                token,
                config,
                registry,
                attacher,
                metrics,
            }),
        };
        if let Some(damage) = loaded.damage {
            warn!(?damage, "registry file was damaged, using what could be read");
            discovery.inner.saver.changed();
        }
        discovery.restore().await;
        discovery.reopen().await;
        Ok(discovery)
    }

    /// Answers one request.
    ///
    /// # Cancel safety
    /// Dropping it may leave a registration half done: in the registry, but not attached before the next lookup.
    pub async fn answer(&self, dialect: Dialect, request: Request, caller: Caller) -> String {
        match request {
            Request::Register(registration) => self.answer_registration(dialect, &registration, caller).await,
            Request::Lookup { name } => self.answer_lookup(dialect, &name, caller).await,
            Request::List => self.answer_list(),
            Request::Health => self.answer_health(),
        }
    }

    /// Answers a request that needs no waiting; none when it needs some.
    pub(super) fn answer_at_once(&self, request: &Request) -> Option<String> {
        match request {
            Request::Register(_) | Request::Lookup { .. } => None,
            Request::List => Some(self.answer_list()),
            Request::Health => Some(self.answer_health()),
        }
    }

    /// Everyone who is registered, ordered by name.
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.inner.registry.lock().agents().cloned().collect()
    }

    /// What kind of agent registered under a name, as it said itself.
    #[must_use]
    pub fn kind_of(&self, name: &str) -> Option<String> {
        let kind = self.inner.registry.lock().get(name)?.card.agent_type.clone();
        super::json::read_str(&kind).ok()?.as_text()?.decode()
    }

    /// How discovery is.
    pub fn health(&self) -> answer::Health {
        let registry = self.inner.registry.lock();
        answer::Health {
            now: SystemTime::now(),
            uptime: self.inner.started.elapsed(),
            agents: registry.len(),
            attached: registry.agents().filter(|agent| agent.attached).count(),
            persisted: self.inner.saver.is_healthy(),
        }
    }

    /// Lets presence know of all agents that are attached here, from now on.
    pub fn attend(&self, attendance: Attendance) {
        let attendance = self.inner.attendance.get_or_init(|| attendance);
        for agent in self.agents().iter().filter(|agent| agent.attached) {
            attendance.attached(agent);
        }
    }

    /// What a ROUTER socket needs to answer for this registry.
    pub fn handler(&self) -> Arc<DiscoveryHandler> {
        Arc::new(DiscoveryHandler::new(self.clone()))
    }

    pub(super) fn config(&self) -> &DiscoveryConfig {
        &self.inner.config
    }

    pub(super) fn metrics(&self) -> &DiscoveryMetrics {
        &self.inner.metrics
    }

    /// Runs a request's task until it ends or discovery does. A registration cut short is not answered, so its agent tries again.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.inner.token.clone();
        self.inner.tracker.spawn(async move {
            let _cut_short = token.run_until_cancelled(task).await.is_none();
        });
    }

    fn answer_list(&self) -> String {
        self.inner.metrics.answered(Verb::List, Outcome::Done);
        let mut names = self.inner.elsewhere.get().map_or_else(BTreeSet::new, Elsewhere::names);
        names.extend(self.inner.registry.lock().agents().map(|agent| agent.name.clone()));
        answer::names(names.iter().map(AgentName::as_str))
    }

    fn answer_health(&self) -> String {
        self.inner.metrics.answered(Verb::Health, Outcome::Done);
        answer::health(&self.health())
    }

    /// Attaches all replicas of an agent and records our ports for it. The name must be locked.
    async fn attach(&self, agent: &Agent) -> Result<Attached, AttachError> {
        // Clients may have the port that led to it while another machine served it.
        let mut ports = agent.ports.or_else(|| self.inner.ports.lock().get(&agent.name));
        for replica in &agent.replicas {
            let attachment = Attachment { name: agent.name.clone(), endpoint: replica.endpoint, health: replica.health, preferred: ports };
            let attaching = tokio::time::timeout(self.inner.config.attach_timeout, self.inner.attacher.attach(attachment));
            let attached = attaching.await.map_err(|_| AttachError { reason: "attaching took too long".to_owned() })??;
            self.inner.registry.lock().attached(&agent.name, attached);
            ports = Some(attached);
        }
        let ports = ports.filter(|_| !agent.replicas.is_empty());
        let ports = ports.ok_or_else(|| AttachError { reason: "no replica is known".to_owned() })?;
        self.attached(agent);
        Ok(ports)
    }

    /// Attaches everyone after a restart, so that clients with cached ports never notice it.
    async fn restore(&self) {
        let agents = self.agents();
        self.inner.metrics.agents(agents.len());
        let mut attaching = JoinSet::new();
        for agent in agents {
            if attaching.len() >= RESTORE_PARALLEL {
                attaching.join_next().await;
            }
            let discovery = self.clone();
            attaching.spawn(async move {
                let _name = discovery.lock_name(&agent.name).await;
                match discovery.attach(&agent).await {
                    Ok(ports) if agent.ports == Some(ports) => {}
                    Ok(ports) => {
                        info!(agent = %agent.name, before = ?agent.ports, now = ?ports, "agent got another port");
                        discovery.inner.saver.changed();
                    }
                    Err(error) => warn!(agent = %agent.name, %error, "agent not attached, its next lookup tries again"),
                }
            });
        }
        while attaching.join_next().await.is_some() {}
    }

    fn get(&self, name: &AgentName) -> Option<Arc<Agent>> {
        self.inner.registry.lock().get(name.as_str()).cloned()
    }

    async fn lock_name(&self, name: &AgentName) -> tokio::sync::MutexGuard<'_, ()> {
        let hash = std::hash::BuildHasher::hash_one(&self.inner.hasher, name.as_str());
        self.inner.names[hash as usize % NAME_LOCKS].lock().await
    }
}
