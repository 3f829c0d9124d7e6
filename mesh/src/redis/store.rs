//! A Redis as a store.

use super::address::Address;
use super::call::Caller;
use super::config::RedisConfig;
use super::dial::{Dial, is_refusal};
use super::nearby::Nearby;
use super::node::NoLease;
use super::open::RedisOpenError;
use super::topology::Topology;
use super::tracking::Tracking;
use crate::near::Counts;
use crate::store::{Changes, Scan, Store, StoreError, Stored, StoredPage, Swapped, Write};
use crate::window::Range;
use crate::{Expected, Key, Namespace, Position, SpaceStats, WatchPosition, Window};
use bytes::Bytes;
use redis::{RedisError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// A store over one Redis or a Redis Cluster.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(super) caller: Arc<Caller>,
    pub(super) tracking: Arc<Tracking>,
    pub(super) response_timeout: Duration,
    tasks: TaskTracker,
}

impl Redis {
    /// Connects, finds out who has which slot, and begins to listen for changes.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(crate) async fn open(config: RedisConfig, counts: Counts) -> Result<Self, RedisOpenError> {
        let seeds = seeds(&config)?;
        let dial = Dial::new(&config)?;
        let near = match config.near {
            Some(near) if near.bytes_max == 0 || near.entries_max == 0 => {
                return Err(RedisOpenError::Setting { setting: "near", reason: "a cache of nothing; leave it out to have none".into() });
            }
            near => near.map(|near| Arc::new(Nearby::new(near, counts))),
        };
        let (retry_for, bytes_max, response_timeout) = (config.retry_for, config.in_flight_bytes_max, config.response_timeout);
        let topology = Topology::new(dial.clone(), config.clone(), seeds);
        if config.cluster {
            topology.learn().await.map_err(|error| of_cluster(&error))?;
        } else {
            check_single(&topology).await?;
        }
        let caller = Arc::new(Caller::new(topology, retry_for, bytes_max));
        let tracking = Arc::new(Tracking::new(dial, near));
        let redis = Self { caller, tracking, response_timeout, tasks: TaskTracker::new() };
        redis.start();
        Ok(redis)
    }

    fn start(&self) {
        let caller = Arc::clone(&self.caller);
        self.tasks.spawn(async move { caller.topology.run(caller.closed.clone()).await });
        let (caller, tracking) = (Arc::clone(&self.caller), Arc::clone(&self.tracking));
        self.tasks.spawn(async move { tracking.run(&caller.topology, caller.closed.clone()).await });
        self.tasks.close();
    }
}

/// Handles that are dropped without `close` end their tasks all the same.
impl Drop for Redis {
    fn drop(&mut self) {
        self.caller.closed.cancel();
        self.caller.topology.close();
    }
}

fn seeds(config: &RedisConfig) -> Result<Vec<Address>, RedisOpenError> {
    let wrong = |reason: String| RedisOpenError::Setting { setting: "servers", reason: reason.into() };
    let seeds = config.servers.iter().map(|text| Address::parse(text).ok_or_else(|| wrong(format!("{text:?} is not host:port"))));
    let seeds: Vec<_> = seeds.collect::<Result<_, _>>()?;
    match seeds.len() {
        0 => Err(wrong("none is given".to_owned())),
        2.. if !config.cluster => Err(wrong("several are given, and setting cluster is false".to_owned())),
        _ => Ok(seeds),
    }
}

async fn check_single(topology: &Topology) -> Result<(), RedisOpenError> {
    let node = topology.node_of(0).expect("a single server has all slots");
    let mut lease = node.lease().await.map_err(|error| match error {
        NoLease::Connect(error) => not_open(&error),
        NoLease::Busy | NoLease::Closed => {
            RedisOpenError::Unreachable { reason: format!("{} does not answer in time", node.address).into() }
        }
    })?;
    let mut question = redis::cmd("INFO");
    question.arg("cluster");
    let answer = lease.connection.send_packed_command(&question).await.and_then(Value::extract_error);
    let text: Result<String, RedisError> = answer.and_then(|value| Ok(redis::from_redis_value(value)?));
    match text {
        Ok(text) if text.contains("cluster_enabled:1") => {
            Err(RedisOpenError::Mode { configured: false, reason: format!("{} is a node of a cluster", node.address).into() })
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == redis::ErrorKind::Io => Err(not_open(&error)),
        // A user who may not ask is not wrong for that.
        Err(error) => {
            tracing::debug!(%error, "the server does not say whether it is a node of a cluster");
            Ok(())
        }
    }
}

fn not_open(error: &RedisError) -> RedisOpenError {
    let reason = error.to_string().into();
    if is_refusal(error) { RedisOpenError::Refused { reason } } else { RedisOpenError::Unreachable { reason } }
}

fn of_cluster(error: &RedisError) -> RedisOpenError {
    match error.to_string() {
        text if text.contains("cluster support disabled") => RedisOpenError::Mode { configured: true, reason: text.into() },
        _ => not_open(error),
    }
}

/// Each call is boxed: it is large, and every future that waits for it would be as large.
impl Store for Redis {
    async fn read(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        Box::pin(self.read_entries(space, keys)).await
    }

    async fn read_one(&self, space: &Namespace, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.read_entry(space, key).await
    }

    async fn write(&self, space: &Namespace, writes: Vec<Write>) -> Result<(), StoreError> {
        Box::pin(self.write_entries(space, writes)).await
    }

    async fn swap(&self, space: &Namespace, key: &Key, expected: Expected, new: Option<Write>) -> Result<Swapped, StoreError> {
        Box::pin(self.swap_entry(space, key, expected, new)).await
    }

    async fn delete(&self, space: &Namespace, keys: &[Key]) -> Result<u64, StoreError> {
        Box::pin(self.delete_entries(space, keys)).await
    }

    async fn touch(&self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Result<bool, StoreError> {
        Box::pin(self.touch_entry(space, key, ttl)).await
    }

    async fn scan(&self, space: &Namespace, scan: Scan<'_>) -> Result<Vec<Key>, StoreError> {
        Box::pin(self.scan_names(space, scan)).await
    }

    async fn append(&self, space: &Namespace, window: &Window, records: Vec<Bytes>) -> Result<Vec<Position>, StoreError> {
        Box::pin(self.append_records(space, window, records)).await
    }

    async fn recent(&self, space: &Namespace, window: &Window, range: Range) -> Result<StoredPage, StoreError> {
        Box::pin(self.recent_records(space, window, range)).await
    }

    async fn clear(&self, space: &Namespace, window: &Key) -> Result<bool, StoreError> {
        Box::pin(self.clear_window(space, window)).await
    }

    async fn head(&self, space: &Namespace) -> Result<WatchPosition, StoreError> {
        Box::pin(self.head_of(space)).await
    }

    async fn changes(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError> {
        Box::pin(self.changes_behind(space, after, wait)).await
    }

    async fn stats(&self, space: &Namespace) -> Result<SpaceStats, StoreError> {
        Box::pin(self.count_all(space)).await
    }

    async fn close(&self) {
        self.caller.closed.cancel();
        self.caller.topology.close();
        self.tasks.wait().await;
    }
}
