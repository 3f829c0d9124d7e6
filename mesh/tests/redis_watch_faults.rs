//! A watch while a primary of the cluster dies: whoever keeps a copy by its rules has the same as the store in the end, whatever was lost on the way.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::{Change, Changed, Prefix, RedisConfig, Space, Ttl, Value, WatchEvent};
use myelin_testkit::RedisCluster;
use servers::{PATIENCE, key, mesh, of_cluster, space};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Copy = BTreeMap<String, Vec<u8>>;

/// Follows until the marker is told; how often it began anew.
async fn follow(agent: Space) -> (Copy, usize) {
    let (mut copy, mut resyncs) = (Copy::new(), 0);
    let mut watch = agent.watch(&Prefix::all());
    loop {
        match watch.next().await {
            Ok(WatchEvent::Live) => {}
            Ok(WatchEvent::Resync) => {
                copy.clear();
                resyncs += 1;
            }
            Ok(WatchEvent::Change(Change { key, to: Changed::Put(entry) })) => {
                let is_last = key.as_str() == "marker";
                copy.insert(key.as_str().to_owned(), entry.value.bytes.to_vec());
                if is_last {
                    return (copy, resyncs);
                }
            }
            Ok(WatchEvent::Change(Change { key, .. })) => {
                copy.remove(key.as_str());
            }
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }
}

async fn what_is_there(agent: &Space) -> Copy {
    let page = agent.scan(&Prefix::all(), None, 1000).await.unwrap();
    let entries = agent.get_many(&page.keys).await.unwrap();
    page.keys.iter().zip(entries).filter_map(|(key, entry)| Some((key.as_str().to_owned(), entry?.value.bytes.to_vec()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_right_after_a_primary_died() {
    let mut cluster = RedisCluster::start();
    let config = RedisConfig { retry_for: Duration::from_secs(15), response_timeout: Duration::from_millis(500), ..of_cluster(&cluster) };
    let (writes, reads) = (mesh(config.clone()).await, mesh(config).await);
    let agent = space(&writes, "a");
    let follower = tokio::spawn(follow(space(&reads, "a")));
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (agent, stop) = (agent.clone(), Arc::clone(&stop));
        async move {
            let mut number = 0_u64;
            while !stop.load(Ordering::Acquire) {
                number += 1;
                let name = key(&format!("k{}", number % 50));
                // A failed one is one that the copy may or may not have; what is there in the end decides.
                if number.is_multiple_of(7) {
                    drop(agent.delete(&name).await);
                } else {
                    drop(agent.set(&name, Value::text(number.to_string()), Ttl::DEFAULT).await);
                }
            }
            number
        }
    });
    let slot = cluster.slot_of("{a}");
    let primary = cluster.primary_of(slot, 6).unwrap();
    let deaths = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(500));
        cluster.node_mut(primary).kill();
        cluster.wait_failover(primary, slot);
        cluster.node_mut(primary).restart();
        cluster.wait_healthy();
        cluster
    });
    let cluster = deaths.await.unwrap();
    stop.store(true, Ordering::Release);
    let number = writer.await.unwrap();
    agent.set(&key("marker"), "x".into(), Ttl::DEFAULT).await.unwrap();
    let (copy, resyncs) = tokio::time::timeout(PATIENCE, follower).await.expect("the marker is told").unwrap();
    println!("{number} writes, one failover, the watch began anew {resyncs} times");
    assert_eq!(copy, what_is_there(&agent).await);
    drop(cluster);
}
