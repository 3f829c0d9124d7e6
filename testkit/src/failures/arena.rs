//! The machines, the cluster, and the peers on them.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Plan;
use super::watch::{KINDS, Watch, now_ms};
use crate::crash::log_file;
use crate::registry::Registry;
use crate::{Agent, Host, Hosts, NatsCluster, PATIENCE, Process, Sidecar, eventually, free_ports};

/// How long a start may take on a machine that builds at the same time.
const START: Duration = Duration::from_secs(60);

/// How long the end may take: what is held by nobody comes again, what waits in a pipeline is taken.
const DRAIN: Duration = Duration::from_secs(90);

/// How often logs are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What each peer but the durable publishers sends per second.
const PACE: &str = "20";

/// Fields go in this order, the hosts last.
pub(super) struct Arena {
    senders: Vec<Process>,
    takers: Vec<Process>,
    publisher: Process,
    _agents: [Agent; 2],
    pub(super) sidecars: [Sidecar; 2],
    pub(super) cluster: NatsCluster,
    pub(super) hosts: Hosts,
    watch: Watch,
    logs: TempDir,
    /// What the driver itself noted of starts.
    starts: String,
    /// When the sidecar died to which the producers of the pipeline are connected.
    kills: Vec<u64>,
}

impl Arena {
    #[track_caller]
    pub(super) fn open(plan: &Plan) -> Option<Self> {
        let hosts = Hosts::start(5)?;
        let cluster = NatsCluster::start_on_with([&hosts[2], &hosts[3], &hosts[4]], "max_payload: 9MB\n");
        let [producers, consumers]: [u16; 2] = free_ports();
        let place = |side: &str, port: u16| {
            format!(
                "[[route]]\nname = \"work\"\nkind = \"pipeline\"\nack_wait = \"5s\"\ndeliveries_max = 50\n{side} = {{ bind = [\"tcp://127.0.0.1:{port}\"] }}\n"
            )
        };
        let routes = [place("producers", producers), place("consumers", consumers)];
        let nats = format!("servers = {:?}\nreplicas = 3\nping_interval = \"1s\"", cluster.urls());
        let sidecars = [0, 1].map(|machine| {
            let builder = Sidecar::builder().on(&hosts[machine]).section("bus", "engine = \"nats\"").section("nats", &nats);
            builder.routes(&routes[machine]).start()
        });
        let agents = ["far", "near"].map(|name| {
            let machine = usize::from(name == "near");
            let agent = Agent::rep(name).arg("--register", sidecars[machine].discovery_endpoint()).on(&hosts[machine]).start();
            agent.event("registered");
            agent
        });
        let logs = TempDir::new().expect("a temporary directory can be created");
        let at = |machine: usize| (&hosts[machine], &sidecars[machine]);
        let setup = json!([
            ["STREAM.CREATE.jobs", { "subjects": ["jobs.>"], "retention": "work_queue", "dedup_window_ms": 120_000 }],
            ["CONSUMER.CREATE.jobs.workers", { "deliveries_max": 20, "ack_wait_ms": 3_000, "in_flight_max": 2_000 }],
        ]);
        let mut made = durable(at(1), &logs, "crash_worker", "setup", 0, &["--setup", &setup.to_string()]);
        assert!(made.wait_end(START).success(), "{}", made.tail());
        let far = lookup(at(1), "far");
        let near = lookup(at(1), "near");
        let pipe = |port: u16| format!("tcp://127.0.0.1:{port}");
        let takers = vec![
            peer(at(1), &logs, "sub", "hub", &sidecars[1].subscribers_endpoint()),
            peer(at(1), &logs, "pull", "work", &pipe(consumers)),
            durable(at(1), &logs, "crash_worker", "w0", plan.seed + 1_000, &[]),
            durable(at(1), &logs, "crash_worker", "w1", plan.seed + 1_001, &[]),
        ];
        let senders = vec![
            peer(at(1), &logs, "req", "far", &far),
            peer(at(1), &logs, "dealer", "far", &far),
            peer(at(1), &logs, "req", "near", &near),
            peer(at(0), &logs, "pub", "hub", &sidecars[0].publishers_endpoint()),
            peer(at(0), &logs, "push", "work", &pipe(producers)),
        ];
        let publisher = durable(at(0), &logs, "crash_publisher", "p0", plan.seed, &["--plain", "--rate", &plan.rate.to_string()]);
        let watch = Watch::of(logs.path());
        let (starts, kills) = (String::new(), Vec::new());
        let mut arena = Self { senders, takers, publisher, _agents: agents, sidecars, cluster, hosts, watch, logs, starts, kills };
        for machine in [0, 1] {
            arena.note_start(machine);
        }
        Some(arena)
    }

    /// Lets it live for so long, and looks that nobody ends by himself.
    #[track_caller]
    pub(super) fn live(&mut self, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            self.check();
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    /// Waits until something of each kind that was sent after this moment has arrived. Tells whether all of them did.
    #[track_caller]
    pub(super) fn until_back(&mut self, since: u64, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            self.live(LOOK);
            let is_back = KINDS.iter().all(|kind| self.watch().back(kind, since).is_some());
            if is_back || Instant::now() >= end {
                return is_back;
            }
        }
    }

