//! A sidecar with sockets of every type, to misbehave at.

use super::neighbours::{Neighbours, Served};
use crate::sidecar::{Sidecar, SidecarBuilder};
use crate::wait::PATIENCE;
use crate::zmtp::{Options, Peer};
use crate::{free_port, free_ports, http};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

/// A sidecar with one route of each kind for healthy agents, and a second service and pipeline where hostile agents may take what would
/// otherwise have been a neighbour's work.
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
    /// The producers' side of the second pipeline.
    pub other_producers: SocketAddr,
    /// The consumers' side of the second pipeline.
    pub other_consumers: SocketAddr,
}

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
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [callers, agents, publishers, subscribers, producers, consumers] = free_ports().map(at);
        let [other_callers, other_agents, other_producers, other_consumers] = [(); 4].map(|()| at(free_port()));
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
        };
        let routes = [
            route("calls", "service", ("callers", callers), ("agents", agents)),
            route("status", "topic", ("publishers", publishers), ("subscribers", subscribers)),
            route("jobs", "pipeline", ("producers", producers), ("consumers", consumers)),
            route("other-calls", "service", ("callers", other_callers), ("agents", other_agents)),
            route("other-jobs", "pipeline", ("producers", other_producers), ("consumers", other_consumers)),
        ];
        Self { sidecar: builder.routes(&routes.concat()).start(), places }
    }

    /// Where agents connect.
    #[must_use]
    pub const fn places(&self) -> Places {
        self.places
    }

    /// One listening socket for each type the sidecar has, and those of the hub and of discovery. Whoever takes work is at the second service
    /// and the second pipeline.
    #[must_use]
    pub fn every_place(&self) -> [Place; 9] {
        let place = |name, peer_type, address| Place { name, peer_type, address };
        [
            place("callers", "DEALER", self.places.callers),
            place("agents", "REP", self.places.other_agents),
            place("publishers", "PUB", self.places.publishers),
            place("subscribers", "SUB", self.places.subscribers),
            place("producers", "PUSH", self.places.other_producers),
            place("consumers", "PULL", self.places.other_consumers),
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

fn route(name: &str, kind: &str, first: (&str, SocketAddr), second: (&str, SocketAddr)) -> String {
    let side = |(side, address): (&str, SocketAddr)| format!("{side} = {{ bind = [\"tcp://{address}\"] }}\n");
    // In memory: how soon neighbours are served is judged here, and a durable one also waits for the disk. Durable pipelines under attack have no
    // test of this kind yet.
    let in_memory = if kind == "pipeline" { "durable = false\n" } else { "" };
    format!("[[route]]\nname = \"{name}\"\nkind = \"{kind}\"\n{in_memory}{}{}\n", side(first), side(second))
}
