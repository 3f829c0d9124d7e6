//! What the tests over a real Redis share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use myelin_mesh::{Key, Mesh, MeshConfig, Namespace, RedisConfig, Space};
use myelin_testkit::{RedisCluster, RedisServer};
use std::time::Duration;

/// How long a state may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn of_server(server: &RedisServer) -> RedisConfig {
    RedisConfig::single(format!("127.0.0.1:{}", server.port()))
}

pub(crate) fn of_cluster(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig::cluster((0..6).map(|node| format!("127.0.0.1:{}", cluster.node(node).port())))
}

pub(crate) async fn mesh(config: RedisConfig) -> Mesh {
    Mesh::redis(config, MeshConfig::default()).await.expect("the server is there")
}

pub(crate) fn space(mesh: &Mesh, name: &str) -> Space {
    mesh.space(Namespace::new(name).expect("a name"))
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(name).expect("a name")
}

/// Looks at a state until it is `Some`.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begin = tokio::time::Instant::now();
    loop {
        if let Some(value) = look().await {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until reads are served from this process.
pub(crate) async fn near_works(mesh: &Mesh, space: &Space) {
    let probe = key("near-probe");
    eventually("the near cache serves", async || {
        let before = mesh.metrics().counts().near_hits;
        space.get(&probe).await.ok()?;
        (mesh.metrics().counts().near_hits > before).then_some(())
    })
    .await;
}
