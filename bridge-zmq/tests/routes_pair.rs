//! A pair route ties one PAIR to one PAIR: frames pass both ways unchanged, in order, over the bus; what has no peer yet waits; a second peer of a
//! side is closed and counted, and the first is none the wiser.

mod routes_support;

use myelin_bridge_zmq::front::PeerQuery;
use myelin_bridge_zmq::routes::pair::{Pair, Side};
use myelin_bridge_zmq::routes::service::QueueBounds;
use myelin_bus::SubscribeOptions;
use myelin_bus::wire::{Body, Frames};

use routes_support::{Program, any_port, at, context, until};

const BOUNDS: QueueBounds = QueueBounds { bytes_max: 1024 * 1024, requests_max: 100 };

/// A PAIR that sends back what it gets, with `got` before it.
fn echo(connect: std::net::SocketAddr) -> Program {
    Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.connect('tcp://{connect}'); say('ready')\nwhile True: s.send_multipart([b'got'] + s.recv_multipart())"
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_pass_both_ways_unchanged_and_in_order() {
    let context = context();
    let pair = Pair::new(&context, "line", BOUNDS).unwrap();
    let (a, b) = (pair.bind(Side::A, &any_port()).await.unwrap(), pair.bind(Side::B, &any_port()).await.unwrap());
    let mut heard = context.bus.subscribe(&pair.subject(Side::A).clone().into(), SubscribeOptions::default()).await.unwrap();
    let other = echo(b.local_addr());
    let caller = Program::start(&format!(
        r"
s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.connect('tcp://{}')
for m in ([b'a'], [b''], [b'a', b'', b'\x80\x04\xff'], [b'x' * 255, b'y' * 256], [b'z' * 1048576]):
    s.send_multipart(m)
    assert s.recv_multipart() == [b'got'] + m
for i in range(5000): s.send(b'%d' % i)
for i in range(5000): assert s.recv_multipart() == [b'got', b'%d' % i]
say('done')
",
        a.local_addr()
    ));
    assert_eq!(other.line(), "ready");
    assert_eq!(caller.finish(), ["done"]);
    let first = tokio::time::timeout(routes_support::DEADLINE, heard.next()).await.unwrap().unwrap();
    assert_eq!((pair.subject(Side::A).as_str(), first.body), ("zmq.pair.line.a", Body::Frames(Frames::single(b"a"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_may_bind_and_what_comes_before_a_peer_waits_for_it() {
    let context = context();
    let pair = Pair::new(&context, "line", BOUNDS).unwrap();
    // A port that was free a moment ago.
    let later = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _b = pair.connect(Side::B, &at(later));
    let a = Program::start(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; say(s.bind_to_random_port('tcp://127.0.0.1')); s.send(b'early'); say(s.recv())",
    );
    let _a = pair.connect(Side::A, &at(([127, 0, 0, 1], a.line().parse().unwrap()).into()));
    until("it waits", || pair.waiting(Side::B).messages == 1).await;
    context.bus.publish(pair.subject(Side::A), Body::from("native")).await.unwrap();
    let b = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.linger = -1; s.bind('tcp://{later}')\n\
         say(s.recv()); say(s.recv()); s.send(b'answer'); s.close(); ctx.term()"
    ));
    assert_eq!((b.line().as_str(), b.line().as_str()), ("b'early'", "b'native'"));
    assert_eq!(a.line(), "b'answer'");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_peer_is_closed_until_the_first_has_gone() {
    let context = context();
    let pair = Pair::new(&context, "line", BOUNDS).unwrap();
    let (a, b) = (pair.bind(Side::A, &any_port()).await.unwrap(), pair.bind(Side::B, &any_port()).await.unwrap());
    let first = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.connect('tcp://{}'); s.send(b'1'); say(s.recv_multipart())\n\
         sys.stdin.readline(); s.send(b'2'); say(s.recv_multipart())",
        a.local_addr()
    ));
    let _echo = echo(b.local_addr());
    assert_eq!(first.line(), "[b'got', b'1']");
    let second = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.immediate = 1; s.connect('tcp://{}'); say('there'); s.send(b'3'); say(s.recv_multipart())",
        a.local_addr()
    ));
    assert_eq!(second.line(), "there");
    until("the second is refused", || context.metrics.pair_peers_refused() > 0).await;
    let sides = || {
        let peers = context.front.peers(&PeerQuery { route: Some("line".to_owned()), limit: 10, ..PeerQuery::default() }).peers;
        let mut sides: Vec<_> = peers.iter().map(|peer| peer.side).collect();
        sides.sort_unstable();
        sides
    };
    until("one peer a side", || sides() == ["a", "b"]).await;
    let at_a = || {
        let peers = context.front.peers(&PeerQuery { route: Some("line".to_owned()), limit: 10, ..PeerQuery::default() }).peers;
        peers.iter().filter(|peer| peer.side == "a").map(|peer| peer.id).collect::<Vec<_>>()
    };
    let of_the_first = *at_a().iter().min().unwrap();
    drop(first);
    // libzmq tries again by itself, and what it sends then is heard. The first may hold the place for another moment.
    until("the second has the place", || !at_a().contains(&of_the_first) && pair.is_connected(Side::A)).await;
    drop(second);
    until("the place is free", || !pair.is_connected(Side::A)).await;
    let third = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.connect('tcp://{}'); s.send(b'4')\n\
         while s.recv_multipart() != [b'got', b'4']: pass\n\
         say('back')",
        a.local_addr()
    ));
    assert_eq!(third.finish(), ["back"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_other_side_does_not_read_is_held_back_and_loses_nothing() {
    let context = context();
    let pair = Pair::new(&context, "line", BOUNDS).unwrap();
    let (a, b) = (pair.bind(Side::A, &any_port()).await.unwrap(), pair.bind(Side::B, &any_port()).await.unwrap());
    let sender = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.sndhwm = 10; s.linger = -1; s.connect('tcp://{}')\n\
         for i in range(3000): s.send_multipart([b'%d' % i, b'x' * 10000])\n\
         s.close(); ctx.term(); say('sent')",
        a.local_addr()
    ));
    until("the queue is full", || pair.waiting(Side::B).messages >= BOUNDS.requests_max).await;
    let reader = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 10000; s.connect('tcp://{}')\n\
         for i in range(3000): assert s.recv_multipart() == [b'%d' % i, b'x' * 10000]\n\
         say('all')",
        b.local_addr()
    ));
    assert_eq!(reader.finish(), ["all"]);
    assert_eq!(sender.finish(), ["sent"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_while_it_is_held_back_makes_room_for_the_next_and_is_heard_to_its_end() {
    let context = context();
    let pair = Pair::new(&context, "line", BOUNDS).unwrap();
    let (a, b) = (pair.bind(Side::A, &any_port()).await.unwrap(), pair.bind(Side::B, &any_port()).await.unwrap());
    // A few more than may wait, so that it is held back, and few enough that its end fits into the socket behind them.
    let sender = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.linger = -1; s.connect('tcp://{}')\n\
         for i in range(103): s.send_multipart([b'%d' % i, b'x' * 10000])\n\
         s.close(); ctx.term(); say('sent')",
        a.local_addr()
    ));
    let left = || {
        let query = PeerQuery { route: Some("line".to_owned()), limit: 10, ..PeerQuery::default() };
        context.front.peers(&query).peers.iter().filter(|peer| peer.has_left).count()
    };
    assert_eq!(sender.finish(), ["sent"]);
    until("its end is noticed", || left() == 1).await;
    let next = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 20000; s.connect('tcp://{}'); s.send(b'next'); say(s.recv())",
        a.local_addr()
    ));
    // The next one's message may overtake what the first one's socket still holds, and nothing is lost of either.
    let reader = Program::start(&format!(
        "s = ctx.socket(zmq.PAIR); s.rcvtimeo = 20000; s.connect('tcp://{}'); got = 0; next = False\n\
         while got < 103 or not next:\n\
        \x20   m = s.recv_multipart()\n\
        \x20   if m == [b'next']: next = True; s.send(b'welcome'); continue\n\
        \x20   assert m == [b'%d' % got, b'x' * 10000]; got += 1\n\
         s.linger = -1; s.close(); ctx.term(); say('all')",
        b.local_addr()
    ));
    assert_eq!(reader.finish(), ["all"]);
    assert_eq!(next.finish(), ["b'welcome'"]);
    assert_eq!(context.metrics.pair_peers_refused(), 0);
    until("the first has gone", || left() == 0).await;
}
