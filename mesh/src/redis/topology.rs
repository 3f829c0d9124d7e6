//! Who has which slot.
//!
//! redis-rs has a client for clusters, and it is not used: with retries off it can follow no ASK, it learns nothing from a node that answers no more
//! (a frozen primary keeps its slots after its replica was elected), and while it learns, calls to all nodes wait (docs/adr/0011).

use super::address::{Address, SLOTS};
use super::config::RedisConfig;
use super::dial::Dial;
use super::node::{NoLease, Node};
use parking_lot::{Mutex, RwLock};
use redis::{RedisError, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Nodes that are remembered at most. The specification of Redis Cluster recommends no more than 1,000.
const NODES_MAX: usize = 1024;
/// After the first good answer the others get so long to tell something newer.
const SECOND_OPINION: Duration = Duration::from_millis(200);
/// How often the map is asked for although nobody complained: a primary that was cut off from the others does not know it.
const PERIOD: Duration = Duration::from_secs(2);
/// The map is asked for no more often than this, however many calls complain.
const PAUSE: Duration = Duration::from_millis(50);

/// The nodes of a store, and the map of slots as it is known.
#[derive(Debug)]
pub(super) struct Topology {
    dial: Dial,
    config: RedisConfig,
    seeds: Vec<Address>,
    map: RwLock<Arc<Map>>,
    nodes: Mutex<HashMap<Address, Arc<Node>>>,
    wanted: Notify,
    changed: watch::Sender<u64>,
}

/// Slots and the primaries that have them.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// Raised with each change.
    pub(super) version: u64,
    epoch: u64,
    /// First slot, last slot, who has them; sorted.
    ranges: Vec<(u16, u16, Arc<Node>)>,
    pub(super) primaries: Vec<Arc<Node>>,
}

/// What one node says.
#[derive(Debug)]
struct Opinion {
    epoch: u64,
    whole: bool,
    ranges: Vec<(u16, u16, Address)>,
    replicas: Vec<Address>,
}

impl Topology {
    pub(super) fn new(dial: Dial, config: RedisConfig, seeds: Vec<Address>) -> Self {
        let topology = Self {
            dial,
            config,
            seeds,
            map: RwLock::default(),
            nodes: Mutex::default(),
            wanted: Notify::new(),
            changed: watch::channel(0).0,
        };
        if !topology.config.cluster {
            let node = topology.node_at(&topology.seeds[0]);
            topology.replace(0, vec![(0, SLOTS - 1, node)]);
        }
        topology
    }

    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read())
    }

    /// Who has a slot, as far as is known.
    pub(super) fn node_of(&self, slot: u16) -> Option<Arc<Node>> {
        let map = self.map.read();
        let at = map.ranges.partition_point(|(first, ..)| *first <= slot).checked_sub(1)?;
        let (_, last, node) = &map.ranges[at];
        (slot <= *last).then(|| Arc::clone(node))
    }

    /// A node by its address, also when the map does not know it.
    pub(super) fn node_at(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        if let Some(node) = nodes.get(address) {
            return Arc::clone(node);
        }
        let node = Arc::new(Node::new(address.clone(), &self.dial, &self.config));
        if nodes.len() < NODES_MAX {
            nodes.insert(address.clone(), Arc::clone(&node));
        }
        node
    }

    /// Somebody found that the map is wrong, or a node silent.
    pub(super) fn complain(&self) {
        self.wanted.notify_one();
    }

    /// Tells of each new version of the map.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Learns until it is cancelled. A single server has nothing to teach.
    pub(super) async fn run(&self, token: CancellationToken) {
        let mut is_known = true;
        while self.config.cluster && !token.is_cancelled() {
            let begin = Instant::now();
            let learnt = token.run_until_cancelled(self.learn()).await;
            // Said once, and not twenty times a second for as long as it lasts.
            if let (true, Some(Err(error))) = (is_known, &learnt) {
                tracing::warn!(%error, "no node tells who has which slot");
            }
            is_known = matches!(learnt, Some(Ok(())));
            let pause = async {
                tokio::time::sleep_until(begin + PAUSE).await;
                drop(timeout_at(begin + PERIOD, self.wanted.notified()).await);
            };
            token.run_until_cancelled(pause).await;
        }
    }

    /// Asks all nodes that are known, and believes the newest of those that see a whole cluster.
    ///
    /// # Cancel safety
    /// The map stays as it was.
    pub(super) async fn learn(&self) -> Result<(), RedisError> {
        let known: Vec<_> = self.nodes.lock().values().cloned().collect();
        let seeds = self.seeds.iter().map(|seed| self.node_at(seed));
        let mut asked = JoinSet::new();
        for node in known.iter().cloned().chain(seeds.filter(|seed| !known.iter().any(|node| Arc::ptr_eq(node, seed)))) {
            asked.spawn(async move { opinion(&node).await });
        }
        let mut deadline = Instant::now() + self.dial.connect_timeout() + self.dial.response_timeout();
        let mut best: Option<Opinion> = None;
        let mut failure = RedisError::from((redis::ErrorKind::Io, "no node answers in time"));
        while let Ok(Some(joined)) = timeout_at(deadline, asked.join_next()).await {
            match joined {
                Ok(Ok(opinion)) if opinion.whole => {
                    deadline = deadline.min(Instant::now() + SECOND_OPINION);
                    if best.as_ref().is_none_or(|best| best.epoch < opinion.epoch) {
                        best = Some(opinion);
                    }
                }
                Ok(Ok(_)) => failure = RedisError::from((redis::ErrorKind::Io, "the cluster is down")),
                Ok(Err(error)) => failure = error,
                // A task that was cancelled with the runtime.
                Err(_) => {}
            }
        }
        match best {
            Some(opinion) if opinion.epoch >= self.map.read().epoch => self.believe(opinion),
            Some(_) => {}
            None => return Err(failure),
        }
        Ok(())
    }

    fn believe(&self, opinion: Opinion) {
        let mut ranges: Vec<_> = opinion.ranges.into_iter().map(|(first, last, address)| (first, last, self.node_at(&address))).collect();
        ranges.sort_by_key(|(first, ..)| *first);
        for replica in &opinion.replicas {
            self.node_at(replica);
        }
        self.replace(opinion.epoch, ranges);
        // Nodes that left are let go of. Calls that still work on one have their own reference.
        let map = self.map();
        let stays = |address: &Address| {
            map.primaries.iter().any(|node| node.address == *address) || opinion.replicas.contains(address) || self.seeds.contains(address)
        };
        self.nodes.lock().retain(|address, _| stays(address));
    }

    fn replace(&self, epoch: u64, ranges: Vec<(u16, u16, Arc<Node>)>) {
        let mut map = self.map.write();
        let same = |a: &(u16, u16, Arc<Node>), b: &(u16, u16, Arc<Node>)| a.0 == b.0 && a.1 == b.1 && Arc::ptr_eq(&a.2, &b.2);
        if map.ranges.len() == ranges.len() && map.ranges.iter().zip(&ranges).all(|(a, b)| same(a, b)) {
            if map.epoch != epoch {
                *map = Arc::new(Map { epoch, version: map.version, ranges, primaries: map.primaries.clone() });
            }
            return;
        }
        let mut primaries: Vec<Arc<Node>> = Vec::new();
        for (_, _, node) in &ranges {
            if !primaries.iter().any(|primary| Arc::ptr_eq(primary, node)) {
                primaries.push(Arc::clone(node));
            }
        }
        let version = map.version + 1;
        *map = Arc::new(Map { version, epoch, ranges, primaries });
        drop(map);
        self.changed.send_replace(version);
    }

    pub(super) fn close(&self) {
        for node in self.nodes.lock().values() {
            node.close();
        }
    }
}

