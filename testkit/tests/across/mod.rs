//! Two machines, each with a sidecar, and a NATS server on a third, all on hosts of their own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Host, Hosts, NatsServer, PATIENCE, Sidecar, SidecarBuilder, eventually};

/// Long enough to see that nothing comes.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

/// What is on the network. Fields go in this order, the hosts last.
pub(crate) struct Machines {
    pub(crate) sidecars: [Sidecar; 2],
    pub(crate) nats: NatsServer,
    pub(crate) hosts: Hosts,
}

impl Machines {
    /// With these `[[route]]` tables each; nothing where the kernel has no namespaces.
    #[track_caller]
    pub(crate) fn start(routes: [&str; 2]) -> Option<Self> {
        let hosts = Hosts::start(3)?;
        let nats = NatsServer::start_on_with(&hosts[2], "max_payload: 9MB\n");
        let sidecars = [0, 1].map(|number| Self::sidecar(&hosts, &nats, number, routes[number]));
        Some(Self { sidecars, nats, hosts })
    }

    /// The registry of a machine, asked by whoever is there.
    #[track_caller]
    pub(crate) fn lookup(&self, machine: usize, name: &str) -> SocketAddr {
        let question = serde_json::json!({"action": "get_agent_endpoint", "agent_name": name});
        self.hosts[machine].enter(|| {
            let registry = Registry::at(self.sidecars[machine].discovery());
            eventually("the agent is found", PATIENCE, || (registry.ask(&question)["status"] == "success").then_some(()));
            registry.endpoint(name)
        })
    }

    /// One request of a new client on a machine.
    #[track_caller]
    pub(crate) fn ask(&self, machine: usize, place: SocketAddr, body: &[u8]) -> Vec<Vec<u8>> {
        self.hosts[machine].enter(|| call(place, body))
    }

    /// A peer made of bytes on a machine.
    #[track_caller]
    pub(crate) fn peer(&self, machine: usize, place: SocketAddr, socket_type: &str) -> Peer {
        self.hosts[machine].enter(|| Peer::connect(place, socket_type))
    }

    /// Started, with an older version on the machine that `MYELIN_OLDER_MACHINE` names, if it names one (`testkit/upgrade.sh`).
    #[track_caller]
    fn sidecar(hosts: &Hosts, nats: &NatsServer, number: usize, routes: &str) -> Sidecar {
        let builder = builder(&hosts[number], nats).routes(routes);
        let older = std::env::var("MYELIN_OLDER_MACHINE").is_ok_and(|machine| machine == number.to_string());
        if older { builder.older() } else { builder }.start()
    }
}

/// A sidecar on a host, linked by a server.
pub(crate) fn builder(host: &Host, nats: &NatsServer) -> SidecarBuilder {
    Sidecar::builder()
        .on(host)
        .section("bus", "engine = \"nats\"")
        .section("nats", &format!("servers = [{:?}]\nping_interval = \"1s\"", nats.url()))
}
