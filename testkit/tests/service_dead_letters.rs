//! A service route that keeps requests without a reply: each is a dead letter with its caller's exact frames and a reason, its caller sees what it
//! would have seen, and a replay brings it to an agent.

use myelin_testkit::zmtp::{Listener, Options, Peer};
use myelin_testkit::{PATIENCE, Sidecar, eventually, free_port};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

struct Service {
    sidecar: Sidecar,
    callers: SocketAddr,
}

impl Service {
    #[track_caller]
    fn start(settings: &str) -> Self {
        let callers = free_port();
        let sidecar = Sidecar::builder()
            .routes(&format!(
                "[[route]]\nname = \"tts\"\nkind = \"service\"\ncallers = {{ bind = [\"tcp://127.0.0.1:{callers}\"] }}\n{settings}\n"
            ))
            .start();
        Self { sidecar, callers: ([127, 0, 0, 1], callers).into() }
    }

    #[track_caller]
    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.sidecar.command(&[arguments, &["--json"]].concat()).output().expect("it starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The reasons of the letters, once there are so many.
    #[track_caller]
    fn reasons(&self, count: usize) -> Vec<String> {
        let letters = eventually(&format!("{count} letters"), PATIENCE, || {
            let letters = self.lines(&["dlq", "list"]);
            (letters.len() >= count).then_some(letters)
        });
        assert!(letters.iter().all(|letter| letter["subject"] == "zmq.service.tts" && letter["fault"] == "agent"), "{letters:?}");
        letters.iter().map(|letter| letter["reason"].as_str().expect("a reason").to_owned()).collect()
    }
}

#[test]
fn a_request_that_no_agent_serves_is_kept_whole_and_a_replay_reaches_the_agent() {
    // The route connects to an agent that is not there: requests wait for it.
    let agent = free_port();
    let service = Service::start(&format!("agents = {{ connect = [\"tcp://127.0.0.1:{agent}\"] }}\ndead_letter_requests = true"));
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"say", b"\x00\xff"]);
    caller.expect_silence(Duration::from_millis(200));
    // It waited for an agent, and its caller gave up.
    drop(caller);
    assert_eq!(service.reasons(1), ["no_route"]);
    let letter = &service.lines(&["dlq", "show", "1"])[0];
    assert_eq!(letter["frames"], json!([{ "text": "" }, { "text": "say" }, { "hex": "00ff" }]), "{letter}");

    let listener = Listener::bind(agent);
    let mut rep = listener.accept("REP", &Options::default());
    let replaying = std::thread::scope(|scope| {
        let replay = scope.spawn(|| service.lines(&["dlq", "replay", "1"]));
        let request = rep.message();
        assert_eq!(request[1..], [b"".to_vec(), b"say".to_vec(), b"\x00\xff".to_vec()], "behind the correlation, as the caller sent it");
        rep.send(&[&request[0][..], b"", b"done"]);
        replay.join().expect("the replay")
    });
    assert_eq!(replaying.len(), 1, "{replaying:?}");
    assert!(service.lines(&["dlq", "list"]).is_empty());
}

#[test]
fn a_service_without_any_agent_keeps_the_request_at_once_and_answers_as_before() {
    let service = Service::start("fail_fast = \"nobody\"\ndead_letter_requests = true");
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"one"]);
    assert_eq!(caller.message(), [b"".to_vec(), b"nobody".to_vec()]);
    assert_eq!(service.reasons(1), ["no_route"]);
    drop(caller);
    // The caller's end makes no second one of it.
    let mut next = Peer::connect(service.callers, "REQ");
    next.send(&[&b""[..], b"two"]);
    assert_eq!(next.message(), [b"".to_vec(), b"nobody".to_vec()]);
    assert_eq!(service.reasons(2).len(), 2);
}

#[test]
fn what_an_agent_does_not_answer_is_a_timeout_and_what_it_answers_is_nothing() {
    let listener = Listener::bind(free_port());
    let service = Service::start(&format!("agents = {{ connect = [\"tcp://{}\"] }}\ndead_letter_requests = true", listener.address()));
    let mut rep = listener.accept("REP", &Options::default());
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"answered"]);
    let request = rep.message();
    rep.send(&[&request[0][..], b"", b"yes"]);
    assert_eq!(caller.message(), [b"".to_vec(), b"yes".to_vec()]);
    drop(caller);
    // One caller leaves before the reply, and the agent dies with the request of another.
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"left"]);
    let request = rep.message();
    drop(caller);
    assert_eq!(service.reasons(1), ["timeout"]);
    rep.send(&[&request[0][..], b"", b"late"]);
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"died"]);
    assert_eq!(rep.message()[2], b"died");
    drop((rep, listener));
    assert_eq!(service.reasons(2), ["timeout", "timeout"]);
    drop(caller);
    assert_eq!(service.sidecar.metric("myelin_zmq_requests_dead_lettered_total"), Some(2.0));
}

#[test]
fn a_route_that_does_not_ask_for_it_keeps_nothing() {
    let service = Service::start("fail_fast = \"nobody\"");
    let mut caller = Peer::connect(service.callers, "REQ");
    caller.send(&[&b""[..], b"one"]);
    assert_eq!(caller.message(), [b"".to_vec(), b"nobody".to_vec()]);
    drop(caller);
    assert!(service.lines(&["dlq", "list"]).is_empty());
    assert_eq!(service.sidecar.metric("myelin_zmq_requests_dead_lettered_total"), Some(0.0));
}
