//! What a durable pipeline has stored survives `kill -9` of the sidecar: after the next start all of it comes, in order.

mod pipelines;

use pipelines::{Pipeline, number, send_numbers};

const MESSAGES: u32 = 2_000;

#[test]
fn what_is_stored_comes_after_a_crash() {
    let mut pipeline = Pipeline::start("");
    send_numbers(&mut pipeline.push(), 0..MESSAGES);
    pipeline.wait_safe(u64::from(MESSAGES));
    pipeline.sidecar.kill9();
    pipeline.sidecar.restart();
    assert_eq!(pipeline.stored(), u64::from(MESSAGES));
    let mut pull = pipeline.pull();
    for expected in 0..MESSAGES {
        assert_eq!(number(&pull.message()), expected);
    }
    pipelines::answer_until(&mut pull, "everything is acked", || pipeline.stored() == 0);
    // A second crash brings none of it back.
    pipeline.sidecar.restart();
    assert_eq!(pipeline.stored(), 0);
}

#[test]
fn what_a_consumer_had_not_confirmed_comes_again() {
    let mut pipeline = Pipeline::start("");
    send_numbers(&mut pipeline.push(), 0..100);
    pipeline.wait_safe(100);
    let mut pull = pipeline.pull();
    assert_eq!(number(&pull.message()), 0);
    pull.ignore_pings();
    // The first is confirmed only if its PING was answered on the way to the second.
    assert_eq!(number(&pull.message()), 1);
    pipeline.sidecar.kill9();
    pipeline.sidecar.restart();
    let left = pipeline.stored();
    assert!(left >= 99, "{left}");
    let mut pull = pipeline.pull();
    let mut came: Vec<u32> = (0..left).map(|_| number(&pull.message())).collect();
    came.sort_unstable();
    assert_eq!(came, (100 - u32::try_from(left).expect("at most 100")..100).collect::<Vec<_>>());
}
