//! Z21: PUSH and PULL through a pipeline: bytes unchanged, each message to one consumer, none lost.

use myelin_testkit::zmtp::{Listener, Options, Peer};
use myelin_testkit::{Agent, Sidecar, free_port, text};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

#[track_caller]
fn pipeline() -> (Sidecar, SocketAddr, SocketAddr) {
    let [producers, consumers] = [free_port(), free_port()];
    let sidecar = Sidecar::builder()
        .routes(&format!(
            "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
             producers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n\
             consumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n"
        ))
        .start();
    (sidecar, ([127, 0, 0, 1], producers).into(), ([127, 0, 0, 1], consumers).into())
}

#[test]
fn z21_bytes_pass_unchanged() {
    let (_sidecar, producers, consumers) = pipeline();
    let mut pull = Peer::connect(consumers, "PULL");
    let mut push = Peer::connect(producers, "PUSH");
    for bytes in ["0008 7b2274223a20317d", "0101 61 0100 0001 62"] {
        push.raw().send_hex(bytes);
        // Commands stand between messages: the PINGs whose PONGs say what was taken.
        while pull.raw().next_is_command() {
            pull.answer_ping();
        }
        pull.raw().expect_hex(bytes);
    }
}

#[test]
fn z21_what_is_pushed_before_a_consumer_is_there_waits_for_it() {
    let (_sidecar, producers, consumers) = pipeline();
    let mut push = Peer::connect(producers, "PUSH");
    for number in 0..100 {
        push.send(&[format!("{{\"t\": {number}}}")]);
    }
    let mut pull = Peer::connect(consumers, "PULL");
    for number in 0..100 {
        assert_eq!(pull.message(), [format!("{{\"t\": {number}}}").as_bytes()], "in order");
    }
    pull.expect_silence(Duration::from_millis(100));
}

#[test]
fn z21_pyzmq_producers_and_consumers_share_the_work() {
    let (_sidecar, producers, consumers) = pipeline();
    let pullers = [(); 2].map(|()| Agent::script("pull_agent").arg("--connect", format!("tcp://{consumers}")).start());
    let pushers: Vec<_> =
        (0..2).map(|_| Agent::script("push_agent").arg("--connect", format!("tcp://{producers}")).arg("--count", 50).start()).collect();
    for push in &pushers {
        push.event("sent");
    }
    // Two producers send the numbers 0..50 each: 100 messages, every number twice, wherever they went.
    let mut seen: Vec<String> = Vec::new();
    while seen.len() < 100 {
        for pull in &pullers {
            while let Some(message) = pull.try_event("message", Duration::from_millis(20)) {
                seen.push(text(&message));
            }
        }
        assert!(seen.len() <= 100, "each message once");
    }
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), 50);
    assert!(different.iter().all(|text| seen.iter().filter(|other| other == text).count() == 2));
}

#[test]
fn z21_agents_that_bind_are_connected_to() {
    let [producer, consumer] = [(); 2].map(|()| Listener::bind(free_port()));
    let _sidecar = Sidecar::builder()
        .routes(&format!(
            "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
             producers = {{ connect = [\"tcp://{}\"] }}\n\
             consumers = {{ connect = [\"tcp://{}\"] }}\n",
            producer.address(),
            consumer.address()
        ))
        .start();
    let mut push = producer.accept("PUSH", &Options::default());
    let mut pull = consumer.accept("PULL", &Options::default());
    push.send(&["job"]);
    assert_eq!(pull.message(), [b"job"]);
}
