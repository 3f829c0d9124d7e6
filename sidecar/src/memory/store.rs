//! The mesh that requests are answered by, which may not be there yet: a Redis that is away keeps nobody from starting, and a store on disk is made
//! when somebody wants to remember something, since most sidecars are never asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use myelin_mesh::{EmbeddedConfig, Mesh, MeshConfig, RedisConfig};
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
    /// Nothing was ever remembered here, in a directory that can be used.
    Unmade(Box<Unmade>),
    /// A Redis that could not be reached, and what to look for.
    Away { redis: Box<RedisConfig>, config: MeshConfig, reason: Box<str> },
}

/// What to make at the first request.
#[derive(Debug, Clone)]
pub(crate) struct Unmade {
    pub(crate) store: EmbeddedConfig,
    pub(crate) mesh: MeshConfig,
}

/// Where the mesh is found. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: RwLock<State>,
    /// Held by whoever makes the store: two cannot have it.
    making: tokio::sync::Mutex<()>,
    is_reachable: AtomicBool,
}

#[derive(Debug)]
enum State {
    Off,
    Away(Box<str>),
    Unmade(Box<Unmade>),
    Ready(Mesh),
    Closed,
}

impl Store {
    /// As it is at the start.
    pub(crate) fn new(opened: &Opened) -> Self {
        let state = match opened {
            Opened::Off => State::Off,
            Opened::Ready(mesh) => State::Ready(mesh.clone()),
            Opened::Unmade(unmade) => State::Unmade(unmade.clone()),
            Opened::Away { reason, .. } => State::Away(reason.clone()),
        };
        let is_reachable = AtomicBool::new(matches!(state, State::Ready(_) | State::Unmade(_)));
        Self(Arc::new(Shared { state: RwLock::new(state), making: tokio::sync::Mutex::new(()), is_reachable }))
    }

    /// The mesh, which is made now if it never was; or why there is none at the moment.
    ///
    /// # Cancel safety
    /// It may be made a moment later, or by the next who asks.
    pub(super) async fn mesh(&self) -> Result<Mesh, Refusal> {
        if let Some(known) = self.known() {
            return known;
        }
        let _making = self.0.making.lock().await;
        let Unmade { store, mesh } = match (self.known(), &*self.0.state.read()) {
            (None, State::Unmade(unmade)) => (**unmade).clone(),
            (known, _) => return known.unwrap_or_else(|| Err(closed())),
        };
        let made = Mesh::embedded(store, mesh).await.map_err(|error| Refusal::later("unavailable", error.to_string()))?;
        let is_open = {
            let mut state = self.0.state.write();
            let is_open = matches!(*state, State::Unmade(_));
            if is_open {
                *state = State::Ready(made.clone());
            }
            is_open
        };
        if is_open {
            return Ok(made);
        }
        // The sidecar stopped meanwhile.
        made.close().await;
        Err(closed())
    }

    /// The mesh, if it is there.
    pub(super) fn ready(&self) -> Option<Mesh> {
        self.known().and_then(Result::ok)
    }

    /// `None`: it is still to be made.
    fn known(&self) -> Option<Result<Mesh, Refusal>> {
        Some(match &*self.0.state.read() {
            State::Ready(mesh) => Ok(mesh.clone()),
            State::Unmade(_) => return None,
            State::Off => Err(Refusal::new("no_memory", "this sidecar keeps no memory: memory.enabled is false in its configuration")),
            State::Away(reason) => Err(Refusal::later("unavailable", format!("the store is not available: {reason}"))),
            State::Closed => Err(closed()),
        })
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

fn closed() -> Refusal {
    Refusal::new("closed", "the sidecar is stopping")
}
