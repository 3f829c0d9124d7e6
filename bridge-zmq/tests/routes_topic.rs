//! A topic route brings every message of every publisher to each subscriber that asked for its beginning, unchanged.

mod routes_support;

use std::time::Duration;

use myelin_bridge_zmq::routes::topic::Topic;
use myelin_bus::wire::{Body, Filter, Frames};
use myelin_bus::{Overflow, SubscribeOptions};

use routes_support::{Program, any_port, at, context, until};

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_prefixes_arrive_as_libzmq_would_deliver_them() {
    let context = context();
    let topic = Topic::new(&context, "events", Overflow::Block).unwrap();
    let (publishers, subscribers) = (topic.bind_publishers(&any_port()).await.unwrap(), topic.bind_subscribers(&any_port()).await.unwrap());
    let subscriber = Program::start(&format!(
        r"
def sub(*prefixes):
    s = ctx.socket(zmq.SUB); s.rcvtimeo = 10000; s.connect('tcp://{}')
    for p in prefixes: s.subscribe(p)
    return s
everything, colon, plain = sub(b''), sub(b'ERROR:', b'end'), sub(b'ERROR', b'end', b'end')
plain.unsubscribe(b'end')
say('ready')
for s in (everything, colon, plain):
    while True:
        m = s.recv_multipart()
        say(m)
        if m == [b'end']: break
",
        subscribers.local_addr()
    ));
    assert_eq!(subscriber.line(), "ready");
    until("three subscribers", || topic.subscribers_connected() == 3).await;
    let publisher = Program::start(&format!(
        r#"
p = ctx.socket(zmq.PUB); p.linger = 10000; p.connect('tcp://{}')
mon = p.get_monitor_socket()
from zmq.utils.monitor import recv_monitor_message
while recv_monitor_message(mon)['event'] != zmq.EVENT_HANDSHAKE_SUCCEEDED: pass
time.sleep(0.3)
for m in ([b'ERROR:{{"a":1}}'], [b'ERROR', b'{{"a":1}}'], [b'\x80\x04\x95', b'', b'x' * 300], [b'end']): p.send_multipart(m)
say('sent'); sys.stdin.read()
"#,
        publishers.local_addr()
    ));
    assert_eq!(publisher.line(), "sent");
    let long = "x".repeat(300);
    for expected in [
        r#"[b'ERROR:{"a":1}']"#.to_owned(),
        r#"[b'ERROR', b'{"a":1}']"#.to_owned(),
        format!(r"[b'\x80\x04\x95', b'', b'{long}']"),
        "[b'end']".to_owned(),
        r#"[b'ERROR:{"a":1}']"#.to_owned(),
        "[b'end']".to_owned(),
        r#"[b'ERROR:{"a":1}']"#.to_owned(),
        r#"[b'ERROR', b'{"a":1}']"#.to_owned(),
        "[b'end']".to_owned(),
    ] {
        assert_eq!(subscriber.line(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_that_bind_are_connected_to_and_bus_clients_take_part() {
    let context = context();
    let topic = Topic::new(&context, "status", Overflow::DropNewest).unwrap();
    let subscribers = topic.bind_subscribers(&any_port()).await.unwrap();
    let mut native = context.bus.subscribe(&Filter::new("zmq.topic.>").unwrap(), SubscribeOptions::default()).await.unwrap();
    let publisher = Program::start(
        r"
p = ctx.socket(zmq.XPUB); say(p.bind_to_random_port('tcp://127.0.0.1'))
say(p.recv())
p.send_multipart([b'a', b'1'])
sys.stdin.read()
",
    );
    let port: u16 = publisher.line().parse().unwrap();
    let _connector = topic.connect_publisher(&at(([127, 0, 0, 1], port).into()));
    assert_eq!(publisher.line(), r"b'\x01'", "we subscribe to everything");
    let message = tokio::time::timeout(Duration::from_secs(10), native.next()).await.unwrap().unwrap();
    assert_eq!(message.body, Body::Frames(Frames::from_parts(["a", "1"]).unwrap()));

    let subscriber = Program::start(&format!(
        "s = ctx.socket(zmq.SUB); s.rcvtimeo = 10000; s.subscribe(b''); s.connect('tcp://{}'); say('ready'); say(s.recv_multipart())",
        subscribers.local_addr()
    ));
    assert_eq!(subscriber.line(), "ready");
    until("a subscriber", || topic.subscribers_connected() == 1).await;
    // Its subscription follows its connection; a bus-native publisher goes on until it is heard.
    let said = loop {
        context.bus.publish(topic.subject(), Body::from("native")).await.unwrap();
        if let Some(line) = subscriber.try_line() {
            break line;
        }
    };
    assert_eq!(said, "[b'native']");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_subscriber_does_not_delay_the_others() {
    // Twenty times what the stalled one's sockets and queue can hold, at a pace that a Python subscriber keeps up with.
    let context = context();
    let topic = Topic::new(&context, "fast", Overflow::DropNewest).unwrap();
    let (publishers, subscribers) = (topic.bind_publishers(&any_port()).await.unwrap(), topic.bind_subscribers(&any_port()).await.unwrap());
    let stalled = Program::start(&format!(
        "s = ctx.socket(zmq.SUB); s.rcvhwm = 1; s.subscribe(b''); s.connect('tcp://{}'); say('ready'); sys.stdin.read()",
        subscribers.local_addr()
    ));
    assert_eq!(stalled.line(), "ready");
    let healthy = Program::start(&format!(
        r"
s = ctx.socket(zmq.SUB); s.rcvhwm = 0; s.rcvtimeo = 10000; s.subscribe(b''); s.connect('tcp://{}'); say('ready')
got = 0
while True:
    m = s.recv()
    if m == b'end': break
    got += 1
say(got)
",
        subscribers.local_addr()
    ));
    assert_eq!(healthy.line(), "ready");
    until("two subscribers", || topic.subscribers_connected() == 2).await;
    let publisher = Program::start(&format!(
        r"
p = ctx.socket(zmq.XPUB); p.sndhwm = 0; p.linger = -1; p.connect('tcp://{}'); p.recv()
time.sleep(0.3)
for i in range(20000):
    if i % 100 == 0: time.sleep(0.005)
    p.send(b'x' * 1024)
p.send(b'end'); p.close(); ctx.term(); say('sent')
",
        publishers.local_addr()
    ));
    assert_eq!(publisher.finish(), ["sent"]);
    assert_eq!(healthy.finish(), ["20000"]);
}
