//! What a NATS client publishes on a durable pipeline's subject enters its stream once, beside what producers push, and reaches the consumers.

mod pipelines;

use pipelines::{Pipeline, answer_until, number, send_numbers};

#[test]
fn bus_clients_and_producers_share_one_stream_and_nothing_is_stored_twice() {
    let pipeline = Pipeline::start("");
    send_numbers(&mut pipeline.push(), 0..2);
    pipeline.wait_stored(2);
    pipeline.json(&["pub", "zmq.pipeline.jobs", "2"]);
    pipeline.wait_stored(3);
    let receipt = pipeline.json(&["stream", "pub", "zmq.pipeline.jobs", "3"]);
    assert_eq!((&receipt[0]["stream"], &receipt[0]["sequence"]), (&pipelines::STREAM.into(), &4.into()));
    let mut pull = pipeline.pull();
    assert_eq!((0..4).map(|_| number(&pull.message())).collect::<Vec<_>>(), [0, 1, 2, 3]);
    answer_until(&mut pull, "everything is acked", || pipeline.stored() == 0);
    let info = &pipeline.json(&["stream", "info", pipelines::STREAM])[0];
    assert_eq!(info["last_sequence"], 4, "{info}");
}
