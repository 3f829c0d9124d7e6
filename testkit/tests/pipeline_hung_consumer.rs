//! A consumer that shows no progress for `ack_wait` loses what it has to the next one; one that goes on, however slowly, keeps it; and one that
//! comes to itself while nobody else wanted it has done its work.

mod pipelines;

use std::time::{Duration, Instant};

use myelin_testkit::zmtp::Received;
use myelin_testkit::{PATIENCE, eventually};
use pipelines::{Pipeline, answer_until, number, send_numbers};

#[test]
fn what_a_hung_consumer_has_goes_to_the_next() {
    let pipeline = Pipeline::start("ack_wait = \"1s\"");
    let mut hung = pipeline.pull();
    // It answers the first PING, so it is known to be one that confirms.
    hung.answer_ping();
    send_numbers(&mut pipeline.push(), 0..10);
    eventually("it has them", PATIENCE, || (pipeline.counter("delivered") == 10).then_some(()));
    let given = Instant::now();
    let mut next = pipeline.pull();
    let mut came: Vec<u32> = (0..10).map(|_| number(&next.message())).collect();
    assert!(given.elapsed() >= Duration::from_millis(500), "the first had its time: {:?}", given.elapsed());
    came.sort_unstable();
    assert_eq!(came, (0..10).collect::<Vec<_>>());
    answer_until(&mut next, "they are acked", || pipeline.stored() == 0);
    assert_eq!(pipeline.counter("redelivered"), 10);
    drop(hung);
}

#[test]
fn a_slow_consumer_that_goes_on_keeps_what_it_has() {
    let pipeline = Pipeline::start("ack_wait = \"2s\"");
    let mut slow = pipeline.pull();
    slow.answer_ping();
    let mut push = pipeline.push();
    // Three PINGs have to go out, each behind a message of its own: two at once, the third when the first is answered.
    for number in 0..8 {
        send_numbers(&mut push, number..number + 1);
        eventually("it is given", PATIENCE, || (pipeline.counter("delivered") == u64::from(number) + 1).then_some(()));
    }
    let mut other = pipeline.pull();
    other.answer_ping();
    let began = Instant::now();
    let mut came = Vec::new();
    // Each answer comes well within ack_wait of the one before, all of them together take longer.
    while pipeline.stored() > 0 {
        assert!(began.elapsed() < PATIENCE, "it goes on: {came:?}");
        std::thread::sleep(Duration::from_millis(300));
        match slow.recv(Duration::from_millis(200)) {
            Ok(Received::Message(frames)) => came.push(number(&frames)),
            Ok(Received::Command(..)) | Err(_) => {}
        }
    }
    assert!(began.elapsed() > Duration::from_secs(2), "longer than ack_wait: {:?}", began.elapsed());
    assert_eq!(came, (0..8).collect::<Vec<_>>());
    other.expect_silence(Duration::from_millis(100));
    assert_eq!(pipeline.counter("redelivered"), 0);
}

#[test]
fn a_late_answer_acks_what_nobody_else_took() {
    let pipeline = Pipeline::start("ack_wait = \"500ms\"");
    let mut slow = pipeline.pull();
    slow.answer_ping();
    send_numbers(&mut pipeline.push(), 0..10);
    eventually("it has them", PATIENCE, || (pipeline.counter("delivered") == 10).then_some(()));
    let attempts = || pipeline.json(&["consumer", "info", pipelines::STREAM, "pull"])[0]["in_flight"].as_u64();
    assert_eq!(attempts(), Some(10));
    // Longer than ack_wait: the stream has taken them back, and there is nobody else.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(pipeline.counter("delivered"), 10, "a consumer that shows no progress gets nothing more");
    let came: Vec<u32> = (0..10).map(|_| number(&slow.message())).collect();
    assert_eq!(came, (0..10).collect::<Vec<_>>());
    answer_until(&mut slow, "they are acked", || pipeline.stored() == 0);
    assert_eq!(pipeline.counter("redelivered"), 0);
}
