//! Reads of a mesh over a real Redis that this program starts: P9 and P10, and what they are compared with, interleaved round by round.
//!
//! `cargo xtask bench mesh`, or `cargo bench -p myelin-benches --bench mesh` (`-- --quick` for a twentieth of the load, which judges nothing;
//! `-- --rounds 7`; `-- --strict`, which fails when a goal is missed)
//!
//! Closed loop, keys of 10,000, values of 256 bytes, all on loopback and unpinned, the runtime with one thread per core. Cells:
//! - `mesh`: `Space::get` without near cache, through the pool.
//! - `multiplexed`: GET on one multiplexed connection of redis-rs, which is as fast as a client of this kind can be.
//! - `deadpool`: deadpool-redis as it comes: a connection per checkout, and a PING before each.
//! - `near`: `Space::get` with the near cache, all keys kept. P10 is its time per read, on one task.
//! - `redis-rs cache`: the client-side cache of redis-rs, all keys kept, for comparison.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal; a failed set-up is a failed bench")]

mod report;

use myelin_mesh::{Key, Mesh, MeshConfig, Namespace, RedisConfig, Space, Ttl, Value};
use myelin_testkit::RedisServer;
use redis::aio::MultiplexedConnection;
use redis::caching::CacheConfig;
use redis::{AsyncConnectionConfig, Client};
use report::Report;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const KEYS: usize = 10_000;
const VALUE_BYTES: usize = 256;

/// What reads one key.
#[derive(Clone)]
enum Reader {
    Mesh(Space, std::sync::Arc<Vec<Key>>),
    Multiplexed(MultiplexedConnection),
    Deadpool(deadpool_redis::Pool),
}

impl Reader {
    async fn read(&mut self, at: usize) {
        match self {
            Self::Mesh(space, keys) => assert!(space.get(&keys[at]).await.unwrap().is_some()),
            Self::Multiplexed(connection) => get(connection, at).await,
            Self::Deadpool(pool) => get(&mut pool.get().await.unwrap(), at).await,
        }
    }
}

async fn get(connection: &mut impl redis::aio::ConnectionLike, at: usize) {
    let value: Vec<u8> = redis::cmd("GET").arg(format!("my:{{bench}}:e:key-{at}")).query_async(connection).await.unwrap();
    assert!(!value.is_empty());
}

/// How much is measured.
struct Settings {
    reads: usize,
    rounds: usize,
    quick: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let is_given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let rounds = arguments.iter().position(|argument| argument == "--rounds").map_or(5, |at| arguments[at + 1].parse().unwrap());
    let quick = is_given("--quick");
    let settings = Settings { reads: if quick { 5_000 } else { 100_000 }, rounds: if quick { 1 } else { rounds }, quick };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let holds = runtime.block_on(bench(settings));
    if holds || !is_given("--strict") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures and tells; whether the goals are met.
async fn bench(settings: Settings) -> bool {
    let server = RedisServer::start();
    let (mesh, keys) = fill(&server).await;
    let near = Mesh::redis(endpoint(&server), MeshConfig::default()).await.unwrap();
    let space = |mesh: &Mesh| mesh.space(Namespace::new("bench").unwrap());
    let client = Client::open(format!("redis://127.0.0.1:{}/?protocol=resp3", server.port())).unwrap();
    let raw = client.get_multiplexed_async_connection().await.unwrap();
    let caching = AsyncConnectionConfig::new().set_cache_config(CacheConfig::new());
    let cached = client.get_multiplexed_async_connection_with_config(&caching).await.unwrap();
    let pool = deadpool_redis::Config::from_url(format!("redis://127.0.0.1:{}", server.port()));
    let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1)).unwrap();
    let keys = std::sync::Arc::new(keys);
    let cells = [
        ("mesh", Reader::Mesh(space(&mesh), keys.clone())),
        ("multiplexed", Reader::Multiplexed(raw)),
        ("deadpool", Reader::Deadpool(pool)),
        ("near", Reader::Mesh(space(&near), keys)),
        ("redis-rs cache", Reader::Multiplexed(cached)),
    ];
    warm(&near, &cells).await;
    let mut found = vec![[Vec::new(), Vec::new(), Vec::new()]; cells.len()];
    for round in 0..settings.rounds {
        for at in 0..cells.len() {
            let cell = (round + at) % cells.len();
            for (load, tasks) in [1, 64, 256].into_iter().enumerate() {
                // One task that waits for each answer reads less in the same time.
                let reads = if tasks == 1 && !matches!(cell, 3 | 4) { settings.reads / 10 } else { settings.reads };
                found[cell][load].push(rate(&cells[cell].1, tasks, reads).await);
            }
        }
    }
    let hits = near.metrics().counts();
    let report = Report { cells: cells.iter().zip(found).map(|((name, _), loads)| (*name, loads)).collect() };
    report.tell(&settings);
    println!("  note: near cache: {} hits, {} misses", hits.near_hits, hits.near_misses);
    settings.quick || report.holds()
}

fn endpoint(server: &RedisServer) -> RedisConfig {
    RedisConfig::single(format!("127.0.0.1:{}", server.port()))
}

async fn fill(server: &RedisServer) -> (Mesh, Vec<Key>) {
    let config = MeshConfig { compress_from_bytes: usize::MAX, ..MeshConfig::default() };
    let mesh = Mesh::redis(RedisConfig { near: None, ..endpoint(server) }, config).await.unwrap();
    let keys: Vec<_> = (0..KEYS).map(|at| Key::new(&format!("key-{at}")).unwrap()).collect();
    let space = mesh.space(Namespace::new("bench").unwrap());
    for some in keys.chunks(200) {
        space.set_many(some.iter().map(|key| (key.clone(), Value::bytes(vec![7; VALUE_BYTES]))).collect(), Ttl::DEFAULT).await.unwrap();
    }
    (mesh, keys)
}

/// Every cell has read every key, and the near cache has its lease.
async fn warm(near: &Mesh, cells: &[(&str, Reader)]) {
    let Some((_, Reader::Mesh(space, keys))) = cells.get(3) else { unreachable!("the fourth cell is the near cache") };
    let deadline = Instant::now() + Duration::from_secs(10);
    while near.metrics().counts().near_hits == 0 {
        assert!(Instant::now() < deadline, "the near cache serves nothing");
        space.get(&keys[0]).await.unwrap();
    }
    for (_, reader) in cells {
        let mut reader = reader.clone();
        for at in 0..KEYS {
            reader.read(at).await;
        }
    }
}

/// Reads a second of `tasks` that each wait for one answer before they ask again.
async fn rate(reader: &Reader, tasks: usize, reads: usize) -> f64 {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let mut reader = reader.clone();
            let reads = reads / tasks;
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(task as u64);
                for _ in 0..reads {
                    reader.read(random.usize(..KEYS)).await;
                }
                reads
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    done as f64 / begin.elapsed().as_secs_f64()
}
