//! Sidecars and servers on hosts: each is ready there, serves the agents of its host over loopback, keeps its ports over a
//! restart, and is reached from elsewhere only where that was asked for.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::{Agent, Host, Hosts, NatsServer, Sidecar};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;

/// Who answers behind an address, asked from a host.
#[track_caller]
fn who(from: &Host, address: SocketAddr) -> String {
    let reply = from.enter(|| call(address, br#"{"action": "token", "token": "t"}"#));
    let reply: Value = serde_json::from_slice(&reply[0]).expect("JSON");
    reply["agent"].as_str().expect("a name").to_owned()
}

#[test]
fn a_sidecar_on_each_host_serves_the_agents_of_its_host() {
    let Some(hosts) = Hosts::two() else { return };
    let mut both = [0, 1].map(|number| {
        let host = &hosts[number];
        let sidecar = Sidecar::builder().on(host).start();
        let name = format!("agent-{number}");
        let agent = Agent::rep(&name).arg("--register", sidecar.discovery_endpoint()).on(host).start();
        agent.event("registered");
        (name, sidecar, agent)
    });
    for (host, (name, sidecar, _agent)) in hosts.all().iter().zip(&mut both) {
        let place = host.enter(|| Registry::at(sidecar.discovery()).endpoint(name));
        assert_eq!(who(host, place), *name);
        assert!(host.processes().contains(&sidecar.process().pid()));
        sidecar.restart();
        assert!(sidecar.is_ready());
        assert_eq!(host.enter(|| Registry::at(sidecar.discovery()).endpoint(name)), place);
        assert_eq!(who(host, place), *name);
        assert!(host.connect(sidecar.http()).is_ok());
        assert_eq!(sidecar.terminate(), 0);
    }
    let quiet = hosts.all().iter().all(|host| host.cable().traffic().bytes_out == 0);
    assert!(quiet, "sidecars that know nothing of each other say nothing to each other");
}

#[test]
fn a_reachable_sidecar_leads_agents_of_other_hosts_to_its_own() {
    let Some(hosts) = Hosts::two() else { return };
    let sidecar = Sidecar::builder().on(&hosts[0]).reachable().start();
    // It registers at the address of its host, which is then where the sidecar looks for it.
    let far = Agent::rep("far").arg("--bind-host", "0.0.0.0").arg("--register", sidecar.discovery_endpoint());
    let agent = far.on(&hosts[0]).start();
    agent.event("registered");
    let place = hosts[1].enter(|| Registry::at(sidecar.discovery()).endpoint("far"));
    assert_eq!(place.ip(), hosts[0].address());
    assert_eq!(who(&hosts[1], place), "far");
}

#[test]
fn a_nats_server_on_a_host_is_reached_from_another() {
    let Some(hosts) = Hosts::two() else { return };
    let nats = NatsServer::start_on(&hosts[0]);
    let address: SocketAddr = nats.url().strip_prefix("nats://").expect("a NATS URL").parse().expect("an address");
    let mut greeting = String::new();
    let socket = hosts[1].connect(address).expect("it listens");
    BufReader::new(socket).read_line(&mut greeting).expect("it greets");
    assert!(greeting.starts_with("INFO "), "{greeting}");
}
