//! The names that other machines' sidecars serve, and telling them of ours.
//!
//! Each sidecar tells all others at once what changes: which names it serves, and whether they have a health socket. Whoever comes asks each of the
//! others for everything; whoever missed something notices it by the next beat, see [`nodes`]. Whether an agent is really there is asked of the
//! sidecar beside it at each lookup. Subjects and bytes are described in `docs/fleet.md`.
//!
//! [`own`] and [`nodes`] are the synchronous cores, [`message`] the bytes; [`attend`] is the task between them and the bus, [`ears`] what comes in,
//! [`ask`] what is asked of others.
//!
//! Cost while nothing changes: one message of some 200 bytes per sidecar and beat.

mod ask;
mod attend;
mod digest;
mod ears;
mod message;
mod nodes;
mod own;

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, SubscribeError};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::message::{Found, NodeId, Sockets};
use self::nodes::{Heard, Nodes, NodesLimits};
use self::own::Own;
use super::agent::{AgentName, Card};
use super::attach::Locate;
use super::metrics::FleetMetrics;

/// Where news are told to everybody.
const NEWS: &str = "$MYELIN.FLEET.NEWS";

/// How other sidecars are dealt with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElsewhereConfig {
    /// What this machine is called by others.
    pub host: String,
    /// How often this sidecar says that it is there, jittered by a quarter; default 20 s. One that is silent for three of its beats is forgotten.
    pub beat: Duration,
    /// How long a lookup waits for another sidecar; default 1 s, a fifth of what callers wait for an answer.
    pub find_patience: Duration,
    /// How long the answer to a registration waits until it is handed to the network; default 500 ms.
    pub tell_patience: Duration,
}

impl ElsewhereConfig {
    /// The defaults, for a machine called `host`.
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            beat: Duration::from_secs(20),
            find_patience: Duration::from_secs(1),
            tell_patience: Duration::from_millis(500),
        }
    }
}

/// An agent that another machine serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    pub(super) has_health: bool,
    pub(super) card: Card,
    pub(super) last_registered: SystemTime,
}

/// What this sidecar says of a name when another one asks.
#[derive(Debug)]
pub(super) enum Local {
    Here(Beyond),
    Unreachable,
    Unknown,
}

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What discovery lends to this part of it.
pub(super) struct Hooks {
    /// Looks whether an agent of this machine is there.
    pub(super) look: Box<dyn Fn(AgentName) -> BoxedFuture<Local> + Send + Sync>,
    /// Is told of names that are served elsewhere, or not any more.
    pub(super) located: Box<Locate>,
}

/// All of it. Cloning gives the same one.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    shared: Arc<Shared>,
}

struct Shared {
    bus: Bus,
    config: ElsewhereConfig,
    hooks: Hooks,
    /// Lock order: never both.
    own: Mutex<Own>,
    nodes: Mutex<Nodes>,
    /// Wakes the task: there is something to say, or somebody to ask.
    work: Notify,
    /// Up to which change everybody has been told.
    told: watch::Sender<u64>,
    /// How many lookups of others may be under way.
    looking: Arc<Semaphore>,
    metrics: FleetMetrics,
    tracker: TaskTracker,
    token: CancellationToken,
}

/// Lookups of other sidecars that may be under way here, as many as of local callers; what comes on top is not answered.
const LOOKING_MAX: usize = 256;

impl Elsewhere {
    /// Begins to listen and to speak. Ends with `token`, saying goodbye.
    ///
    /// # Errors
    /// When the bus refuses the subscriptions.
    pub(super) async fn join(
        bus: Bus,
        config: ElsewhereConfig,
        hooks: Hooks,
        metrics: FleetMetrics,
        (tracker, token): (&TaskTracker, &CancellationToken),
    ) -> Result<Self, SubscribeError> {
        let node = NodeId(fastrand::u64(..));
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let own = Own::new(node, u64::try_from(since).unwrap_or(0), message::host(&config.host), config.beat);
        let shared = Arc::new(Shared {
            bus,
            config,
            hooks,
            own: Mutex::new(own),
            nodes: Mutex::new(Nodes::new(node, NodesLimits::default())),
            work: Notify::new(),
            told: watch::Sender::new(0),
            looking: Arc::new(Semaphore::new(LOOKING_MAX)),
            metrics,
            tracker: tracker.clone(),
            token: token.clone(),
        });
        let ears = ears::listen(&shared)?;
        // Whoever answers the first word must be heard.
        drop(tokio::time::timeout(shared.config.tell_patience, shared.bus.flush()).await);
        tracker.spawn(attend::attend(Arc::clone(&shared), ears));
        Ok(Self { shared })
    }

