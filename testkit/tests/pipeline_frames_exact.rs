//! What pyzmq pushes into a durable pipeline is what pyzmq pulls out of it: frames in number, order and content, whatever they are.

mod pipelines;

use myelin_testkit::{frames, hex};
use pipelines::Pipeline;
use serde_json::{Value, json};

#[test]
fn frames_come_out_as_they_went_in() {
    let pipeline = Pipeline::start("");
    let mut push = pipeline.push_agent().start();
    let messages: Vec<Vec<Vec<u8>>> = vec![
        vec![b"one".to_vec()],
        vec![vec![]],
        vec![b"topic".to_vec(), vec![], b"{\"a\": 1}".to_vec()],
        // A pickle, and bytes that begin as an envelope of the bus does.
        vec![b"\x80\x04\x95\x0b\x00".to_vec(), vec![0x98, 0xc7, 0x00]],
        vec![vec![0xff; 256], vec![0; 255], vec![7; 100_000]],
        (0..200).map(|n| vec![n; usize::from(n)]).collect(),
    ];
    let as_hex = |frames: &Vec<Vec<u8>>| Value::from(frames.iter().map(|frame| hex::text(frame).replace(' ', "")).collect::<Vec<_>>());
    push.ask(&json!({ "send": messages.iter().map(as_hex).collect::<Vec<_>>() }), "sent");
    // Everything is on the disk before the consumer is there.
    pipeline.wait_stored(messages.len() as u64);
    let pull = pipeline.pull_agent().start();
    for message in &messages {
        assert_eq!(&frames(&pull.event("message")), message);
    }
    pipeline.wait_stored(0);
    assert_eq!(pipeline.counter("acked"), messages.len() as u64);
    assert_eq!(pipeline.counter("redelivered"), 0);
}
