//! A graceful stop stores what was read from producers, waits a moment for consumers to confirm what they were given, and keeps the rest.

mod pipelines;

use pipelines::{Pipeline, number, send_numbers};

#[test]
fn what_was_read_is_stored_and_what_was_confirmed_does_not_come_again() {
    let mut pipeline = Pipeline::start("");
    let mut push = pipeline.push();
    let mut pull = pipeline.pull();
    send_numbers(&mut push, 0..50);
    assert_eq!((0..50).map(|_| number(&pull.message())).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    pipelines::answer_until(&mut pull, "they are acked", || pipeline.stored() == 0);
    drop(pull);
    send_numbers(&mut push, 50..1_000);
    // Read, whether stored or not.
    myelin_testkit::eventually("they are read", myelin_testkit::PATIENCE, || {
        (pipeline.sidecar.metric("myelin_zmq_messages_received_total") == Some(1_000.0)).then_some(())
    });
    assert_eq!(pipeline.sidecar.terminate(), 0);
    pipeline.sidecar.restart();
    assert_eq!(pipeline.stored(), 950);
    let mut pull = pipeline.pull();
    assert_eq!((50..1_000).map(|_| number(&pull.message())).collect::<Vec<_>>(), (50..1_000).collect::<Vec<_>>());
}
