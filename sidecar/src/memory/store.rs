//! The mesh that requests are answered by, which may not be there yet: a Redis that is away keeps nobody from starting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use myelin_mesh::{Mesh, MeshConfig, RedisConfig};
use parking_lot::RwLock;

use super::refusal::Refusal;

/// How long to wait before a Redis is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// What there is at the start.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The operator wants none.
    Off,
    /// It serves.
    Ready(Mesh),
    /// A Redis that could not be reached, and what to look for.
    Away { redis: Box<RedisConfig>, config: MeshConfig, reason: Box<str> },
}

/// Where the mesh is found. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    is_reachable: AtomicBool,
}

#[derive(Debug)]
enum State {
    Off,
    Away(Box<str>),
    Ready(Mesh),
    Closed,
}

impl Store {
    /// As it is at the start.
    pub(crate) fn new(opened: &Opened) -> Self {
        let state = match opened {
            Opened::Off => State::Off,
            Opened::Ready(mesh) => State::Ready(mesh.clone()),
            Opened::Away { reason, .. } => State::Away(reason.clone()),
        };
        let is_reachable = AtomicBool::new(matches!(state, State::Ready(_)));
        Self(Arc::new(Shared { state: RwLock::new(state), is_reachable }))
    }

    /// The mesh, or why there is none at the moment.
    pub(super) fn mesh(&self) -> Result<Mesh, Refusal> {
        match &*self.0.state.read() {
            State::Ready(mesh) => Ok(mesh.clone()),
            State::Off => Err(Refusal::new("no_memory", "this sidecar keeps no memory: memory.enabled is false in its configuration")),
            State::Away(reason) => Err(Refusal::later("unavailable", format!("the store is not available: {reason}"))),
            State::Closed => Err(Refusal::new("closed", "the sidecar is stopping")),
        }
    }

    /// Whether the last answer came from the store. False as long as it was never there.
    pub(super) fn is_reachable(&self) -> bool {
        self.0.is_reachable.load(Ordering::Relaxed)
    }

    /// Notes whether the store could be asked.
    pub(super) fn was(&self, is_reachable: bool) {
        self.0.is_reachable.store(is_reachable, Ordering::Relaxed);
    }

    /// Looks for a Redis that was away until it is there.
    ///
    /// # Cancel safety
    /// It is looked for no more.
    pub(super) async fn find(self, redis: RedisConfig, config: MeshConfig) {
        loop {
            tokio::time::sleep(AGAIN).await;
            match Mesh::redis(redis.clone(), config.clone()).await {
                Ok(mesh) => {
                    tracing::info!("the Redis of memory.servers is there");
                    self.was(true);
                    *self.0.state.write() = State::Ready(mesh);
                    return;
                }
                // Said once at the start, and in every answer.
                Err(error) => {
                    tracing::debug!(%error, "still no Redis");
                    *self.0.state.write() = State::Away(error.to_string().into());
                }
            }
        }
    }

    /// Writes out what is there and lets go of it.
    ///
    /// # Cancel safety
    /// It is closing all the same.
    pub(super) async fn close(&self) {
        let state = std::mem::replace(&mut *self.0.state.write(), State::Closed);
        if let State::Ready(mesh) = state {
            mesh.close().await;
        }
    }
}