async fn opinion(node: &Node) -> Result<Opinion, RedisError> {
    let mut lease = match node.lease().await {
        Ok(lease) => lease,
        Err(NoLease::Connect(error)) => return Err(error),
        Err(NoLease::Busy | NoLease::Closed) => return Err((redis::ErrorKind::Io, "the node takes no more calls").into()),
    };
    let mut question = redis::pipe();
    question.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let answer = lease.connection.send_packed_commands(&question, 0, 2).await;
    if answer.as_ref().is_err_and(|error| error.kind() == redis::ErrorKind::Io) {
        node.lost(&lease);
    }
    let [info, slots]: [Value; 2] = answer?.try_into().map_err(|_| strange())?;
    let info: String = redis::from_redis_value(info.extract_error()?)?;
    let number = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    let whole = info.lines().any(|line| line.trim() == "cluster_state:ok");
    let epoch = number("cluster_current_epoch:").ok_or_else(strange)?;
    let mut opinion = Opinion { epoch, whole, ranges: Vec::new(), replicas: Vec::new() };
    let Value::Array(ranges) = slots.extract_error()? else { return Err(strange()) };
    for range in &ranges {
        let Value::Array(parts) = range else { return Err(strange()) };
        let [first, last, primary, replicas @ ..] = parts.as_slice() else { return Err(strange()) };
        let slot = |value: &Value| match value {
            Value::Int(slot) => u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS).ok_or_else(strange),
            _ => Err(strange()),
        };
        opinion.ranges.push((slot(first)?, slot(last)?, address(primary, node).ok_or_else(strange)?));
        opinion.replicas.extend(replicas.iter().filter_map(|replica| address(replica, node)));
    }
    Ok(opinion)
}

/// A node as CLUSTER SLOTS tells it. One that does not know its own name tells none, and means where it was asked.
fn address(value: &Value, asked: &Node) -> Option<Address> {
    let Value::Array(parts) = value else { return None };
    let Value::Int(port) = parts.get(1)? else { return None };
    let port = u16::try_from(*port).ok()?;
    match parts.first()? {
        Value::BulkString(host) if !host.is_empty() && host != b"?" => Some(Address::new(std::str::from_utf8(host).ok()?, port)),
        Value::SimpleString(host) if !host.is_empty() => Some(Address::new(host, port)),
        _ => Some(Address { host: Arc::clone(&asked.address.host), port }),
    }
}

fn strange() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "no answer of a cluster").into()
}
