//! A few connections to one node that many calls share, and the pool that lends them.
//!
//! deadpool's own manager for Redis lends each connection to one call at a time and sends a PING at each checkout. Here a checkout lends a clone of a
//! multiplexed connection, and whether it still stands is known from the connection itself: it says when it ends, and a call that got no answer in
//! time says so too. Either ends the *generation* of the connection, and leases of an older generation are not lent again.

use super::address::Address;
use super::dial::Dial;
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use redis::aio::MultiplexedConnection;
use redis::{PushKind, RedisError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// After a failure the next attempt to connect is made no sooner; calls in between get the same failure at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens and lends the connections of one node.
#[derive(Debug)]
pub(super) struct Links {
    address: Address,
    dial: Dial,
    links: Box<[Link]>,
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Link {
    /// Raised when the connection ends. Shared with the connection's task.
    generation: Arc<AtomicU64>,
    /// Held while connecting, so that one caller connects and the others wait for it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<(MultiplexedConnection, u64)>,
    failed: Option<(Instant, RedisError)>,
}

/// A connection, lent to one call.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: MultiplexedConnection,
    link: usize,
    generation: u64,
}

impl Links {
    pub(super) fn new(address: Address, dial: Dial, connections: usize) -> Self {
        let links = (0..connections.max(1)).map(|_| Link::default()).collect();
        Self { address, dial, links, next: AtomicUsize::new(0) }
    }

    /// The connection of this lease has ended, or no longer answers.
    pub(super) fn lost(&self, lease: &Lease) {
        end(&self.links[lease.link].generation, lease.generation);
    }

    /// A clone of one of the connections, which is opened if it has to be.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn lend(&self) -> Result<Lease, RedisError> {
        let link = self.next.fetch_add(1, Ordering::Relaxed) % self.links.len();
        let (connection, generation) = self.open(&self.links[link]).await?;
        Ok(Lease { connection, link, generation })
    }

    /// Whether the connection of this lease still stands, as far as is known. Costs one load.
    pub(super) fn is_current(&self, lease: &Lease) -> bool {
        self.links[lease.link].generation.load(Ordering::Acquire) == lease.generation
    }

    /// Lets go of the connections. One that is being opened is let go of by the pool, which is closed.
    pub(super) fn close(&self) {
        for link in &self.links {
            link.generation.fetch_add(1, Ordering::AcqRel);
            if let Ok(mut state) = link.state.try_lock() {
                state.open = None;
            }
        }
    }

    async fn open(&self, link: &Link) -> Result<(MultiplexedConnection, u64), RedisError> {
        let mut state = link.state.lock().await;
        let generation = link.generation.load(Ordering::Acquire);
        match &*state {
            State { open: Some((connection, opened)), .. } if *opened == generation => return Ok((connection.clone(), generation)),
            State { failed: Some((at, error)), .. } if at.elapsed() < PAUSE => return Err(error.clone()),
            State { .. } => {}
        }
        state.open = None;
        let raised = Arc::clone(&link.generation);
        let opened = self.dial.connect(&self.address, move |info| {
            if info.kind == PushKind::Disconnection {
                end(&raised, generation);
            }
        });
        match opened.await {
            Ok(connection) => {
                *state = State { open: Some((connection.clone(), generation)), failed: None };
                Ok((connection, generation))
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

/// Ends a generation; who comes second finds it ended.
fn end(generation: &AtomicU64, ended: u64) {
    generation.compare_exchange(ended, ended + 1, Ordering::AcqRel, Ordering::Acquire).ok();
}

impl Manager for Links {
    type Type = Lease;
    type Error = RedisError;

    async fn create(&self) -> Result<Lease, RedisError> {
        self.lend().await
    }

    /// Costs one load.
    async fn recycle(&self, lease: &mut Lease, _: &Metrics) -> RecycleResult<RedisError> {
        match self.is_current(lease) {
            true => Ok(()),
            false => Err(RecycleError::message("the connection has ended")),
        }
    }
}
