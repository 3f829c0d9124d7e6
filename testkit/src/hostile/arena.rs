//! A sidecar with sockets of every type, to misbehave at.

use super::neighbours::Neighbours;
use super::served::Served;
use crate::sidecar::{Sidecar, SidecarBuilder};
use crate::wait::PATIENCE;
use crate::zmtp::{Options, Peer};
use crate::{free_ports, http};
use serde_json::Value;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

/// A sidecar with one route of each kind for healthy agents, pipelines of both kinds among them, and a second service and second pipelines where
/// hostile agents may take what would otherwise have been a neighbour's work.
#[derive(Debug)]
pub struct Arena {
    /// The sidecar under attack.
    pub sidecar: Sidecar,
    places: Places,
}

/// Where agents of each role connect.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names are those of the configuration")]
pub struct Places {
    pub callers: SocketAddr,
    pub agents: SocketAddr,
    pub publishers: SocketAddr,
    pub subscribers: SocketAddr,
    pub producers: SocketAddr,
    pub consumers: SocketAddr,
    /// The callers' side of the second service.
    pub other_callers: SocketAddr,
    /// The agents' side of the second service.
    pub other_agents: SocketAddr,
    /// The producers' side of the second durable pipeline.
    pub other_producers: SocketAddr,
    /// The consumers' side of the second durable pipeline.
    pub other_consumers: SocketAddr,
    pub memory_producers: SocketAddr,
    pub memory_consumers: SocketAddr,
    /// The producers' side of the second pipeline in memory.
    pub other_memory_producers: SocketAddr,
    /// The consumers' side of the second pipeline in memory.
    pub other_memory_consumers: SocketAddr,
}

/// How many there are of what [`Arena::every_place`] returns.
const PLACES: usize = 11;

const IN_MEMORY: &str = "durable = false\n";

