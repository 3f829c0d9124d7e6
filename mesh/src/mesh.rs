//! The handle of a mesh.

use std::sync::Arc;

use crate::embedded::Embedded;
use crate::error::OpenError;
use crate::record::Encoder;
use crate::redis::Redis;
use crate::revision::Revisions;
use crate::store::{AnyStore, Store};
use crate::{EmbeddedConfig, MeshConfig, Metrics, Namespace, RedisConfig, RedisOpenError, Space, Ttl, limits};

/// The memory of a fleet, over one store. Cloning shares it.
///
/// ```
/// # use myelin_mesh::{EmbeddedConfig, Key, Mesh, MeshConfig, Namespace, Ttl};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await?;
/// let agent = mesh.space(Namespace::new("fleet.planner")?);
/// agent.set(&Key::new("mood")?, "curious".into(), Ttl::DEFAULT).await?;
/// let entry = agent.get(&Key::new("mood")?).await?.expect("it was just written");
/// assert_eq!(entry.value, "curious".into());
/// mesh.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
}

/// One mesh, whichever handle it is reached by.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: AnyStore,
    pub(crate) encoder: Encoder,
    pub(crate) revisions: Revisions,
    pub(crate) value_bytes_max: usize,
    pub(crate) ttl_default: Ttl,
    pub(crate) metrics: Metrics,
}

impl Mesh {
    /// A mesh in this process, on local disk.
    ///
    /// # Errors
    /// When the directory cannot be used, its store is in use, or is damaged.
    ///
    /// # Cancel safety
    /// The store may be opened and closed again a moment later.
    pub async fn embedded(store: EmbeddedConfig, config: MeshConfig) -> Result<Self, OpenError> {
        Ok(Self::over(AnyStore::Embedded(Embedded::open(store).await?), config))
    }

    /// A mesh in a Redis or a Redis Cluster, 6.2 or later, shared with all who use it.
    ///
    /// # Errors
    /// When a setting makes no sense, or no server answers or lets us in. The error names the setting.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn redis(store: RedisConfig, config: MeshConfig) -> Result<Self, RedisOpenError> {
        let counts = config.metrics.near.clone();
        Ok(Self::over(AnyStore::Redis(Redis::open(store, counts).await?), config))
    }

    pub(crate) fn over(store: AnyStore, config: MeshConfig) -> Self {
        let MeshConfig { value_bytes_max, ttl_default, compress_from_bytes, metrics } = config;
        let shared = Shared {
            store,
            encoder: Encoder { compress_from_bytes },
            revisions: Revisions::new(),
            value_bytes_max: value_bytes_max.min(limits::VALUE_BYTES_CEILING),
            ttl_default: ttl_default.or(limits::TTL_DEFAULT),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The memory of one namespace.
    pub fn space(&self, namespace: Namespace) -> Space {
        Space::new(Arc::clone(&self.shared), namespace)
    }

    /// Where this mesh counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// How full the near cache is: entries, and bytes with what keeping them costs. `None`: this mesh has none.
    pub fn near_size(&self) -> Option<(usize, u64)> {
        match &self.shared.store {
            AnyStore::Embedded(_) => None,
            AnyStore::Redis(redis) => redis.nearby().map(|nearby| nearby.size()),
        }
    }

    /// Finishes what was begun and lets go of files and connections. Whatever is asked of this mesh afterwards, through any handle, is answered
    /// by `Closed`.
    ///
    /// # Cancel safety
    /// The mesh is closed all the same; what is lost is knowing when.
    pub async fn close(&self) {
        self.shared.store.close().await;
    }
}
