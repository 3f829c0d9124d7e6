//! Z23, Z24: a late reply never reaches the next socket, and an agent that never answers stays unanswered for.
//! With pyzmq clients as the agents use them: a fresh REQ per call, RCVTIMEO 5 s, LINGER 0.

use myelin_testkit::registry::Registry;
use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Agent, Sidecar, hex, text};
use serde_json::{Value, json};
use std::time::Duration;

fn request(endpoint: &str, timeout_ms: u64, body: &Value) -> Value {
    json!({"endpoint": endpoint, "timeout_ms": timeout_ms, "send": [hex::text(body.to_string().as_bytes())]})
}

#[test]
fn z23_a_late_reply_is_dropped_and_the_next_socket_gets_its_own() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Slow", &sidecar.discovery_endpoint());
    let endpoint = format!("tcp://{}", Registry::at(sidecar.discovery()).endpoint("Slow"));
    let mut client = Agent::script("client").start();
    // The numbers of the fleet: the agent answers after 5.2 s, its client leaves at 5 s and comes back.
    client.ask(&request(&endpoint, 5000, &json!({"action": "slow", "seconds": 5.2, "token": "old"})), "silence");
    let reply = client.ask(&request(&endpoint, 5000, &json!({"action": "token", "token": "new"})), "reply");
    let reply: Value = serde_json::from_str(&text(&reply)).unwrap();
    assert_eq!(reply["token"], "new");
}

#[test]
fn z23_in_quick_succession() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Slow", &sidecar.discovery_endpoint());
    let endpoint = format!("tcp://{}", Registry::at(sidecar.discovery()).endpoint("Slow"));
    let mut client = Agent::script("client").start();
    for round in 0..5 {
        client.ask(&request(&endpoint, 50, &json!({"action": "slow", "seconds": 0.15, "token": "old"})), "silence");
        let token = format!("new-{round}");
        let reply = client.ask(&request(&endpoint, 5000, &json!({"action": "token", "token": token})), "reply");
        let reply: Value = serde_json::from_str(&text(&reply)).unwrap();
        assert_eq!(reply["token"], token);
    }
}

#[test]
fn z23_a_new_socket_with_the_same_identity_gets_no_old_reply() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Slow", &sidecar.discovery_endpoint());
    let address = Registry::at(sidecar.discovery()).endpoint("Slow");
    let options = myelin_testkit::zmtp::Options { identity: b"same".to_vec(), ..Default::default() };
    let mut first = Peer::connect_with(address, "REQ", &options);
    first.send(&["", r#"{"action": "slow", "seconds": 0.3, "token": "old"}"#]);
    first.expect_silence(Duration::from_millis(50));
    drop(first);
    let mut second = Peer::connect_with(address, "REQ", &options);
    second.send(&["", r#"{"action": "token", "token": "new"}"#]);
    let reply: Value = serde_json::from_slice(&second.message()[1]).unwrap();
    assert_eq!(reply["token"], "new");
    second.expect_silence(Duration::from_millis(100));
}

#[test]
fn z24_an_agent_that_never_answers_gives_silence() {
    let sidecar = Sidecar::start();
    let agent = Agent::rep("Never").arg("--register", sidecar.discovery_endpoint()).flag("--never-answer").flag("--verbose").start();
    agent.event("registered");
    let registry = Registry::at(sidecar.discovery());
    let endpoint = format!("tcp://{}", registry.endpoint("Never"));
    let mut client = Agent::script("client").start();
    let silence = client.ask(&request(&endpoint, 5000, &json!({"action": "ping"})), "silence");
    assert!(silence["ms"].as_u64() >= Some(5000), "the client's own timeout ended it: {silence}");
    agent.event("request");
    // Its health socket is alive all the while, and so is the sidecar.
    let health = format!("tcp://{}", registry.health_endpoint("Never"));
    client.ask(&request(&health, 5000, &json!({"action": "health"})), "reply");
}

#[test]
fn z24_an_agent_that_is_gone_gives_silence_too() {
    let sidecar = Sidecar::start();
    let agent = Agent::registered("Gone", &sidecar.discovery_endpoint());
    let endpoint = format!("tcp://{}", Registry::at(sidecar.discovery()).endpoint("Gone"));
    drop(agent);
    let mut client = Agent::script("client").start();
    client.ask(&request(&endpoint, 500, &json!({"action": "ping"})), "silence");
}
