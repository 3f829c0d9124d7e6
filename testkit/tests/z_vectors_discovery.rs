//! Z06, Z07, Z08, Z09, Z11: the registry on the discovery port, byte for byte where the vector is bytes.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Agent, Sidecar, free_port, hex};
use serde_json::{Value, json};

const NOT_FOUND: &[u8] = br#"{"status": "error", "error": "Agent Y not found"}"#;

#[test]
fn z06_not_found_is_byte_exact() {
    let sidecar = Sidecar::start();
    let mut socket = Peer::connect(sidecar.discovery(), "REQ");
    assert_eq!(NOT_FOUND.len(), 0x31);
    for _ in 0..2 {
        socket.raw().send_hex("0100 0033");
        socket.raw().send(br#"{"action": "get_agent_endpoint", "agent_name": "Y"}"#);
        socket.raw().expect_hex("0100 0031");
        socket.raw().expect(NOT_FOUND);
    }
}

#[test]
fn z07_a_registration_is_learned_and_then_found() {
    let sidecar = Sidecar::start();
    let [port, health_port] = [free_port(), free_port()];
    let agent = Agent::script("rep_agent")
        .arg("--name", "Y")
        .arg("--port", port)
        .arg("--health-port", health_port)
        .arg("--register", sidecar.discovery_endpoint())
        .start();
    assert!(agent.event("registered")["reply"].is_object());
    let registry = Registry::at(sidecar.discovery());
    let answer = registry.ask(&json!({"action": "get_agent_endpoint", "agent_name": "Y"}));
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["host", "port", "health_check_port", "agent_type", "capabilities", "metadata", "last_registered", "status"] {
        assert!(keys.contains(&key), "no {key} in {answer}");
    }
    assert_eq!(answer["status"], "success");
    assert_eq!(answer["host"], "127.0.0.1", "never localhost");
    assert_eq!(answer["agent_type"], "specialized");
    assert_eq!(answer["capabilities"], json!(["health_check", "ping", "echo"]));
    assert_eq!(answer["metadata"]["owner"], "testkit");
    // Behind the port of the answer is the agent, and behind its health port the health socket.
    let reply = call(registry.endpoint("Y"), br#"{"action": "token", "token": "t"}"#);
    assert_eq!(reply[0], br#"{"status": "success", "agent": "Y", "token": "t"}"#);
    let health = call(registry.health_endpoint("Y"), b"anything at all");
    assert_eq!(serde_json::from_slice::<Value>(&health[0]).unwrap()["ready"], true);
}

#[test]
fn z08_discover_and_z09_register() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let unknown = registry.ask(&json!({"command": "DISCOVER", "payload": {"name": "StreamingTTSAgent"}}));
    assert_ne!(unknown["status"], "SUCCESS");
    assert!(unknown["message"].as_str().unwrap().contains("not found"), "{unknown}");

    // The body of the vector, byte for byte but for the port; the agent behind it is a real one.
    let port = free_port();
    let _agent = Agent::script("rep_agent").arg("--name", "STTService").arg("--port", port).start();
    let body = format!(
        r#"{{"command": "REGISTER", "payload": {{"name": "STTService", "port": {port}, "capabilities": ["stt", "transcription", "multilingual", "batch_processing"], "status": "online"}}}}"#
    );
    let answer = call(sidecar.discovery(), body.as_bytes());
    assert!(answer[0].starts_with(br#"{"status": "SUCCESS""#), "{}", String::from_utf8_lossy(&answer[0]));

    let mut socket = Peer::connect(sidecar.discovery(), "REQ");
    let question = br#"{"command": "DISCOVER", "payload": {"name": "STTService"}}"#;
    socket.raw().send_hex("0100 003a");
    socket.raw().send(question);
    let found: Value = serde_json::from_slice(&socket.message()[1]).unwrap();
    assert_eq!(found["status"], "SUCCESS");
    assert_eq!(found["payload"]["ip"], "127.0.0.1");
    let reply = call(registry.discover("STTService"), br#"{"action": "token", "token": "t"}"#);
    assert_eq!(reply[0], br#"{"status": "success", "agent": "STTService", "token": "t"}"#);
    // `machine` narrows a search; one machine is all there is.
    let same = registry.ask(&json!({"command": "DISCOVER", "payload": {"name": "STTService", "machine": "MainPC"}}));
    assert_eq!(same["status"], "SUCCESS", "{same}");
}

#[test]
fn z11_only_volatile_fields_differ_until_readiness_changes_and_then_at_once() {
    let sidecar = Sidecar::start();
    let mut agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let registry = Registry::at(sidecar.discovery());
    for address in [registry.endpoint("Agent"), registry.health_endpoint("Agent")] {
        let poll = || {
            let mut document: Value = serde_json::from_slice(&call(address, br#"{"action": "health_check"}"#)[0]).unwrap();
            for volatile in ["timestamp", "uptime", "active_threads"] {
                assert!(document.as_object_mut().unwrap().remove(volatile).is_some(), "{volatile} is part of it");
            }
            document
        };
        let before = poll();
        assert_eq!(before, poll());
        agent.ask(&json!({"ready": false}), "ready_set");
        let after = poll();
        assert_eq!((&after["ready"], &after["health_status"]), (&json!(false), &json!("DEGRADED")));
        agent.ask(&json!({"ready": true}), "ready_set");
        assert_eq!(before, poll());
    }
}

#[test]
fn the_registry_answers_what_it_does_not_understand() {
    let sidecar = Sidecar::start();
    for nonsense in ["", "not json", "[1,2]", "{}", "{\"action\": 7}", "{\"command\": \"DANCE\"}", "{\"action\": \"register_agent\"}"] {
        let answer = call(sidecar.discovery(), nonsense.as_bytes());
        let answer: Value = serde_json::from_slice(&answer[0]).unwrap_or_else(|error| panic!("{nonsense:?}: {error}"));
        assert!(!["success", "SUCCESS"].iter().any(|good| answer["status"] == *good), "{nonsense:?}: {answer}");
    }
    let answer = call(sidecar.discovery(), &hex::bytes("fffe00"));
    assert!(serde_json::from_slice::<Value>(&answer[0]).is_ok());
}
