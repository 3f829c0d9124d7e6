//! A full stream holds a pyzmq PUSH back: its program cannot send any more, nothing is lost, and it goes on when there is room.

mod pipelines;

use std::time::Duration;

use myelin_testkit::{PATIENCE, eventually, holds_for};
use pipelines::{Pipeline, answer_until};

/// More than the stream (100), our window (2 MiB), the connection's buffers (10 MiB) and the high-water mark of the PUSH (1,000) hold together.
const MESSAGES: usize = 3_000;
const BYTES: usize = 16 * 1024;

#[test]
fn a_full_stream_holds_the_producer_back_and_loses_nothing() {
    let pipeline = Pipeline::start("messages_max = 100");
    let push = pipeline.push_agent().arg("--count", MESSAGES).arg("--pad", BYTES).start();
    eventually("the stream is full", PATIENCE, || {
        (pipeline.stored() == 100 && pipeline.sidecar.metric("myelin_zmq_pipelines_full") == Some(1.0)).then_some(())
    });
    holds_for("the program waits", Duration::from_millis(500), || push.try_event("sent", Duration::from_millis(20)).is_none());
    assert_eq!(pipeline.stored(), 100);
    let mut pull = pipeline.pull();
    for number in 0..MESSAGES {
        let message = pull.message();
        assert_eq!((&message[0], message[1].len()), (&number.to_string().into_bytes(), BYTES), "in order");
    }
    push.event("sent");
    answer_until(&mut pull, "everything is acked", || pipeline.stored() == 0);
    eventually("it is full no more", PATIENCE, || (pipeline.sidecar.metric("myelin_zmq_pipelines_full") == Some(0.0)).then_some(()));
    assert_eq!((pipeline.counter("stored"), pipeline.counter("redelivered")), (MESSAGES as u64, 0));
}
