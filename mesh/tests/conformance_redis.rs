//! Every case of the behaviour suite on a real `redis-server`, and on a Redis Cluster of three primaries with a replica each. The two handles of a case
//! are two meshes with near caches of their own, as two processes would be.

mod servers;

use myelin_mesh::RedisConfig;
use myelin_mesh::conformance::{Fixture, check, run};
use myelin_testkit::{RedisCluster, RedisServer};
use servers::{mesh, of_cluster, of_server};
use std::pin::Pin;

async fn over(config: RedisConfig, keeps: impl std::any::Any + Send + Sync) -> Fixture {
    Fixture::new(mesh(config.clone()).await, mesh(config).await, keeps)
}

async fn server() -> Fixture {
    let server = RedisServer::start();
    over(of_server(&server), server).await
}

mod on_one_server {
    myelin_mesh::conformance_tests!(super::server);
}

/// A case, boxed: sixty of them in one future are more than a stack.
type Case = fn(&Fixture) -> Pin<Box<dyn Future<Output = ()> + '_>>;

macro_rules! cases {
    ({} $($module:ident::$case:ident;)+) => {
        [$((stringify!($case), (|fixture| Box::pin(myelin_mesh::conformance::$module::$case(fixture))) as Case)),+]
    };
}

/// All in one test: six servers are too many for each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_on_a_cluster() {
    let cluster = RedisCluster::start();
    let cases = myelin_mesh::__mesh_conformance_list! { [cases] {} };
    check(&cases.map(|(name, _)| name));
    for (name, case) in cases {
        let fixture = over(of_cluster(&cluster), ()).await;
        run(name, case(&fixture)).await;
        fixture.close().await;
    }
}
