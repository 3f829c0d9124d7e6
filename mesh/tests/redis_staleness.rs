//! How old what the near cache serves can be: somebody else writes a thousand values a second over ten thousand keys of a cluster, one of whose
//! primaries dies meanwhile, and every value that is read here is compared with what was acknowledged there.
//!
//! The age of a read is the time between the acknowledgement of the oldest write that it missed and the moment at which it began. The documented bound
//! is the lease: two seconds after its server was last asked and answered. Writes that Redis itself lost with the primary (its replica did not have
//! them yet) are told apart by asking the store, and counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::{Mesh, MeshConfig, RedisConfig, Space, Ttl, Value};
use myelin_testkit::RedisCluster;
use servers::{key, near_works, of_cluster, space};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

const KEYS: usize = 10_000;
const SPACES: usize = 12;
const WRITES_PER_SECOND: u32 = 1_200;
/// The lease, and a little for a machine that is busy with seven processes.
const BOUND: Duration = Duration::from_millis(2_100);

/// When each version of each key was acknowledged to the outside writer.
struct Acknowledged(Vec<Mutex<Vec<(u64, Instant)>>>);

impl Acknowledged {
    /// How long before `began` a newer version than `version` had been acknowledged.
    fn age(&self, at: usize, version: u64, began: Instant) -> Duration {
        let versions = self.0[at].lock().unwrap();
        let missed = versions.iter().find(|(newer, _)| *newer > version);
        missed.map_or(Duration::ZERO, |(_, acknowledged)| began.saturating_duration_since(*acknowledged))
    }
}

fn place(at: usize) -> (String, String) {
    (format!("fleet-{}", at % SPACES), format!("k{at}"))
}

/// Some keys are read more than others, as agents do: half of the reads go to one key in sixty. All are written alike.
fn popular(random: &mut fastrand::Rng) -> usize {
    (random.f64().powi(6) * KEYS as f64) as usize
}

async fn version_of(space: &Space, name: &str) -> Option<u64> {
    let entry = space.get(&key(name)).await.ok()??;
    std::str::from_utf8(&entry.value.bytes).ok()?.parse().ok()
}

#[derive(Default)]
struct Found {
    ages_us: Vec<u64>,
    lost_writes: u64,
    failed: u64,
}

