//! Every store runs every case of the behaviour suite.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_mesh::conformance::Fixture;
use myelin_mesh::{Durability, EmbeddedConfig, Mesh, MeshConfig};

async fn store(durability: Durability) -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(directory.path());
    config.durability = durability;
    let mesh = Mesh::embedded(config, MeshConfig::default()).await.unwrap();
    Fixture::new(mesh.clone(), mesh, directory)
}

async fn embedded() -> Fixture {
    store(Durability::Synced).await
}

/// As above, with writes that are acknowledged before they are on the disk.
async fn relaxed() -> Fixture {
    store(Durability::Relaxed).await
}

mod in_this_process {
    myelin_mesh::conformance_tests!(super::embedded);
}

mod in_this_process_relaxed {
    myelin_mesh::conformance_tests!(super::relaxed);
}
