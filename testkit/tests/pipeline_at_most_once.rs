//! Consumers that answer no PING are served at most once: what their socket took is acked. `myelin zmq`, `myelin doctor` and the metrics say so,
//! until they are gone or answer after all.

mod pipelines;

use std::time::Duration;

use myelin_testkit::zmtp::{Options, Peer, Version};
use myelin_testkit::{PATIENCE, eventually};
use pipelines::{Pipeline, number, send_numbers};
use serde_json::Value;

#[track_caller]
fn findings(pipeline: &Pipeline) -> Vec<Value> {
    let output = pipeline.sidecar.command(&["doctor", "--json"]).output().expect("it starts");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = found["findings"].as_array().expect("findings").clone();
    all.into_iter().filter(|finding| finding["id"] == "consumer-at-most-once").collect()
}

fn at_most_once_peers(pipeline: &Pipeline) -> Option<f64> {
    pipeline.sidecar.metric("myelin_zmq_pipeline_at_most_once_peers")
}

#[test]
fn a_peer_of_zmtp_30_is_acked_by_its_socket_and_told_of() {
    let pipeline = Pipeline::start("");
    assert!(findings(&pipeline).is_empty());
    let old = Options { version: Version::V30, ..Options::default() };
    let mut pull = Peer::connect_with(pipeline.consumers, "PULL", &old);
    send_numbers(&mut pipeline.push(), 0..300);
    // Acked, although it has read nothing.
    eventually("its socket took them", PATIENCE, || (pipeline.counter("at_most_once") == 300).then_some(()));
    pipeline.wait_stored(0);
    assert_eq!((0..300).map(|_| number(&pull.message())).collect::<Vec<_>>(), (0..300).collect::<Vec<_>>());
    pull.raw().expect_silence(Duration::from_millis(50));
    let found = findings(&pipeline);
    assert!(found.len() == 1 && found[0]["what"].as_str().is_some_and(|what| what.contains("jobs")), "{found:?}");
    let told = &pipeline.json(&["zmq"])[0];
    assert_eq!(told["pipelines"][0]["at_most_once"], 1, "{told}");
    assert!(told["peers"].as_array().is_some_and(|peers| peers.iter().any(|peer| peer["at_most_once"] == true)), "{told}");
    assert_eq!((pipeline.counter("acked"), at_most_once_peers(&pipeline)), (0, Some(1.0)));
    drop(pull);
    eventually("it is gone", PATIENCE, || (at_most_once_peers(&pipeline) == Some(0.0)).then_some(()));
    assert!(findings(&pipeline).is_empty());
}

#[test]
fn a_peer_that_never_answers_is_found_out_before_it_gets_anything_and_forgiven_when_it_does() {
    let pipeline = Pipeline::start("");
    let mut pull = pipeline.pull();
    send_numbers(&mut pipeline.push(), 0..3);
    pipeline.wait_stored(3);
    // The first PING is unanswered for as long as a handshake may take, 5 s; only then it is served.
    assert_eq!(pipeline.counter("delivered"), 0);
    eventually("it is found out", PATIENCE, || (at_most_once_peers(&pipeline) == Some(1.0)).then_some(()));
    pipeline.wait_stored(0);
    assert_eq!(pipeline.counter("at_most_once"), 3);
    // It answers that PING on the way to the first message, and is trusted from now on.
    assert_eq!((0..3).map(|_| number(&pull.message())).collect::<Vec<_>>(), [0, 1, 2]);
    eventually("it is forgiven", PATIENCE, || (at_most_once_peers(&pipeline) == Some(0.0)).then_some(()));
    send_numbers(&mut pipeline.push(), 3..4);
    assert_eq!(number(&pull.message()), 3);
    pipelines::answer_until(&mut pull, "by its PONG", || pipeline.counter("acked") == 1);
}
