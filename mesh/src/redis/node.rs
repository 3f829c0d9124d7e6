//! A node: its connections and its clock.

use super::address::Address;
use super::clock::Clock;
use super::config::RedisConfig;
use super::dial::Dial;
use super::link::{Lease, Links};
use super::quick::Quick;
use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use redis::{Cmd, RedisError, Value};
use tokio::time::Instant;

/// A server of the store.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Address,
    pub(super) clock: Clock,
    /// For reads of single entries: on one connection the most of them share each write and each read.
    pub(super) quick: Quick,
    /// For everything else, which so never delays those.
    pool: Pool<Links>,
}

/// Why a node got no command. None of these sent a byte of it.
#[derive(Debug)]
pub(super) enum NoLease {
    Connect(RedisError),
    Busy,
    Closed,
}

impl Node {
    pub(super) fn new(address: Address, dial: &Dial, config: &RedisConfig) -> Self {
        let pool = Pool::builder(Links::new(address.clone(), dial.clone(), config.connections))
            .max_size(config.in_flight_max.max(1))
            // What was used last is still in the processor's cache.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(dial.response_timeout()))
            // Connecting has a limit of its own; this one is for waiting behind another who connects.
            .create_timeout(Some(dial.connect_timeout() * 2))
            .build()
            .expect("a runtime is given, which is what timeouts need");
        let quick = Quick::new(address.clone(), dial.clone(), config.in_flight_max);
        Self { address, clock: Clock::default(), quick, pool }
    }

    /// A connection for one call; costs no round trip while the connections stand.
    pub(super) async fn lease(&self) -> Result<Object<Links>, NoLease> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => NoLease::Connect(error),
            PoolError::Closed => NoLease::Closed,
            PoolError::Timeout(_) | PoolError::PostCreateHook(_) | PoolError::NoRuntimeSpecified => NoLease::Busy,
        })
    }

    /// The connection of this lease is of no use any more.
    pub(super) fn lost(&self, lease: &Lease) {
        self.pool.manager().lost(lease);
    }

    /// What time it is at the node; asks it when that is not known.
    pub(super) async fn time_ms(&self) -> Option<u64> {
        if let Some(time_ms) = self.clock.now(Instant::now()) {
            return Some(time_ms);
        }
        let mut lease = self.lease().await.ok()?;
        let asked = Instant::now();
        let value = lease.connection.send_packed_command(&time()).await.ok()?;
        self.clock.learn(time_of(&value)?, asked);
        self.clock.now(Instant::now())
    }

    /// No more calls; those under way keep their connection until they end.
    pub(super) fn close(&self) {
        self.quick.close();
        self.pool.close();
        self.pool.manager().close();
    }
}

fn time() -> Cmd {
    redis::cmd("TIME")
}

/// The answer to TIME, in microseconds.
fn time_of(value: &Value) -> Option<u64> {
    let Value::Array(parts) = value else { return None };
    let part = |index: usize| -> Option<u64> {
        match parts.get(index)? {
            Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    };
    Some(part(0)?.checked_mul(1_000_000)? + part(1)?)
}
