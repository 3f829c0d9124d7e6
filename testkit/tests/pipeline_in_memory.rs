//! With `durable = false`, and where there is no store, a pipeline is what it was: in memory, without a stream and without PINGs behind messages.

mod pipelines;

use std::time::Duration;

use myelin_testkit::{Sidecar, free_ports, zmtp::Peer};
use pipelines::Pipeline;

fn moves_messages_and_stores_none(sidecar: &Sidecar, push: &mut Peer, pull: &mut Peer) {
    for number in 0..100 {
        push.send(&[format!("{number}")]);
    }
    for number in 0..100 {
        assert_eq!(pull.raw().recv(2, Duration::from_secs(15)).expect("a message")[0], 0, "a whole message, and no command before it");
        let rest = format!("{number}");
        pull.raw().expect(rest.as_bytes());
    }
    pull.raw().expect_silence(Duration::from_millis(200));
    assert_eq!(sidecar.metric("myelin_zmq_pipeline_messages_stored_total"), Some(0.0));
}

#[test]
fn a_pipeline_that_is_not_durable() {
    let pipeline = Pipeline::start("durable = false");
    let (mut push, mut pull) = (pipeline.push(), pipeline.pull());
    moves_messages_and_stores_none(&pipeline.sidecar, &mut push, &mut pull);
    assert!(pipeline.json(&["stream", "list"]).iter().all(|stream| stream["name"] != pipelines::STREAM));
    assert_eq!(pipeline.json(&["zmq"])[0]["pipelines"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_pipeline_of_a_sidecar_without_a_store() {
    let [producers, consumers] = free_ports();
    let sidecar = Sidecar::builder()
        .section("store", "enabled = false")
        .routes(&format!(
            "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
             producers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n\
             consumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n"
        ))
        .start();
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let (mut push, mut pull) = (Peer::connect(at(producers), "PUSH"), Peer::connect(at(consumers), "PULL"));
    moves_messages_and_stores_none(&sidecar, &mut push, &mut pull);
}