    /// Tells everybody that a name is served here, with these sockets. Returns a number for [`told`](Self::told).
    pub(super) fn serve(&self, name: &AgentName, has_health: bool) -> u64 {
        let change = self.shared.own.lock().serve(name, Sockets::new(has_health));
        self.shared.work.notify_one();
        change
    }

    /// Waits until that was handed to the network, or it took too long.
    ///
    /// # Cancel safety
    /// Dropping it loses the waiting.
    pub(super) async fn told(&self, change: u64) {
        let mut told = self.shared.told.subscribe();
        let done = told.wait_for(|told| *told >= change);
        let _late = tokio::time::timeout(self.shared.config.tell_patience, done).await.is_err();
    }

    /// Every name that is served elsewhere, once.
    pub(super) fn names(&self) -> BTreeSet<AgentName> {
        self.shared.nodes.lock().names()
    }

    /// The machine that serves a name, the one that was heard of last if there are several.
    pub(super) fn host_of(&self, name: &str) -> Option<Arc<str>> {
        self.shared.nodes.lock().find(name).into_iter().next().map(|there| there.host)
    }

    /// Looks whether an agent of another machine is there. `None` when no machine serves the name, `Some(None)` when its agents do not answer.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn find(&self, name: &AgentName) -> Option<Option<Beyond>> {
        let there = self.shared.nodes.lock().find(name.as_str());
        if there.is_empty() {
            return None;
        }
        Some(ask::find(&self.shared, name, &there).await)
    }

    /// Tells everybody again who is here, and asks who they are: to be called when a connection to them has come back.
    pub(super) fn greet(&self) {
        self.shared.own.lock().greet();
        self.shared.work.notify_one();
    }

    /// Says goodbye. Nothing more is said after that; what others say is still heard.
    ///
    /// # Cancel safety
    /// It may not have been said.
    pub(super) async fn leave(&self) {
        attend::leave(&self.shared).await;
    }
}

impl Shared {
    /// Does what follows from news.
    fn follow(&self, heard: Heard) {
        if heard.refused > 0 {
            self.metrics.refused(heard.refused);
        }
        self.locate(&heard.moved);
    }

    /// Says where these names are now.
    fn locate(&self, moved: &[AgentName]) {
        for name in moved {
            let there = self.nodes.lock().find(name.as_str()).into_iter().next();
            (self.hooks.located)(name, there.as_ref().map(|there| &*there.host));
        }
        let (nodes, names) = {
            let nodes = self.nodes.lock();
            (nodes.len(), if moved.is_empty() { None } else { Some(nodes.names_len()) })
        };
        self.metrics.known(nodes, names);
    }

    /// `$MYELIN.FLEET.<node>.<verb>`
    fn subject_of(node: NodeId, verb: &str) -> Subject {
        Subject::new(&format!("$MYELIN.FLEET.{node}.{verb}")).expect("hex digits and a word are tokens")
    }
}

fn news_subject() -> Subject {
    Subject::new(NEWS).expect("a valid constant")
}

fn news_filter() -> Filter {
    news_subject().into()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("own", &self.own.lock().node()).field("nodes", &self.nodes.lock().len()).finish_non_exhaustive()
    }
}

impl From<Local> for Found {
    fn from(local: Local) -> Self {
        match local {
            Local::Here(Beyond { has_health, card, last_registered }) => {
                Self::Here { sockets: Sockets::new(has_health), card, last_registered }
            }
            Local::Unreachable => Self::Unreachable,
            Local::Unknown => Self::Unknown,
        }
    }
}
