//! Agents register in either dialect and are found in either, on the sidecar's own ports, from the moment they are registered.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::{Agent, PATIENCE, Sidecar, eventually, free_port};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Who answers behind an address.
#[track_caller]
fn who(address: SocketAddr) -> String {
    let reply = call(address, br#"{"action": "token", "token": "t"}"#);
    let reply: Value = serde_json::from_slice(&reply[0]).expect("JSON");
    reply["agent"].as_str().expect("a name").to_owned()
}

#[test]
fn both_dialects_find_what_either_registered() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    for (name, dialect) in [("TwinAgent", "action"), ("Service Two/é", "command")] {
        let agent = Agent::rep(name).arg("--register", sidecar.discovery_endpoint()).arg("--dialect", dialect).start();
        agent.event("registered");
        assert_eq!(who(registry.endpoint(name)), name);
        assert_eq!(who(registry.discover(name)), name);
        assert_eq!(registry.endpoint(name), registry.discover(name), "one port per name");
    }
    let listed = registry.ask(&json!({"action": "list_agents"}));
    assert_eq!(listed["status"], "success");
    assert_eq!(listed["agents"].as_array().map(Vec::len), Some(2), "{listed}");
}

#[test]
fn fields_at_the_top_level_are_a_registration_too() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let port = free_port();
    let _agent = Agent::script("rep_agent").arg("--name", "Flat").arg("--port", port).start();
    let answer = registry.ask(&json!({
        "action": "register_agent", "agent_name": "Flat", "agent_type": "flat", "host": "127.0.0.1", "port": port,
        "capabilities": ["a"], "metadata": {}
    }));
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(who(registry.endpoint("Flat")), "Flat");
}

#[test]
fn an_agent_that_moves_keeps_its_place_with_us() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let first = Agent::registered("Mover", &sidecar.discovery_endpoint());
    let place = registry.endpoint("Mover");
    assert_eq!(who(place), "Mover");
    drop(first);
    let _second = Agent::registered("Mover", &sidecar.discovery_endpoint());
    assert_eq!(registry.endpoint("Mover"), place, "clients that remember the place go on");
    assert_eq!(who(place), "Mover");
}

#[test]
fn a_restart_on_the_same_port_needs_no_registration() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let port = free_port();
    let start = || Agent::script("rep_agent").arg("--name", "Phoenix").arg("--port", port);
    let agent = start().arg("--register", sidecar.discovery_endpoint()).start();
    agent.event("registered");
    let place = registry.endpoint("Phoenix");
    drop(agent);
    let _agent = start().start();
    assert_eq!(who(place), "Phoenix");
}

#[test]
fn the_answer_names_the_address_the_client_came_through() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let registry = Registry::at(sidecar.discovery());
    assert_eq!(registry.endpoint("Agent").ip(), sidecar.discovery().ip());
    assert_ne!(registry.endpoint("Agent"), registry.health_endpoint("Agent"));
}

#[test]
fn a_registration_cannot_point_at_a_stranger() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let answer =
        registry.ask(&json!({"action": "register_agent", "agent_name": "Evil", "registration_data": {"host": "192.0.2.1", "port": 80}}));
    assert_ne!(answer["status"], "success", "{answer}");
    let found = registry.ask(&json!({"action": "get_agent_endpoint", "agent_name": "Evil"}));
    assert_eq!(found, json!({"status": "error", "error": "Agent Evil not found"}));
}

#[test]
fn pyzmq_clients_with_timeouts_use_what_they_discovered() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let mut client = Agent::script("client").start();
    let ask = |client: &mut Agent, endpoint: &str, body: &str, timeout_ms: u64| {
        let command = json!({"endpoint": endpoint, "timeout_ms": timeout_ms, "send": [myelin_testkit::hex::text(body.as_bytes())]});
        let reply = client.ask(&command, "reply");
        serde_json::from_str::<Value>(&myelin_testkit::text(&reply)).expect("JSON")
    };
    let found = ask(&mut client, &sidecar.discovery_endpoint(), r#"{"action": "get_agent_endpoint", "agent_name": "Agent"}"#, 1000);
    let endpoint = format!("tcp://{}:{}", found["host"].as_str().unwrap(), found["port"]);
    for timeout_ms in [500, 1000, 5000, 10_000, 30_000] {
        let reply = ask(&mut client, &endpoint, r#"{"action": "token", "token": "mine"}"#, timeout_ms);
        assert_eq!(reply["token"], "mine");
    }
}

#[test]
fn sigterm_ends_cleanly_with_agents_attached() {
    let mut sidecar = Sidecar::start();
    let _agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let _subscriber = Agent::script("sub_agent").arg("--connect", sidecar.subscribers_endpoint()).start();
    let http = sidecar.http();
    assert_eq!(sidecar.terminate(), 0);
    eventually("the port is closed", PATIENCE, || std::net::TcpStream::connect(http).err());
}
