//! A pipeline route gives each message to exactly one consumer and holds producers back instead of dropping.

mod routes_support;

use std::collections::HashSet;

use myelin_bridge_zmq::routes::pipeline::Pipeline;
use myelin_bridge_zmq::routes::service::QueueBounds;

use routes_support::{Program, any_port, context};

const BOUNDS: QueueBounds = QueueBounds { bytes_max: 1024 * 1024, requests_max: 100 };

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_consumers_and_each_piece_goes_to_one() {
    let context = context();
    let pipeline = Pipeline::new(&context, "jobs", BOUNDS).unwrap();
    let (producers, consumers) = (pipeline.bind_producers(&any_port()).await.unwrap(), pipeline.bind_consumers(&any_port()).await.unwrap());
    // 6,000 messages are far more than the route may hold: the producer has to wait for the consumers, who come later.
    let producer = Program::start(&format!(
        r"
p = ctx.socket(zmq.PUSH); p.sndhwm = 10; p.linger = -1; p.connect('tcp://{}')
for i in range(100): p.send_multipart([b'%d' % i, b'x' * 10000])
say('first')
for i in range(100, 6000): p.send_multipart([b'%d' % i, b'x' * 10000])
p.close(); ctx.term(); say('sent')
",
        producers.local_addr()
    ));
    assert_eq!(producer.line(), "first");
    assert!(pipeline.messages_waiting() <= BOUNDS.requests_max + 4096, "the queue is over its bound by at most one read");
    // Each takes half a millisecond per message, and the messages are far more than one socket's buffers hold, so that the first consumer cannot
    // have taken everything before the others have started.
    let consumer = format!(
        r"
s = ctx.socket(zmq.PULL); s.rcvhwm = 10; s.rcvtimeo = 3000; s.connect('tcp://{}')
last = -1
try:
    while True:
        n, x = s.recv_multipart(); n = int(n)
        assert x == b'x' * 10000 and n > last, (n, last)
        last = n; say(n); time.sleep(0.0005)
except zmq.Again: pass
",
        consumers.local_addr()
    );
    let consumers = [Program::start(&consumer), Program::start(&consumer), Program::start(&consumer)];
    assert_eq!(producer.finish(), ["sent"]);
    let parts: Vec<Vec<String>> = consumers.into_iter().map(Program::finish).collect();
    assert!(parts.iter().all(|part| !part.is_empty()), "everybody got work");
    let all: HashSet<&String> = parts.iter().flatten().collect();
    assert_eq!(all.len(), 6_000, "nothing lost");
    assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 6_000, "nothing doubled");
}
