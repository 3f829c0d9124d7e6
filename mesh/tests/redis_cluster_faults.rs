//! A Redis Cluster that loses a primary under load, is restarted as a whole, has a node that hangs, or moves its slots: calls go on after a while that
//! is bounded, nothing is executed twice, and what was acknowledged is there, except for what Redis itself may lose: it answers before its replica
//! has the write, so the last writes before a primary's death may go with it. How many did is printed.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::error::WriteError;
use myelin_mesh::{Mesh, Recent, RedisConfig, Space, Ttl, Value, Window};
use myelin_testkit::RedisCluster;
use servers::{eventually, key, mesh, near_works, of_cluster, space};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A failover of the test cluster takes two to four seconds; a busy machine gets more.
fn patient(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig { retry_for: Duration::from_secs(15), response_timeout: Duration::from_millis(500), ..of_cluster(cluster) }
}

/// What one writer knows of its appends.
#[derive(Debug, Default)]
struct Ledger {
    acknowledged: Vec<u64>,
    unknown: Vec<u64>,
    refused: Vec<u64>,
}

/// Appends numbers to a window of a namespace until it is told to stop.
fn append_until(stop: &Arc<AtomicBool>, mesh: &Mesh, name: &str) -> JoinHandle<Ledger> {
    let (stop, agent) = (Arc::clone(stop), space(mesh, name));
    let window = Window::new(key("w")).entries_max(100_000);
    tokio::spawn(async move {
        let mut ledger = Ledger::default();
        for number in 0.. {
            if stop.load(Ordering::Acquire) {
                break;
            }
            match agent.append(&window, Value::text(number.to_string())).await {
                Ok(_) => ledger.acknowledged.push(number),
                Err(WriteError::Unknown { .. }) => ledger.unknown.push(number),
                Err(WriteError::Unavailable { .. }) => ledger.refused.push(number),
                Err(other) => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ledger
    })
}

async fn all(agent: &Space) -> Vec<u64> {
    let window = Window::new(key("w")).entries_max(100_000);
    let mut numbers = Vec::new();
    let mut from = myelin_mesh::Position::START;
    loop {
        let page = agent.recent(&window, Recent::after(from)).await.expect("the cluster answers");
        for entry in page.entries {
            from = entry.position;
            numbers.push(std::str::from_utf8(&entry.value.bytes).unwrap().parse().unwrap());
        }
        if !page.more {
            return numbers;
        }
    }
}

/// Nothing twice, nothing that was refused; how many of the acknowledged are missing.
fn judge(name: &str, ledger: &Ledger, found: &[u64]) -> usize {
    let mut times: HashMap<u64, usize> = HashMap::new();
    for number in found {
        *times.entry(*number).or_default() += 1;
    }
    assert!(times.values().all(|count| *count == 1), "{name}: something was executed twice");
    assert!(ledger.refused.iter().all(|number| !times.contains_key(number)), "{name}: what was refused is there");
    ledger.acknowledged.iter().filter(|number| !times.contains_key(number)).count()
}

const SPACES: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_dies_under_load() {
    let mut cluster = RedisCluster::start();
    let mesh = mesh(patient(&cluster)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = SPACES.iter().map(|name| append_until(&stop, &mesh, name)).collect();
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
    // Whoever was waiting gets through.
    for name in SPACES {
        space(&mesh, name).set(&key("after"), "x".into(), Ttl::DEFAULT).await.unwrap();
    }
    stop.store(true, Ordering::Release);
    for (name, writer) in SPACES.iter().zip(writers) {
        let ledger = writer.await.unwrap();
        let lost = judge(name, &ledger, &all(&space(&mesh, name)).await);
        println!(
            "{name}: {} acknowledged, {} unknown, {} refused; {lost} acknowledged were lost with the primary",
            ledger.acknowledged.len(),
            ledger.unknown.len(),
            ledger.refused.len()
        );
        let on_the_dead = cluster.slot_of(&format!("{{{name}}}"));
        if cluster.primary_of(on_the_dead, 6) != Some(primary + 3) {
            assert_eq!((lost, ledger.unknown.len()), (0, 0), "{name} was on another primary, which nothing happened to");
        }
        assert!(ledger.unknown.len() <= 3, "one call was under way, and perhaps a few more found a connection that was about to end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_restart() {
    let mut cluster = RedisCluster::start();
    let mesh = mesh(patient(&cluster)).await;
    for name in SPACES {
        let agent = space(&mesh, name);
        agent.set(&key("k"), "before".into(), Ttl::DEFAULT).await.unwrap();
        agent.append(&Window::new(key("w")), Value::text("1")).await.unwrap();
    }
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.restart_all();
        cluster
    })
    .await
    .unwrap();
    for name in SPACES {
        let agent = space(&mesh, name);
        eventually("the entry is there again", async || agent.get(&key("k")).await.ok().flatten()).await;
        assert_eq!(all(&agent).await, [1]);
        eventually("and can be written", async || agent.append(&Window::new(key("w")), Value::text("2")).await.ok()).await;
    }
    drop(cluster);
}

/// A primary that hangs keeps its connections open and answers nothing. Its replica is elected, and calls find it; those to other primaries never wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_hangs() {
    let mut cluster = RedisCluster::start();
    let mesh = mesh(patient(&cluster)).await;
    let slot = cluster.slot_of("{a}");
    let primary = cluster.primary_of(slot, 6).unwrap();
    let other = SPACES.iter().find(|name| cluster.primary_of(cluster.slot_of(&format!("{{{name}}}")), 6) != Some(primary));
    let (stuck, free) = (space(&mesh, "a"), space(&mesh, other.expect("four namespaces are not all on one of three nodes")));
    near_works(&mesh, &stuck).await;
    stuck.set(&key("k"), "1".into(), Ttl::DEFAULT).await.unwrap();
    free.set(&key("k"), "1".into(), Ttl::DEFAULT).await.unwrap();
    cluster.node_mut(primary).process().freeze();
    let stuck_write = tokio::spawn({
        let stuck = stuck.clone();
        async move { stuck.set(&key("k"), "2".into(), Ttl::DEFAULT).await }
    });
    let mut slowest = Duration::ZERO;
    while !stuck_write.is_finished() {
        let begin = tokio::time::Instant::now();
        free.set(&key("k"), "2".into(), Ttl::DEFAULT).await.unwrap();
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stuck_write.await.unwrap().expect("the replica took over");
    println!("slowest write to another primary meanwhile: {slowest:?}");
    assert!(slowest < Duration::from_millis(400), "calls to other nodes waited {slowest:?} for the one that hangs");
    assert_eq!(stuck.get(&key("k")).await.unwrap().unwrap().value, "2".into());
    near_works(&mesh, &stuck).await;
    cluster.node_mut(primary).process().thaw();
    let healthy = tokio::task::spawn_blocking(move || {
        cluster.wait_healthy();
        cluster
    });
    let cluster = healthy.await.unwrap();
    assert_eq!(stuck.get(&key("k")).await.unwrap().unwrap().value, "2".into());
    drop(cluster);
}

/// A slot moves to another node, key by key, while it is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_under_load() {
    let cluster = RedisCluster::start();
    let mesh = mesh(patient(&cluster)).await;
    let agent = space(&mesh, "a");
    near_works(&mesh, &agent).await;
    for n in 0..50 {
        agent.set(&key(&format!("k{n}")), "x".into(), Ttl::DEFAULT).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = append_until(&stop, &mesh, "a");
    let slot = cluster.slot_of("{a}");
    let cluster = tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            let from = cluster.primary_of(slot, 6).unwrap();
            cluster.move_slot(slot, from, (from + 1) % 3);
        }
        cluster
    })
    .await
    .unwrap();
    for n in 0..50 {
        assert!(agent.get(&key(&format!("k{n}"))).await.unwrap().is_some());
    }
    agent.set(&key("after"), "x".into(), Ttl::DEFAULT).await.unwrap();
    stop.store(true, Ordering::Release);
    let ledger = writer.await.unwrap();
    assert_eq!(judge("a", &ledger, &all(&agent).await), 0, "nothing is lost by moving");
    assert_eq!((ledger.unknown.len(), ledger.refused.len()), (0, 0), "every answer proved that it did not run, so each was tried again");
    println!("{} appended while the slot moved twice", ledger.acknowledged.len());
    drop(cluster);
}
