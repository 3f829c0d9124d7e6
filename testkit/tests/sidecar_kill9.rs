//! `kill -9` of the sidecar and a restart on the same state: agents do not register again, clients go on with the places
//! they remember, connections that libzmq keeps come back by themselves.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::{Agent, PATIENCE, Sidecar, eventually, free_port, hex, text};
use serde_json::{Value, json};
use std::time::Duration;

fn ask(client: &mut Agent, endpoint: &str, socket: Option<&str>, token: &str) {
    let body = json!({"action": "token", "token": token}).to_string();
    let command = json!({"endpoint": endpoint, "send": [hex::text(body.as_bytes())], "socket": socket});
    let reply: Value = serde_json::from_str(&text(&client.ask(&command, "reply"))).expect("JSON");
    assert_eq!(reply["token"], token);
}

#[test]
fn cached_clients_work_unchanged() {
    let mut sidecar = Sidecar::start();
    let names = ["One", "Two", "Three"];
    let agents: Vec<Agent> = names.iter().map(|name| Agent::registered(name, &sidecar.discovery_endpoint())).collect();
    let registry = Registry::at(sidecar.discovery());
    let places = names.map(|name| (registry.endpoint(name), registry.health_endpoint(name)));
    let endpoints = places.map(|(place, _)| format!("tcp://{place}"));
    let mut client = Agent::script("client").start();
    for (name, endpoint) in names.iter().zip(&endpoints) {
        ask(&mut client, endpoint, None, "fresh");
        ask(&mut client, endpoint, Some(name), "kept");
    }

    for round in 0..2 {
        sidecar.kill9();
        sidecar.restart();
        // The first thing after the restart is a call, not a registration: nobody but the state directory knows the way.
        for (name, endpoint) in names.iter().zip(&endpoints) {
            ask(&mut client, endpoint, None, &format!("fresh-{round}"));
            ask(&mut client, endpoint, Some(name), &format!("kept-{round}"));
        }
        assert_eq!(names.map(|name| (registry.endpoint(name), registry.health_endpoint(name))), places);
        assert_eq!(names.map(|name| registry.discover(name)), places.map(|(place, _)| place));
    }
    drop(agents);
}

#[test]
fn a_call_during_the_outage_is_answered_after_it() {
    let mut sidecar = Sidecar::start();
    let _agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let endpoint = format!("tcp://{}", Registry::at(sidecar.discovery()).endpoint("Agent"));
    let mut client = Agent::script("client").start();
    ask(&mut client, &endpoint, Some("kept"), "before");
    sidecar.kill9();
    let body = json!({"action": "token", "token": "during"}).to_string();
    client.command(&json!({"endpoint": endpoint, "send": [hex::text(body.as_bytes())], "timeout_ms": 10_000}));
    sidecar.restart();
    let reply: Value = serde_json::from_str(&text(&client.event("reply"))).unwrap();
    assert_eq!(reply["token"], "during", "libzmq queued it and connected again");
}

#[test]
fn publishers_and_subscribers_come_back_by_themselves() {
    let mut sidecar = Sidecar::start();
    let sub = Agent::script("sub_agent").arg("--connect", sidecar.subscribers_endpoint()).start();
    let _publisher =
        Agent::script("pub_agent").arg("--connect", sidecar.publishers_endpoint()).arg("--kind", "json").arg("--interval", 0.02).start();
    let sequence = || serde_json::from_str::<Value>(&text(&sub.event("message"))).unwrap()["seq"].as_u64().unwrap();
    sequence();
    sidecar.kill9();
    // What the subscriber had already got is read until nothing comes any more.
    let mut last = 0;
    while let Some(message) = sub.try_event("message", Duration::from_millis(200)) {
        last = serde_json::from_str::<Value>(&text(&message)).unwrap()["seq"].as_u64().unwrap();
    }
    sidecar.restart();
    assert!(sequence() > last, "new messages, none twice");
}

#[test]
fn an_agent_that_restarts_while_the_sidecar_is_down_is_found_again() {
    let mut sidecar = Sidecar::start();
    let [port, other] = [free_port(), free_port()];
    let start = |name: &str, port: u16| Agent::script("rep_agent").arg("--name", name).arg("--port", port);
    let agent = start("Agent", port).arg("--register", sidecar.discovery_endpoint()).start();
    agent.event("registered");
    let gone = start("Gone", other).arg("--register", sidecar.discovery_endpoint()).start();
    gone.event("registered");
    let registry = Registry::at(sidecar.discovery());
    let place = registry.endpoint("Agent");
    sidecar.kill9();
    drop((agent, gone));
    sidecar.restart();
    let _agent = start("Agent", port).start();
    assert_eq!(call(place, br#"{"action": "token", "token": "t"}"#).len(), 1);
    eventually("the agent is served again", PATIENCE, || {
        let answer = registry.ask(&json!({"action": "get_agent_endpoint", "agent_name": "Agent"}));
        (answer["status"] == "success").then_some(())
    });
}
