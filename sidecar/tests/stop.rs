//! A graceful stop loses no reply: whoever asked before it, over ZeroMQ or NATS, is answered; whoever asks later is refused at once, so that a
//! busy fleet does not stretch the stop. Exit code 0, or 1 when it was forced.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use myelin_testkit::{Process, eventually, free_port, http, zmtp};
use serde_json::{Value as Json, json};
use support::{PATIENCE, Scratch};

/// A sidecar with one service route and its agent, which answers when the test says so.
struct Service {
    scratch: Scratch,
    process: Process,
    ready: Json,
    callers: SocketAddr,
    agent: zmtp::Peer,
}

impl Service {
    fn start(extra: &str) -> Self {
        let (agent_port, callers_port) = (free_port(), free_port());
        let listener = zmtp::Listener::bind(agent_port);
        let scratch = Scratch::with_free_ports(&format!(
            "[[route]]\nname = \"a\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{callers_port}\" }}\n\
             agents = {{ connect = \"tcp://127.0.0.1:{agent_port}\" }}\n{extra}"
        ));
        let (process, ready) = scratch.serve();
        let agent = listener.accept("REP", &zmtp::Options::default());
        Self { scratch, process, ready, callers: ([127, 0, 0, 1], callers_port).into(), agent }
    }

    fn caller(&self) -> zmtp::Peer {
        zmtp::Peer::connect(self.callers, "REQ")
    }

    /// Starts `myelin req`, which asks over NATS.
    fn nats_caller(&self, body: &str) -> Process {
        Process::spawn("req", &mut self.scratch.command(&["req", "zmq.service.a", body, "--json", "--timeout", "10s"]))
    }

    /// What the agent receives (correlation, delimiter, body), made into its answer.
    fn answer_to(&mut self, body: &str) -> Vec<Vec<u8>> {
        let mut request = self.agent.message();
        assert_eq!(request.last().map(Vec::as_slice), Some(body.as_bytes()));
        *request.last_mut().expect("a body") = b"done".to_vec();
        request
    }

    /// Sends SIGTERM and waits until the stop has begun.
    fn terminate(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.process.pid().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        self.process.wait_line("phase", PATIENCE, |line| line.contains("draining").then_some(()));
    }

    fn ends_with(mut self, code: i32) {
        assert_eq!(self.process.wait_end(PATIENCE).code(), Some(code));
    }
}

const DONE: [&[u8]; 2] = [b"", b"done"];

#[test]
fn a_zmq_caller_gets_the_reply_that_was_under_way() {
    let mut service = Service::start("");
    let mut caller = service.caller();
    caller.send(&[&b""[..], b"work"]);
    let answer = service.answer_to("work");
    service.terminate();
    let url = service.ready["http"].as_str().and_then(|url| url.strip_prefix("http://")).expect("a URL");
    let health = url.parse().expect("an address");
    let page = eventually("it says that it is not ready", PATIENCE, || {
        http::get(health, "/readyz", PATIENCE).filter(|answer| answer.status == 503)
    });
    assert!(page.body.starts_with("not ready: "), "{}", page.body);
    service.agent.send(&answer);
    assert_eq!(caller.message(), DONE);
    service.ends_with(0);
}

/// The bus used to end its subscriptions, and with them the caller's inbox, before the agent had answered.
#[test]
fn a_nats_caller_gets_the_reply_that_was_under_way() {
    let mut service = Service::start("");
    let mut caller = service.nats_caller("work");
    let answer = service.answer_to("work");
    service.terminate();
    service.agent.send(&answer);
    let reply: Json = caller.wait_line("reply", PATIENCE, |line| serde_json::from_str(line).ok());
    assert_eq!(reply["body"], json!({ "text": "done" }));
    assert_eq!(caller.wait_end(PATIENCE).code(), Some(0));
    service.ends_with(0);
}

#[test]
fn what_waits_for_a_busy_agent_is_answered_too() {
    let mut service = Service::start("");
    let (mut first, mut second) = (service.caller(), service.caller());
    first.send(&[&b""[..], b"first"]);
    let answer = service.answer_to("first");
    second.send(&[&b""[..], b"second"]);
    eventually("the second request waits", PATIENCE, || {
        let agents = service.scratch.run(&["agents", "--json"]).json();
        (agents["agents"][0]["waiting"] == 1).then_some(())
    });
    service.terminate();
    service.agent.send(&answer);
    let answer = service.answer_to("second");
    service.agent.send(&answer);
    assert_eq!((first.message(), second.message()), (DONE.map(<[u8]>::to_vec).to_vec(), DONE.map(<[u8]>::to_vec).to_vec()));
    service.ends_with(0);
}

#[test]
fn who_asks_during_the_stop_is_refused_at_once() {
    let mut service = Service::start("fail_fast = \"stopping\"\n");
    let mut caller = service.caller();
    caller.send(&[&b""[..], b"work"]);
    let answer = service.answer_to("work");
    let mut late = service.caller();
    service.terminate();
    late.send(&[&b""[..], b"late"]);
    assert_eq!(late.message(), [b"".to_vec(), b"stopping".to_vec()]);
    service.agent.send(&answer);
    assert_eq!(caller.message(), DONE);
    service.ends_with(0);
}

#[test]
fn a_second_signal_forces_the_end_with_code_1() {
    let mut service = Service::start("");
    let mut caller = service.caller();
    caller.send(&[&b""[..], b"work"]);
    service.answer_to("work");
    service.terminate();
    let killed = Command::new("kill").args(["-TERM", &service.process.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    service.ends_with(1);
}
