//! What one bus has of presence: the core under its lock, the subscriptions, and the task that speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::core::Core;
use super::message::{Message, encode};
use super::watch::{Queue, Watchers};
use super::{Agent, NodeId, PresenceConfig, PresenceMetrics, ears, speaker};
use crate::bus::Shared;
use crate::wire::{Body, Subject};
use crate::{Bus, Delivery, InlineSubscription, SubscribeError};

/// Where everybody is told.
const ALL: &str = "$MYELIN.PRESENCE.ALL";

/// Presence of one bus, which owns it. Dropping it ends everything, without a goodbye.
#[derive(Debug)]
pub(crate) struct Service {
    pub(super) hub: Arc<Hub>,
    /// They do not keep the bus: it keeps them.
    _ears: [InlineSubscription; 2],
    /// The one task, which ends with the guard.
    tracker: TaskTracker,
    _ending: DropGuard,
}

/// What handles, handlers and the task share. Lock order: the table, then a watcher's queue.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) node: NodeId,
    table: Mutex<Table>,
    /// Wakes the task: there is something to say.
    pub(super) work: Notify,
    /// Changes of our own agents, and up to which of them the network has been told.
    changes: AtomicU64,
    pub(super) said: watch::Sender<u64>,
    pub(super) metrics: PresenceMetrics,
    pub(super) token: CancellationToken,
}

#[derive(Debug)]
struct Table {
    core: Core,
    watchers: Watchers,
    refused: u64,
}

impl Service {
    /// Begins to listen, and to speak when there is something to say. Needs a runtime.
    pub(crate) fn start(bus: &Bus, config: &PresenceConfig) -> Result<Self, SubscribeError> {
        let node = NodeId(fastrand::u64(..));
        let core = Core::new(node, config.machine().into(), config.timing(), config.limits(), Rng::new(), Instant::now());
        let hub = Arc::new(Hub {
            node,
            table: Mutex::new(Table { core, watchers: Watchers::default(), refused: 0 }),
            work: Notify::new(),
            changes: AtomicU64::new(0),
            said: watch::Sender::new(0),
            metrics: config.metrics.clone(),
            token: CancellationToken::new(),
        });
        let ears = ears::listen(bus, &hub)?;
        let speaking = speaker::speak(Arc::clone(&hub), bus.downgrade(), bus.ups());
        let tracker = TaskTracker::new();
        tracker.spawn(hub.token.clone().run_until_cancelled_owned(speaking));
        let ending = hub.token.clone().drop_guard();
        Ok(Self { hub, _ears: ears, tracker, _ending: ending })
    }

    /// Says goodbye; nothing more is said after that.
    ///
    /// # Cancel safety
    /// It may not have been said.
    pub(crate) async fn leave(&self, bus: &Bus) {
        let bye = self.hub.with(|core, _| core.bye());
        if let Some(bye) = bye {
            self.hub.say(bus.shared(), &all(), &bye);
            bus.flush().await;
        }
        self.hub.end();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Hub {
    /// Works on the core, and tells watchers what changed.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let mut table = self.table.lock();
        let Table { core, watchers, refused } = &mut *table;
        let result = work(core, Instant::now());
        let events = core.events();
        let (nodes, agents, bytes, refused_now) = core.totals();
        if !events.is_empty() {
            let behind = watchers.tell(&events);
            self.metrics.resyncs.inc_by(behind as u64);
        }
        self.metrics.refused.inc_by(refused_now - *refused);
        *refused = refused_now;
        drop(table);
        let gauge = |amount: usize| i64::try_from(amount).unwrap_or(i64::MAX);
        self.metrics.nodes.set(gauge(nodes));
        self.metrics.agents.set(gauge(agents));
        self.metrics.agents_bytes.set(gauge(bytes));
        result
    }

    /// Changes something of our own, which is told at once.
    pub(super) fn change<T>(&self, work: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let result = self.with(work);
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.work.notify_one();
        result
    }

    /// How many changes there have been so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Hands one message to the bus, which does not wait.
    pub(super) fn say(&self, bus: &Shared, to: &Subject, message: &Message) {
        let body = encode(message);
        self.metrics.sent.inc();
        self.metrics.sent_bytes.inc_by(body.len() as u64);
        let body = Body::from(body);
        // Presence holds nobody back, and is held back by nobody.
        drop(bus.dispatch(None, Delivery { subject: to, reply: None, meta: None, bodies: &[body] }).pressure);
    }

    pub(super) fn everybody(&self) -> Vec<Agent> {
        self.table.lock().core.agents()
    }

    /// Everybody, for a watcher whose single events begin behind this list.
    pub(super) fn everybody_for(&self, queue: &Queue) -> Vec<Agent> {
        let table = self.table.lock();
        queue.begin();
        sorted(table.core.agents())
    }

    pub(super) fn add_watcher(&self, queue: &Arc<Queue>) {
        let mut table = self.table.lock();
        table.watchers.add(queue);
        table.core.watch(true);
        if self.token.is_cancelled() {
            queue.end();
        }
    }

    pub(super) fn remove_watcher(&self, queue: &Arc<Queue>) {
        let mut table = self.table.lock();
        table.watchers.remove(queue);
        let is_watched = !table.watchers.is_empty();
        table.core.watch(is_watched);
    }

    /// Ends the task and the watchers.
    pub(super) fn end(&self) {
        self.token.cancel();
        self.table.lock().watchers.end();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.hub.end();
    }
}

/// By name, the living first.
pub(super) fn sorted(mut agents: Vec<Agent>) -> Vec<Agent> {
    let key = |agent: &Agent| (agent.id().clone(), agent.state.is_over(), std::cmp::Reverse(agent.incarnation), agent.node);
    agents.sort_by_cached_key(key);
    agents
}

pub(super) fn all() -> Subject {
    Subject::new(ALL).expect("a valid constant")
}

/// `$MYELIN.PRESENCE.<node>`
pub(super) fn subject_of(node: NodeId) -> Subject {
    Subject::new(&format!("$MYELIN.PRESENCE.{node}")).expect("hex digits are a token")
}
