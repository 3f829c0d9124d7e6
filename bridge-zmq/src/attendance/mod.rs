//! How attached agents take part in presence without knowing of it: by their registration, their connections, what they say, and a look from time to
//! time.
//!
//! Each agent has a task that waits for its connection to change and looks after it every few seconds (`look`). What follows from a look is
//! written once, in `verdict`: an address that refuses connections is a lost connection; a connection that is taken by the system and not
//! greeted is an agent that does not answer; everything else is a sign of life. An agent is announced when it is first seen alive, since most register
//! before they listen.
//!
//! Cost: an agent that says anything is not looked after at all; a silent one costs one connection over loopback every five seconds, or as many
//! hundredths of a second as there are agents if that is more. Nothing is asked of the agent's program: its messaging library greets.
//!
//! Bounds: what discovery's registry admits; 64 looks at a time.

mod agent;
mod card;
mod look;
mod verdict;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use myelin_bus::presence::Presence;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::discovery::agent::{Agent, AgentName};
use crate::front::{ConnectorState, Front, PeerId};

/// Looks under way at a time; others wait.
const LOOKING_MAX: usize = 64;

/// How often agents are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttendanceConfig {
    /// How often a silent agent is looked after at the most; default 5 s.
    pub interval: Duration,
    /// How much longer that is for each agent there is, so that many cost no more than few; default 10 ms, which counts from 500 agents on.
    pub interval_per_agent: Duration,
    /// How long an agent may take to greet; default 1 s.
    pub patience: Duration,
}

impl Default for AttendanceConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(5), interval_per_agent: Duration::from_millis(10), patience: Duration::from_secs(1) }
    }
}

/// The attached agents, as presence sees them. Cloning gives the same one.
#[derive(Debug, Clone)]
pub struct Attendance {
    shared: Arc<Shared>,
}

struct Shared {
    presence: Presence,
    front: Front,
    config: AttendanceConfig,
    /// The connections to the replicas of an agent, by its name.
    connections: Box<Connections>,
    agents: Mutex<HashMap<AgentName, watch::Sender<Registered>>>,
    count: AtomicUsize,
    looking: Semaphore,
    tracker: TaskTracker,
    token: CancellationToken,
}

type Connections = dyn Fn(&str) -> Vec<watch::Receiver<ConnectorState>> + Send + Sync;

/// An agent as it registered last, and what was found out about it elsewhere.
#[derive(Debug, Clone)]
struct Registered {
    agent: Arc<Agent>,
    /// What its last health check said, if somebody checks it.
    healthy: Option<bool>,
}

impl Attendance {
    /// Nobody yet. `connections` gives the states of the connections to an agent's replicas, by its name; it must not block. Everything ends with
    /// `token`, on `tracker`.
    pub fn new(
        presence: Presence,
        front: Front,
        config: AttendanceConfig,
        connections: impl Fn(&str) -> Vec<watch::Receiver<ConnectorState>> + Send + Sync + 'static,
        (tracker, token): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let shared = Shared {
            presence,
            front,
            config,
            connections: Box::new(connections),
            agents: Mutex::default(),
            count: AtomicUsize::new(0),
            looking: Semaphore::new(LOOKING_MAX),
            tracker: tracker.clone(),
            token: token.clone(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes note of what the last health check of an agent said. An agent that is not attached is passed over.
    pub fn checked(&self, name: &str, healthy: Option<bool>) {
        if let Some(registered) = self.shared.agents.lock().get(name) {
            registered.send_if_modified(|registered| std::mem::replace(&mut registered.healthy, healthy) != healthy);
        }
    }

    /// An agent is attached, or has registered again.
    pub(crate) fn attached(&self, agent: &Arc<Agent>) {
        let shared = &self.shared;
        let mut agents = shared.agents.lock();
        if let Some(registered) = agents.get(&agent.name) {
            registered.send_modify(|registered| registered.agent = Arc::clone(agent));
            return;
        }
        let (sender, registered) = watch::channel(Registered { agent: Arc::clone(agent), healthy: None });
        agents.insert(agent.name.clone(), sender);
        shared.count.store(agents.len(), Ordering::Relaxed);
        drop(agents);
        let attending = agent::attend(Arc::clone(shared), registered);
        shared.tracker.spawn(shared.token.clone().run_until_cancelled_owned(attending));
    }

    /// An agent is not registered any more: its task ends, with a goodbye.
    pub(crate) fn withdrawn(&self, name: &AgentName) {
        let mut agents = self.shared.agents.lock();
        agents.remove(name);
        self.shared.count.store(agents.len(), Ordering::Relaxed);
    }
}

impl Shared {
    /// How long a silent agent is left alone: up to a tenth less than the interval, so that not all are looked after at once.
    fn pause(&self) -> Duration {
        let agents = u32::try_from(self.count.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let interval = self.config.interval.max(self.config.interval_per_agent.saturating_mul(agents));
        interval.mul_f64(1.0 - fastrand::f64() / 10.0)
    }

    /// Whether one of these connections has brought something lately, so that nobody needs to look.
    fn has_spoken(&self, connections: &[watch::Receiver<ConnectorState>], within: Duration) -> bool {
        let silence = |peer: PeerId| self.front.silence_of(peer).is_some_and(|silence| silence < within);
        connections.iter().any(|state| matches!(*state.borrow(), ConnectorState::Connected { peer } if silence(peer)))
    }

    /// Looks after the replicas of an agent, until one greets.
    async fn look(&self, endpoints: &[SocketAddr]) -> look::Seen {
        let Ok(_place) = self.looking.acquire().await else { return look::Seen::Nothing };
        let mut seen = look::Seen::Refused;
        for endpoint in endpoints {
            seen = seen.max(look::look(*endpoint, self.config.patience).await);
            if seen == look::Seen::Greeted {
                break;
            }
        }
        seen
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendance").field("agents", &self.count).finish_non_exhaustive()
    }
}
