//! A topic that passes on changes only: what says the same as before does not reach subscribers, what is new does, byte for byte, and the meter counts it.

use std::time::Duration;

use myelin_testkit::zmtp::Peer;
use myelin_testkit::{PATIENCE, Sidecar, eventually, free_ports};

const SILENCE: Duration = Duration::from_millis(500);

#[test]
fn a_status_that_repeats_itself_is_heard_once() {
    let [publishers, subscribers] = free_ports();
    let sidecar = Sidecar::builder()
        .routes(&format!(
            "[[route]]\nname = \"status\"\nkind = \"topic\"\non_change = true\npublishers = {{ bind = [\"tcp://127.0.0.1:{publishers}\"] }}\n\
             subscribers = {{ bind = [\"tcp://127.0.0.1:{subscribers}\"] }}\n"
        ))
        .start();
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let mut publisher = Peer::connect(at(publishers), "PUB");
    let mut subscriber = Peer::connect(at(subscribers), "SUB");
    subscriber.subscribe(b"");
    let mut number = 0;
    eventually("the subscriber hears", PATIENCE, || {
        number += 1;
        publisher.send(&[format!("first {{\"n\": {number}}}")]);
        subscriber.try_message(Duration::from_millis(50)).ok()
    });
    while subscriber.try_message(SILENCE).is_ok() {}
    let status = |ok: u8, timestamp: u32| format!("status {{\"ok\": {ok}, \"timestamp\": {timestamp}}}");
    for (ok, timestamp) in [(1, 1), (1, 2), (1, 3), (0, 4), (0, 5), (1, 6)] {
        publisher.send(&[status(ok, timestamp)]);
    }
    for (ok, timestamp) in [(1, 1), (0, 4), (1, 6)] {
        assert_eq!(subscriber.message(), [status(ok, timestamp).into_bytes()]);
    }
    assert!(subscriber.try_message(SILENCE).is_err(), "and no more");
    assert_eq!(sidecar.metric("myelin_meter_beats_suppressed_total"), Some(3.0));
}
