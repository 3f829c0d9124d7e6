//! The agents do what real ones do, without a sidecar between them: what fails elsewhere is then not theirs.

use myelin_testkit::{Agent, frames, free_port, hex, text};
use serde_json::json;

fn call(client: &mut Agent, port: u16, payload: &[u8]) -> serde_json::Value {
    let endpoint = format!("tcp://127.0.0.1:{port}");
    client.ask(&json!({"endpoint": endpoint, "send": [hex::text(payload)]}), "reply")
}

#[test]
fn a_rep_agent_answers_with_the_texts_of_the_fleet() {
    let port = free_port();
    let _agent = Agent::script("rep_agent").arg("--port", port).arg("--health-size", 599).start();
    let mut client = Agent::script("client").start();
    for (request, reply) in [
        (b"{\"action\": \"nope\"}".as_slice(), r#"{"status": "error", "error": "Unknown action: nope"}"#),
        (b"not json", r#"{"status": "error", "error": "Invalid JSON request"}"#),
        (b"", r#"{"status": "error", "error": "Invalid JSON request"}"#),
        (b"\xff\xfe\x00", r#"{"status": "error", "error": "Invalid UTF-8 request"}"#),
        (b"[1,2]", r#"{"status": "error", "error": "'list' object has no attribute 'get'"}"#),
    ] {
        assert_eq!(text(&call(&mut client, port, request)), reply);
    }
    assert_eq!(frames(&call(&mut client, port, b"{\"action\": \"ping\"}"))[0].len(), 599);
}

#[test]
fn a_registration_has_the_size_of_the_real_ones() {
    let registry = free_port();
    let _registry = Agent::script("rep_agent").arg("--port", registry).start();
    let agent = Agent::registered("StreamingTTSAgent", &format!("tcp://127.0.0.1:{registry}"));
    // The event is consumed already: it is among the lines.
    let line = agent.lines().into_iter().find(|line| line.contains("\"registered\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let bytes = event["bytes"].as_u64().unwrap();
    assert!((551..=621).contains(&bytes), "{bytes} bytes");
}

#[test]
fn publishers_reach_subscribers_and_pushers_reach_pullers() {
    let [publisher, pusher] = [free_port(), free_port()].map(|port| format!("tcp://127.0.0.1:{port}"));
    let _pub = Agent::script("pub_agent").arg("--bind", &publisher).arg("--kind", "audio").start();
    let sub = Agent::script("sub_agent").arg("--connect", &publisher).flag("--digest").start();
    assert_eq!(sub.event("message")["size"], 38_701);
    let pull = Agent::script("pull_agent").arg("--bind", &pusher).start();
    let _push = Agent::script("push_agent").arg("--connect", &pusher).arg("--count", 3).start();
    assert_eq!(text(&pull.event("message")), r#"{"t": 0}"#);
}