async fn read(mesh: Mesh, fresh: Mesh, acknowledged: Arc<Acknowledged>, stop: Arc<AtomicBool>, seed: u64) -> Found {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut found = Found::default();
    while !stop.load(Ordering::Acquire) {
        let at = popular(&mut random);
        let (namespace, name) = place(at);
        let began = Instant::now();
        let Some(version) = version_of(&space(&mesh, &namespace), &name).await else {
            found.failed += 1;
            continue;
        };
        let age = acknowledged.age(at, version, began);
        // What the store itself does not have any more is no fault of the cache. Looked at only when it matters.
        if age > Duration::from_millis(500) && version_of(&space(&fresh, &namespace), &name).await == Some(version) {
            found.lost_writes += 1;
            continue;
        }
        found.ages_us.push(u64::try_from(age.as_micros()).unwrap());
        if found.ages_us.len() % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    found
}

/// What a run has to reach for its result to count.
struct Load {
    time: Duration,
    /// After the failover everything is read once more, so only a long run has a rate to speak of.
    hit_rate_min: f64,
    writes_per_second_min: f64,
}

async fn staleness(load: Load) {
    let time = load.time;
    let mut cluster = RedisCluster::start();
    let config = RedisConfig { retry_for: Duration::from_secs(15), response_timeout: Duration::from_millis(500), ..of_cluster(&cluster) };
    let open = async |near: bool| {
        let config = RedisConfig { near: config.near.filter(|_| near), ..config.clone() };
        Mesh::redis(config, MeshConfig::default()).await.expect("the cluster is there")
    };
    let (here, outside, fresh) = (open(true).await, open(false).await, open(false).await);
    for namespace in 0..SPACES {
        let names: Vec<_> = (0..KEYS).filter(|at| at % SPACES == namespace).map(|at| (key(&place(at).1), Value::text("0"))).collect();
        for some in names.chunks(250) {
            space(&outside, &format!("fleet-{namespace}")).set_many(some.to_vec(), Ttl::DEFAULT).await.unwrap();
        }
    }
    near_works(&here, &space(&here, "fleet-0")).await;

    let begin = Instant::now();
    let acknowledged = Arc::new(Acknowledged((0..KEYS).map(|_| Mutex::new(vec![(0, begin)])).collect()));
    let stop = Arc::new(AtomicBool::new(false));
    let writes = Arc::new(AtomicU64::new(0));
    // Each writer has keys of its own, so that the versions of a key are written one after another.
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (outside, acknowledged, stop, writes) =
                (outside.clone(), Arc::clone(&acknowledged), Arc::clone(&stop), Arc::clone(&writes));
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_secs(8) / WRITES_PER_SECOND);
                let mut random = fastrand::Rng::with_seed(writer);
                for version in 1.. {
                    pace.tick().await;
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let at = random.usize(..KEYS / 8) * 8 + usize::try_from(writer).unwrap();
                    let (namespace, name) = place(at);
                    let written = space(&outside, &namespace).set(&key(&name), Value::text(version.to_string()), Ttl::DEFAULT).await;
                    if written.is_ok() {
                        acknowledged.0[at].lock().unwrap().push((version, Instant::now()));
                        writes.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let before = here.metrics().counts();
    let readers: Vec<_> =
        (0..4).map(|seed| tokio::spawn(read(here.clone(), fresh.clone(), Arc::clone(&acknowledged), Arc::clone(&stop), seed))).collect();

    let slot = cluster.slot_of("{fleet-0}");
    let primary = cluster.primary_of(slot, 6).unwrap();
    tokio::time::sleep(time / 3).await;
    let failover = tokio::task::spawn_blocking(move || {
        cluster.node_mut(primary).kill();
        cluster.wait_failover(primary, slot);
        cluster.node_mut(primary).restart();
        cluster.wait_healthy();
        cluster
    });
    let cluster = failover.await.unwrap();
    tokio::time::sleep(time / 3).await;
    stop.store(true, Ordering::Release);
    let elapsed = begin.elapsed();
    for writer in writers {
        writer.await.unwrap();
    }
    let mut all = Found::default();
    for reader in readers {
        let found = reader.await.unwrap();
        all.ages_us.extend(found.ages_us);
        all.lost_writes += found.lost_writes;
        all.failed += found.failed;
    }
    drop(cluster);
    let counts = here.metrics().counts();
    let (hits, misses) = (counts.near_hits - before.near_hits, counts.near_misses - before.near_misses);
    let hit_rate = hits as f64 / (hits + misses) as f64;
    let rate = writes.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
    all.ages_us.sort_unstable();
    let quantile = |part: f64| all.ages_us[((all.ages_us.len() - 1) as f64 * part) as usize];
    println!(
        "{elapsed:.1?}: {} reads, hit rate {hit_rate:.3}, {rate:.0} writes/s of others over {KEYS} keys, one failover; age of what was read: p50 {} µs, \
         p99 {} µs, p99.9 {} µs, max {} µs; {} reads of writes that Redis lost, {} reads failed, emptied {} times",
        all.ages_us.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
        all.lost_writes,
        all.failed,
        counts.near_emptied,
    );
    assert!(hits > 0 && hit_rate >= load.hit_rate_min, "the cache was hardly used: {hit_rate}");
    assert!(rate >= load.writes_per_second_min, "others hardly wrote: {rate}");
    let written = acknowledged.0.iter().filter(|versions| versions.lock().unwrap().len() > 1).count();
    assert!(load.writes_per_second_min == 0.0 || written > KEYS * 99 / 100, "{written} keys were written by others");
    assert!(counts.near_emptied >= 1, "the failover emptied it");
    assert!(Duration::from_micros(quantile(1.0)) <= BOUND, "something older than the bound was served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_older_than_the_lease_is_served() {
    staleness(Load { time: Duration::from_secs(6), hit_rate_min: 0.0, writes_per_second_min: 0.0 }).await;
}

/// Two minutes, or `MYELIN_STALENESS_SECONDS`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "two minutes; the proof of the documented bound"]
async fn nothing_older_than_the_lease_is_served_in_two_minutes() {
    let seconds = std::env::var("MYELIN_STALENESS_SECONDS").map_or(120, |text| text.parse().expect("a number of seconds"));
    staleness(Load { time: Duration::from_secs(seconds * 3 / 2), hit_rate_min: 0.6, writes_per_second_min: 1_000.0 }).await;
}
