//! A graceful stop loses no reply: whoever asked before it, over ZeroMQ or NATS, is answered; whoever asks later is refused at once, so that a
//! busy fleet does not stretch the stop. Exit code 0, or 1 when it was forced.

mod support;

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

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
        let scratch = Scratch::with_free_ports(&(route(callers_port, Some(agent_port)) + extra));
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
        terminate(&self.process);
    }

    fn ends_with(mut self, code: i32) {
        assert_eq!(self.process.wait_end(PATIENCE).code(), Some(code));
    }
}

/// The service route `a`.
fn route(callers: u16, agent: Option<u16>) -> String {
    let agents = agent.map_or_else(String::new, |port| format!("agents = {{ connect = \"tcp://127.0.0.1:{port}\" }}\n"));
    format!("[[route]]\nname = \"a\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{callers}\" }}\n{agents}")
}

/// Sends SIGTERM and waits until the stop has begun.
fn terminate(process: &Process) {
    let killed = Command::new("kill").args(["-TERM", &process.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    process.wait_line("phase", PATIENCE, |line| line.contains("draining").then_some(()));
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

/// The replies of a ROUTER were not waited for: they cannot be told from what it says unasked, but a REQ that waits can be told.
#[test]
fn the_reply_of_a_router_agent_that_was_under_way() {
    let (agent_port, callers_port) = (free_port(), free_port());
    let listener = zmtp::Listener::bind(agent_port);
    let scratch = Scratch::with_free_ports(&route(callers_port, Some(agent_port)));
    let (mut process, _) = scratch.serve();
    let _attached = listener.accept("ROUTER", &zmtp::Options::default());
    let mut caller = zmtp::Peer::connect(([127, 0, 0, 1], callers_port).into(), "REQ");
    caller.send(&[&b""[..], b"work"]);
    let mut conversation = listener.accept("ROUTER", &zmtp::Options::default());
    assert_eq!(conversation.message(), [b"".to_vec(), b"work".to_vec()]);
    terminate(&process);
    conversation.send(&DONE);
    assert_eq!(caller.message(), DONE);
    assert_eq!(process.wait_end(PATIENCE).code(), Some(0));
}

/// A NATS client that answers ZeroMQ callers was cut off: nothing of the bridge's knew that it had a request.
#[test]
fn the_reply_of_a_nats_responder_that_was_under_way() {
    let callers_port = free_port();
    let scratch = Scratch::with_free_ports(&route(callers_port, None));
    let (mut process, _) = scratch.serve();
    // Looks on and never answers, which must not be waited for.
    let tap = Process::spawn("sub", &mut scratch.command(&["sub", "zmq.service.>", "--json"]));
    let work = "while [ ! -e go ]; do sleep 0.01; done; printf done";
    let responder = Process::spawn("reply", &mut scratch.command(&["reply", "zmq.service.a", "--command", work, "--json"]));
    for process in [&tap, &responder] {
        process.wait_line("its subscription", PATIENCE, |line| line.contains("\"subscribed\"").then_some(()));
    }
    let mut caller = zmtp::Peer::connect(([127, 0, 0, 1], callers_port).into(), "REQ");
    caller.send(&[&b""[..], b"work"]);
    responder.wait_line("the request", PATIENCE, |line| line.contains("work").then_some(()));
    terminate(&process);
    scratch.write("go", "");
    assert_eq!(caller.message(), DONE);
    assert_eq!(process.wait_end(PATIENCE).code(), Some(0));
}

#[test]
fn nobody_is_waited_for_on_behalf_of_a_caller_that_has_gone() {
    let mut service = Service::start("");
    let mut caller = service.caller();
    caller.send(&[&b""[..], b"work"]);
    service.answer_to("work");
    drop(caller);
    let began = Instant::now();
    service.terminate();
    service.ends_with(0);
    assert!(began.elapsed() < Duration::from_secs(5), "the deadline is 10 s: {:?}", began.elapsed());
}

/// One second was all that a subscriber had, whatever the deadline.
#[test]
fn a_subscriber_that_keeps_reading_gets_everything() {
    const MESSAGES: usize = 24;
    let port = free_port();
    let scratch = Scratch::with_free_ports(&format!(
        "[[route]]\nname = \"feed\"\nkind = \"topic\"\nsubscribers = {{ bind = \"tcp://127.0.0.1:{port}\" }}\n[limits]\nqueue_bytes = \"64MiB\"\n"
    ));
    let (mut process, _) = scratch.serve();
    let mut subscriber = zmtp::Peer::connect(([127, 0, 0, 1], port).into(), "SUB");
    subscriber.subscribe(b"");
    scratch.write("payload", &"x".repeat(1 << 20));
    eventually("it is subscribed", PATIENCE, || (scratch.run(&["pub", "zmq.topic.feed", "first"]).code == Some(0)).then_some(()));
    assert_eq!(subscriber.message(), [b"first".to_vec()]);
    let count = MESSAGES.to_string();
    assert_eq!(scratch.run(&["pub", "zmq.topic.feed", "--file", "payload", "--count", &count]).code, Some(0));
    terminate(&process);
    for _ in 0..MESSAGES {
        // A slow reader is what this is about.
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(subscriber.message()[0].len(), 1 << 20);
    }
    assert_eq!(process.wait_end(PATIENCE).code(), Some(0));
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