/// A listening socket of the sidecar, for what is tried at every type.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// What the configuration calls it.
    pub name: &'static str,
    /// The type a peer has here.
    pub peer_type: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Arena {
    /// With the built-in defaults.
    ///
    /// # Panics
    /// When the sidecar does not start.
    #[must_use]
    #[track_caller]
    pub fn open() -> Self {
        Self::with(Sidecar::builder())
    }

    /// With more configuration.
    ///
    /// # Panics
    /// When the sidecar does not start.
    #[must_use]
    #[track_caller]
    pub fn with(builder: SidecarBuilder) -> Self {
        Self::with_jobs(builder, "")
    }

    /// With more lines in the table of the second durable pipeline.
    ///
    /// # Panics
    /// When the sidecar does not start.
    #[must_use]
    #[track_caller]
    pub fn with_jobs(builder: SidecarBuilder, other_jobs: &str) -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [callers, agents, publishers, subscribers, producers, consumers] = free_ports().map(at);
        let [other_callers, other_agents, other_producers, other_consumers] = free_ports().map(at);
        let [memory_producers, memory_consumers, other_memory_producers, other_memory_consumers] = free_ports().map(at);
        let places = Places {
            callers,
            agents,
            publishers,
            subscribers,
            producers,
            consumers,
            other_callers,
            other_agents,
            other_producers,
            other_consumers,
            memory_producers,
            memory_consumers,
            other_memory_producers,
            other_memory_consumers,
        };
        let service = |name, callers, agents| route(name, "service", ("callers", callers), ("agents", agents), "");
        let pipeline = |name, (first, second), lines: &str| route(name, "pipeline", ("producers", first), ("consumers", second), lines);
        let routes = [
            service("calls", callers, agents),
            service("other-calls", other_callers, other_agents),
            route("status", "topic", ("publishers", publishers), ("subscribers", subscribers), ""),
            pipeline("jobs", (producers, consumers), ""),
            pipeline("other-jobs", (other_producers, other_consumers), other_jobs),
            pipeline("memory-jobs", (memory_producers, memory_consumers), IN_MEMORY),
            pipeline("other-memory-jobs", (other_memory_producers, other_memory_consumers), IN_MEMORY),
        ];
        Self { sidecar: builder.routes(&routes.concat()).start(), places }
    }

    /// Where agents connect.
    #[must_use]
    pub const fn places(&self) -> Places {
        self.places
    }

    /// One listening socket for each type the sidecar has, and those of the hub and of discovery. Whoever takes work is at the second service
    /// and the second pipelines.
    #[must_use]
    pub fn every_place(&self) -> [Place; PLACES] {
        let place = |name, peer_type, address| Place { name, peer_type, address };
        [
            place("callers", "DEALER", self.places.callers),
            place("agents", "REP", self.places.other_agents),
            place("publishers", "PUB", self.places.publishers),
            place("subscribers", "SUB", self.places.subscribers),
            place("producers", "PUSH", self.places.other_producers),
            place("consumers", "PULL", self.places.other_consumers),
            place("producers in memory", "PUSH", self.places.other_memory_producers),
            place("consumers in memory", "PULL", self.places.other_memory_consumers),
            place("discovery", "REQ", self.sidecar.discovery()),
            place("hub.publishers", "XPUB", self.sidecar.publishers()),
            place("hub.subscribers", "XSUB", self.sidecar.subscribers()),
        ]
    }

    /// What the sidecar has counted of ZeroMQ, a line of `/metrics` for each; nothing when it does not answer.
    #[must_use]
    pub fn counted(&self) -> Vec<String> {
        let text = http::get(self.sidecar.http(), "/metrics", PATIENCE).map(|answer| answer.body).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("myelin_zmq") && !line.ends_with(" 0")).map(ToOwned::to_owned).collect()
    }

    /// Messages that a durable pipeline has read from producers and not stored yet.
    ///
    /// # Panics
    /// When `myelin zmq` does not tell.
    #[must_use]
    #[track_caller]
    pub fn unstored(&self, route: &str) -> u64 {
        let output = self.sidecar.command(&["zmq", "--json"]).output().expect("it starts");
        let all: Value = serde_json::from_slice(&output.stdout).expect("an answer in JSON");
        let pipelines = all["pipelines"].as_array().into_iter().flatten();
        let unstored = pipelines.filter(|pipeline| pipeline["route"] == route).find_map(|pipeline| pipeline["unstored"].as_u64());
        unstored.expect("the pipeline is there")
    }

    /// Runs `attack` while agents at every route go on with their work, and a little longer.
    ///
    /// # Panics
    /// When the neighbours are not served before the attack begins, or the sidecar has ended.
    #[track_caller]
    pub fn served_while(&self, attack: impl FnOnce()) -> Served {
        let neighbours = Neighbours::begin(self.places);
        self.sidecar.process().forget_peak();
        let before = self.sidecar.process().memory();
        neighbours.forget();
        attack();
        let served = neighbours.finish();
        let after = self.sidecar.process().memory();
        assert!(self.sidecar.is_ready(), "ready after the attack");
        Served { memory_before: before.resident, memory_grown: after.peak.saturating_sub(before.resident), ..served }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        // What a failure needs most: was it dropped, refused or closed?
        drop(writeln!(std::io::stderr().lock(), "the sidecar counted\n{}", self.counted().join("\n")));
    }
}

impl Place {
    /// A peer that has done its handshake here.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Peer {
        Peer::connect_with(self.address, self.peer_type, &Options::default())
    }
}

fn route(name: &str, kind: &str, first: (&str, SocketAddr), second: (&str, SocketAddr), lines: &str) -> String {
    let side = |(side, address): (&str, SocketAddr)| format!("{side} = {{ bind = [\"tcp://{address}\"] }}\n");
    format!("[[route]]\nname = \"{name}\"\nkind = \"{kind}\"\n{}{}{lines}\n", side(first), side(second))
}
