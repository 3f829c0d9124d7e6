//! The agents do what real ones do, without a sidecar between them: what fails elsewhere is then not theirs.

use myelin_testkit::load::{self, Plan};
use myelin_testkit::{Agent, frames, free_port, hex, text};
use serde_json::json;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

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

#[test]
fn the_load_of_the_kit_counts_own_replies_silence_and_strangers() {
    let [honest, silent, liar] = [(); 3].map(|()| free_port());
    let _honest = Agent::script("rep_agent").arg("--port", honest).start();
    let _silent = Agent::script("rep_agent").arg("--port", silent).flag("--never-answer").start();
    // It answers a call for a token with a text that carries none.
    let _liar = Agent::script("router_agent").arg("--bind", format!("tcp://127.0.0.1:{liar}")).arg("--replies", 2).start();
    let run = |port: u16, requests_per_socket| {
        let targets = vec![([127, 0, 0, 1], port).into()];
        let plan = Plan { targets, clients: 4, requests: 40, timeout: Duration::from_millis(200), requests_per_socket };
        load::run(&plan, &AtomicU64::new(0))
    };
    assert_eq!(run(honest, 7).answered, 40);
    assert_eq!(run(silent, 7).silent, 40);
    // The second reply to a request is that of another one as soon as the socket is used again.
    assert!(!run(liar, 7).wrong.is_empty());
}
