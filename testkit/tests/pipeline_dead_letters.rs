//! A message that its consumers die of becomes a dead letter after `deliveries_max` of them, whole, and a replay brings it to a consumer.

mod pipelines;

use myelin_testkit::{PATIENCE, eventually};
use pipelines::{Pipeline, answer_until};
use serde_json::json;

#[test]
fn after_so_many_deliveries_it_is_listed_and_a_replay_brings_it_back() {
    let pipeline = Pipeline::start("deliveries_max = 2");
    pipeline.push().send(&[b"poison".as_slice(), b"", b"\x00\x01"]);
    for _ in 0..2 {
        let mut victim = pipeline.pull();
        victim.answer_ping();
        assert_eq!(victim.message(), [b"poison".as_slice(), b"", b"\x00\x01"]);
        // Its connection ends before it has answered the PING behind the message.
        drop(victim);
    }
    let mut healthy = pipeline.pull();
    let listed = ["dlq", "list", "--stream", pipelines::STREAM];
    answer_until(&mut healthy, "the letter is there", || !pipeline.json(&listed).is_empty());
    let letters = pipeline.json(&listed);
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0]["reason"], &letters[0]["subject"]), (&json!("max_deliver"), &json!("zmq.pipeline.jobs")), "{letters:?}");
    assert_eq!(letters[0]["attempts"].as_array().map(Vec::len), Some(2), "{letters:?}");
    pipeline.json(&["dlq", "replay", "--stream", pipelines::STREAM]);
    assert_eq!(healthy.message(), [b"poison".as_slice(), b"", b"\x00\x01"]);
    answer_until(&mut healthy, "it is acked", || pipeline.sidecar.metric("myelin_stream_messages") == Some(0.0));
    eventually("no letter is left", PATIENCE, || pipeline.json(&listed).is_empty().then_some(()));
}
