//! What a case works with.

use std::any::Any;
use std::fmt;

use tokio::time::{Duration, sleep, timeout};

use super::PATIENCE;
use crate::{Key, Mesh, Namespace, Space};

/// One store for one case: two handles of a memory, and namespaces of its own.
pub struct Fixture {
    mesh: Mesh,
    second: Mesh,
    prefix: Box<str>,
    /// What has to live as long, as a server and its directory.
    keeps: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    /// `second` is another connection to the same store, or, for one in this process, another handle of it. Values may have 1 MiB, the default.
    /// `keeps` is dropped after the case.
    pub fn new(mesh: Mesh, second: Mesh, keeps: impl Any + Send + Sync) -> Self {
        let prefix = format!("c{:012x}", fastrand::u64(..1 << 48)).into();
        Self { mesh, second, prefix, keeps: Box::new(keeps) }
    }

    /// The mesh under test.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// A namespace of this case alone.
    pub fn space(&self, name: &str) -> Space {
        self.mesh.space(self.namespace(name))
    }

    /// The same namespace through the other handle.
    pub fn second(&self, name: &str) -> Space {
        self.second.space(self.namespace(name))
    }

    fn namespace(&self, name: &str) -> Namespace {
        Namespace::new(&format!("{}.{name}", self.prefix)).unwrap()
    }

    /// Ends what was begun.
    pub async fn close(self) {
        let Self { mesh, second, keeps, .. } = self;
        second.close().await;
        mesh.close().await;
        drop(keeps);
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").field("prefix", &self.prefix).field("mesh", &self.mesh).finish_non_exhaustive()
    }
}

pub(super) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Waits for what has to come.
pub(super) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Looks until there is something.
pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Looks until an entry is gone.
pub(super) async fn gone(space: &Space, gone: &Key) {
    eventually("an entry expires", async || space.get(gone).await.unwrap().is_none().then_some(())).await;
}