    pub(super) fn watch(&mut self) -> &Watch {
        self.watch.look();
        &self.watch
    }

    /// Which node leads the stream of jobs.
    #[track_caller]
    pub(super) fn leader(&mut self) -> usize {
        let mut ask = Agent::program("nats_leader");
        ask.arg("MYELIN_jobs").args(self.cluster.urls().iter().map(|url| url.trim_start_matches("nats://").to_owned()));
        let process = self.hosts[2].spawn("nats_leader", &mut ask);
        process.wait_line("a leader", START, |line| (0..3).find(|node| line == NatsCluster::name_of(*node)))
    }

    #[track_caller]
    pub(super) fn kill_sidecar(&mut self, machine: usize) {
        if machine == 0 {
            self.kills.push(now_ms());
        }
        self.sidecars[machine].kill9();
        self.sidecars[machine].restart_within(START);
        self.note_start(machine);
    }

    /// Lets everybody finish, takes what is left, and returns the logs and the moments at which the producers' sidecar was killed. One that does
    /// not flow any more is not drained: what it has lost is not told from what it has not delivered.
    #[track_caller]
    pub(super) fn finish(mut self, is_back: bool) -> (TempDir, Vec<u64>) {
        self.publisher.write_line("stop");
        for sender in &mut self.senders {
            sender.write_line("stop");
        }
        if is_back {
            assert!(self.publisher.wait_end(DRAIN).success(), "{}", self.publisher.tail());
            eventually("what was pushed is pulled", DRAIN, || (self.left("PIPELINE_work")? == 0).then_some(()));
            // The last ones may be between the agents and the stream. Those that died with a sidecar never come, hence no failure here.
            let end = Instant::now() + PATIENCE;
            while self.watch().open("pipeline") > 0 && Instant::now() < end {
                std::thread::sleep(LOOK);
            }
            // They die as they may at any time. What they had in hand comes to the drain.
            self.takers.clear();
            let mut drain = durable((&self.hosts[1], &self.sidecars[1]), &self.logs, "crash_worker", "drain", 0, &["--drain"]);
            assert!(drain.wait_end(DRAIN).success(), "{}", drain.tail());
            assert_eq!([self.sidecars[0].terminate(), self.sidecars[1].terminate()], [0, 0]);
        }
        std::fs::write(log_file(self.logs.path(), "driver", "starts"), &self.starts).expect("the temporary directory can be written");
        (self.logs, self.kills)
    }

    /// How many messages a stream has.
    fn left(&self, stream: &str) -> Option<u64> {
        let told = self.hosts[1].enter(|| self.sidecars[1].command(&["stream", "info", stream, "--json"]).output()).ok()?;
        serde_json::from_slice::<Value>(&told.stdout).ok()?["messages"].as_u64()
    }

    #[track_caller]
    fn check(&mut self) {
        for process in self.senders.iter_mut().chain(&mut self.takers).chain([&mut self.publisher]) {
            assert!(process.ended().is_none(), "a peer ended: {}", process.tail());
        }
        for sidecar in &mut self.sidecars {
            assert!(sidecar.is_running(), "a sidecar ended: {}", sidecar.process().tail());
        }
    }

    /// Which server answers now, as its clients see it.
    #[track_caller]
    fn note_start(&mut self, machine: usize) {
        let address = self.sidecars[machine].nats_url().trim_start_matches("nats://").parse().expect("an address");
        let stream = self.hosts[machine].connect(address).expect("it is ready");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout that is not zero");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("INFO comes first");
        let info: Value = serde_json::from_str(line.trim_start_matches("INFO ")).expect("JSON");
        writeln!(self.starts, "G {} 0", info["server_id"].as_str().expect("a server has an id")).expect("a string takes everything");
    }
}

type Machine<'a> = (&'a Host, &'a Sidecar);

#[track_caller]
fn lookup((host, sidecar): Machine<'_>, name: &str) -> String {
    let question = json!({"action": "get_agent_endpoint", "agent_name": name});
    let place = host.enter(|| {
        let registry = Registry::at(sidecar.discovery());
        eventually("the agent is found", PATIENCE, || (registry.ask(&question)["status"] == "success").then_some(()));
        registry.endpoint(name)
    });
    format!("tcp://{place}")
}

/// A ZeroMQ peer, at a steady pace.
#[track_caller]
fn peer((host, _): Machine<'_>, logs: &TempDir, role: &str, name: &str, endpoint: &str) -> Process {
    let mut command = Agent::program("failures_peer");
    let own = format!("{role}-{name}");
    command.args(["--role", role, "--endpoint", endpoint, "--name", &own, "--rate", PACE, "--log"]);
    host.spawn(&own, command.arg(log_file(logs.path(), role, name)))
}

/// A NATS client that works with streams.
#[track_caller]
fn durable((host, sidecar): Machine<'_>, logs: &TempDir, script: &str, name: &str, seed: u64, more: &[&str]) -> Process {
    let (url, kind) = (sidecar.nats_url(), script.trim_start_matches("crash_"));
    let mut command = Agent::program(script);
    command.args(["--address", url.trim_start_matches("nats://"), "--name", name, "--seed", &seed.to_string(), "--log"]);
    host.spawn(name, command.arg(log_file(logs.path(), if name == "setup" { name } else { kind }, name)).args(more))
}
