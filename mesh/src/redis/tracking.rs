//! Hears from the servers what changed.
//!
//! To each primary there is one connection with client tracking, on which the server remembers what was read over it and tells when that changes. What
//! the near cache keeps was read there and nowhere else. Each second every primary is asked for a sign of life; the cache holds a lease that reaches two
//! seconds beyond the moment at which the slowest of them was asked. When such a connection ends, the server has forgotten what it had to tell, so
//! everything is emptied, by the connection's own task and before any answer that comes later is handed on.

use super::address::Address;
use super::dial::Dial;
use super::nearby::Nearby;
use super::node::Node;
use super::topology::Topology;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, PushInfo, PushKind, RedisError, Value};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How often every primary is asked for a sign of life, and how long each gets to answer.
const BEAT: Duration = Duration::from_secs(1);
/// What was read is served so long after its server was last asked and answered.
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// After a failure a primary is tried again no sooner.
const PAUSE: Duration = Duration::from_millis(50);
/// Beats without an answer after which a connection is given up.
const SILENT_MAX: u32 = 3;

/// The connections on which servers tell what changed.
#[derive(Debug)]
pub(super) struct Tracking {
    dial: Dial,
    links: Mutex<HashMap<Address, Link>>,
    told: Arc<Told>,
}

#[derive(Debug, Clone)]
struct Link {
    connection: MultiplexedConnection,
    /// Ends with the connection.
    ended: CancellationToken,
    silent: u32,
}

/// What a connection tells, and whom.
#[derive(Debug)]
struct Told {
    nearby: Option<Arc<Nearby>>,
    wakes: Wakes,
    lost: Notify,
}

/// Who waits for a key to change.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    waiting: Mutex<HashMap<Vec<u8>, Vec<Weak<Notify>>>>,
}

impl Tracking {
    pub(super) fn new(dial: Dial, nearby: Option<Arc<Nearby>>) -> Self {
        Self { dial, links: Mutex::default(), told: Arc::new(Told { nearby, wakes: Wakes::default(), lost: Notify::new() }) }
    }

    pub(super) fn wakes(&self) -> &Wakes {
        &self.told.wakes
    }

    pub(super) fn nearby(&self) -> Option<&Arc<Nearby>> {
        self.told.nearby.as_ref()
    }

    /// Reads over the connection on which this node tells what changes. `None`: there is none now.
    pub(super) async fn read(&self, node: &Node, command: &Cmd) -> Option<Result<Value, RedisError>> {
        let mut link = self.links.lock().get(&node.address).filter(|link| !link.ended.is_cancelled()).cloned()?;
        Some(link.connection.send_packed_command(command).await.and_then(Value::extract_error))
    }

    /// Keeps connections to all primaries, and the lease, until it is cancelled.
    pub(super) async fn run(self: Arc<Self>, topology: &Topology, token: CancellationToken) {
        let mut changed = topology.changed();
        let mut version = 0;
        while !token.is_cancelled() {
            let begin = Instant::now();
            self.told.wakes.prune();
            changed.mark_unchanged();
            let map = topology.map();
            if map.version != version {
                version = map.version;
                self.close();
                self.links.lock().retain(|address, _| map.primaries.iter().any(|node| node.address == *address));
            }
            let asked = token.run_until_cancelled(self.hear_all(&map.primaries)).await.flatten();
            // Whatever happened meanwhile is dealt with before anything is promised.
            if let (Some(asked), Some(nearby)) = (asked, self.nearby())
                && !changed.has_changed().unwrap_or(true)
                && self.stands(&map.primaries)
            {
                nearby.renew(asked + LEASE);
            }
            let next = if asked.is_some() { BEAT } else { begin.elapsed() };
            tokio::select! {
                () = tokio::time::sleep_until(begin + next) => {}
                () = self.told.lost.notified() => {}
                _ = changed.changed() => {}
                () = token.cancelled() => {}
            }
            // A server that ends each connection at once is not asked more often than this.
            tokio::time::sleep_until(begin + PAUSE).await;
        }
        self.close();
        self.links.lock().clear();
    }

