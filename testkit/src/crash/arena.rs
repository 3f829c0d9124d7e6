//! The sidecar and the processes around it.

use super::{Plan, log_file};
use crate::{Agent, PATIENCE, Process, Sidecar};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a start may take: on a machine that builds at the same time, a sync of its disk alone can take a second.
const START: Duration = Duration::from_secs(60);

/// How long the end of everything may take: what was delayed comes, what is held by nobody comes again.
const DRAIN: Duration = Duration::from_secs(90);

/// A worker dies about so often per batch of messages.
const WORKER_DIES: &str = "0.002";

pub(super) struct Arena {
    sidecar: Sidecar,
    publishers: Vec<Process>,
    workers: Vec<Worker>,
    /// Outside of the sidecar's state, as the name says that its peers keep.
    logs: TempDir,
    /// What the driver itself noted.
    starts: String,
}

struct Worker {
    name: String,
    lives: u32,
    seed: u64,
    process: Process,
}

impl Arena {
    #[track_caller]
    pub(super) fn open(plan: &Plan) -> Self {
        let logs = TempDir::new().expect("a temporary directory can be created");
        let sidecar = Sidecar::start();
        let mut arena = Self { sidecar, publishers: Vec::new(), workers: Vec::new(), logs, starts: String::new() };
        arena.note_start();
        let setup = json!([
            ["STREAM.CREATE.jobs", { "subjects": ["jobs.>"], "retention": "work_queue", "dedup_window_ms": 30_000, "dead_letter_expired": true }],
            ["CONSUMER.CREATE.jobs.workers", { "deliveries_max": 4, "ack_wait_ms": 3_000, "in_flight_max": 2_000 }],
        ]);
        let mut made = arena.peer("crash_worker", "setup", "setup", 0, &["--setup", &setup.to_string()]);
        assert!(made.wait_end(PATIENCE).success(), "{}", made.tail());
        for number in 0..plan.publishers {
            let rate = plan.rate.to_string();
            let publisher =
                arena.peer("crash_publisher", "publisher", &format!("p{number}"), plan.seed + u64::from(number), &["--rate", &rate]);
            arena.publishers.push(publisher);
        }
        for number in 0..plan.workers {
            let (name, seed) = (format!("w{number}"), plan.seed + 1_000 + u64::from(number));
            let process = arena.worker(&name, 0, seed);
            arena.workers.push(Worker { name, lives: 1, seed, process });
        }
        arena
    }

    /// Lets it live for so long. Workers that died in the meantime have successors.
    pub(super) fn live(&mut self, life: Duration) {
        let end = Instant::now() + life;
        while Instant::now() < end {
            self.replace_workers();
            std::thread::sleep(Duration::from_millis(5).min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Kills it and starts it on what it left. Tells how long the start took.
    #[track_caller]
    pub(super) fn kill(&mut self) -> Duration {
        self.sidecar.kill9();
        let begin = Instant::now();
        self.sidecar.restart_within(START);
        let took = begin.elapsed();
        self.note_start();
        for publisher in &mut self.publishers {
            assert!(publisher.ended().is_none(), "a publisher ended: {}", publisher.tail());
        }
        took
    }

    /// Lets everybody finish, takes what is left in the stream, and returns the logs.
    #[track_caller]
    pub(super) fn finish(mut self) -> TempDir {
        for publisher in &mut self.publishers {
            publisher.write_line("stop");
        }
        for publisher in &mut self.publishers {
            assert!(publisher.wait_end(DRAIN).success(), "{}", publisher.tail());
        }
        // They die as they may at any time. What they had in hand comes to the drain.
        self.workers.clear();
        let mut drain = self.peer("crash_worker", "worker", "drain", 0, &["--drain"]);
        assert!(drain.wait_end(DRAIN).success(), "{}", drain.tail());
        std::fs::write(log_file(self.logs.path(), "driver", "starts"), &self.starts).expect("the temporary directory can be written");
        assert_eq!(self.sidecar.terminate(), 0);
        self.logs
    }

    /// Which server answers now, as its clients see it, and whether it missed something in its store.
    #[track_caller]
    fn note_start(&mut self) {
        let address = self.sidecar.nats_url();
        let address = address.strip_prefix("nats://").expect("a URL of NATS");
        let stream = TcpStream::connect(address).expect("it is ready");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("INFO comes first");
        let info: Value = serde_json::from_str(line.trim_start_matches("INFO ")).expect("JSON");
        let is_damaged = self.sidecar.state_dir().join("store/damage.json").exists();
        let server = info["server_id"].as_str().expect("a server has an id");
        writeln!(self.starts, "G {server} {}", u8::from(is_damaged)).expect("a string takes everything");
    }

    fn replace_workers(&mut self) {
        for at in 0..self.workers.len() {
            let Some(status) = self.workers[at].process.ended() else { continue };
            let worker = &self.workers[at];
            assert!(status.success(), "a worker failed: {}", worker.process.tail());
            let process = self.worker(&worker.name, worker.lives, worker.seed);
            let worker = &mut self.workers[at];
            (worker.process, worker.lives) = (process, worker.lives + 1);
        }
    }

    fn worker(&self, name: &str, life: u32, seed: u64) -> Process {
        let name = format!("{name}-{life}");
        self.peer("crash_worker", "worker", &name, seed + 10_000 * u64::from(life), &["--dies", WORKER_DIES])
    }

    fn peer(&self, script: &str, kind: &str, name: &str, seed: u64, more: &[&str]) -> Process {
        let url = self.sidecar.nats_url();
        let mut command = Agent::program(script);
        command.args(["--address", url.trim_start_matches("nats://"), "--name", name, "--seed", &seed.to_string(), "--log"]);
        command.arg(log_file(self.logs.path(), kind, name)).args(more);
        Process::spawn(name, &mut command)
    }
}