    fn close(&self) {
        if let Some(nearby) = self.nearby() {
            nearby.close();
        }
    }

    fn stands(&self, primaries: &[Arc<Node>]) -> bool {
        let links = self.links.lock();
        primaries.iter().all(|node| links.get(&node.address).is_some_and(|link| !link.ended.is_cancelled()))
    }

    /// When the first of them was asked, if all of them answered.
    async fn hear_all(self: &Arc<Self>, primaries: &[Arc<Node>]) -> Option<Instant> {
        let mut heard = JoinSet::new();
        for node in primaries {
            let (tracking, address) = (Arc::clone(self), node.address.clone());
            heard.spawn(async move { tracking.hear(address).await });
        }
        heard.join_all().await.into_iter().min().flatten()
    }

    /// When this primary was asked, if it answered.
    async fn hear(&self, address: Address) -> Option<Instant> {
        let known = self.links.lock().get(&address).filter(|link| !link.ended.is_cancelled()).cloned();
        let mut link = match known {
            Some(link) => link,
            None => self.connect(&address).await?,
        };
        let asked = Instant::now();
        let answer = timeout(BEAT, link.connection.send_packed_command(&redis::cmd("PING"))).await;
        let is_alive = matches!(answer, Ok(Ok(Value::SimpleString(_) | Value::BulkString(_) | Value::Okay)));
        let mut links = self.links.lock();
        let silent = if is_alive { 0 } else { link.silent + 1 };
        if silent < SILENT_MAX {
            link.silent = silent;
            links.insert(address, link);
        } else {
            links.remove(&address);
            drop(links);
            // The server may have told the old connection what nobody will hear now.
            self.close();
        }
        is_alive.then_some(asked)
    }

    async fn connect(&self, address: &Address) -> Option<Link> {
        let ended = CancellationToken::new();
        let (told, end) = (Arc::clone(&self.told), ended.clone());
        let opened = self.dial.connect(address, move |info| told.hear(&info, &end));
        // One that cannot be reached now is tried again; calls tell their callers about it.
        let mut connection = opened.await.inspect_err(|error| tracing::debug!(%address, %error, "no connection for tracking")).ok()?;
        let mut on = redis::cmd("CLIENT");
        on.arg("TRACKING").arg("ON");
        let answer = connection.send_packed_command(&on).await.and_then(Value::extract_error);
        answer.inspect_err(|error| tracing::warn!(%address, %error, "no client tracking: nothing is kept near")).ok()?;
        Some(Link { connection, ended, silent: 0 })
    }
}

impl Told {
    /// Called by the task of a connection.
    fn hear(&self, info: &PushInfo, ended: &CancellationToken) {
        match &info.kind {
            PushKind::Invalidate => match info.data.first() {
                Some(Value::Array(keys)) => {
                    for key in keys {
                        if let Value::BulkString(key) = key {
                            self.nearby.iter().for_each(|nearby| nearby.invalidate(key));
                            self.wakes.wake(key);
                        }
                    }
                }
                // The whole database was emptied.
                _ => self.nearby.iter().for_each(|nearby| nearby.empty()),
            },
            PushKind::Disconnection => {
                ended.cancel();
                self.nearby.iter().for_each(|nearby| nearby.close());
                self.lost.notify_one();
            }
            _ => {}
        }
    }
}

impl Wakes {
    /// Notified once the key changes after it was read over a connection with tracking.
    pub(super) fn wait_for(&self, name: String) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock();
        let those = waiting.entry(name.into_bytes()).or_default();
        those.retain(|other| other.strong_count() > 0);
        those.push(Arc::downgrade(&notify));
        notify
    }

    fn wake(&self, key: &[u8]) {
        let those = self.waiting.lock().remove(key).unwrap_or_default();
        those.iter().filter_map(Weak::upgrade).for_each(|notify| notify.notify_one());
    }

    /// Lets go of names for which nobody waits any more.
    pub(super) fn prune(&self) {
        self.waiting.lock().retain(|_, those| those.iter().any(|notify| notify.strong_count() > 0));
    }
}
