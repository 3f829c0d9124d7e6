//! Promise: sockets of the real libzmq, in a process of their own, talk to the front in every role, and their frames pass unchanged.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::sync::Arc;

use bytes::Bytes;
use front_support::{Python, Recorder, Seen, frames, front, listen};
use myelin_bridge_zmq::front::{ConnectorState, Endpoint, PeerHandler, SocketType, SubscriptionChange};
use myelin_bridge_zmq::metrics::HandshakeFailure;

fn bytes(parts: &[&'static [u8]]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::from_static(part)).collect()
}

/// A port that was free a moment ago, for peers that bind.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> Endpoint {
    format!("tcp://localhost:{port}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn req_and_dealer_talk_to_our_router() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let script = r#"
req = ctx.socket(zmq.REQ); req.connect(ADDR)
for body in (b'{"action": "ping"}', b'', b'x' * 255, b'x' * 256, b'\x00\xff' * 524288):
    req.send(body)
    assert req.recv() == body
req.send_multipart([b'a', b'', b'b'])
assert req.recv_multipart() == [b'a', b'', b'b']
for _ in range(100):
    one = ctx.socket(zmq.REQ); one.setsockopt(zmq.LINGER, 0); one.connect(ADDR)
    one.send(b'one-shot'); assert one.recv() == b'one-shot'; one.close()
dealer = ctx.socket(zmq.DEALER); dealer.setsockopt(zmq.IDENTITY, b'agent1'); dealer.connect(ADDR)
dealer.send(b'bare'); assert dealer.recv_multipart() == [b'bare']
print('done')
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), script).finish().await, "done\n");
    let seen = handler.seen();
    assert!(seen.contains(&Seen::Message(bytes(&[b"", b"{\"action\": \"ping\"}"]))));
    assert!(seen.contains(&Seen::Connected { socket: SocketType::Dealer, identity: Bytes::from_static(b"agent1") }));
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_of_libzmq_are_answered_for_as_long_as_it_asks() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let script = r#"
req = ctx.socket(zmq.REQ)
req.setsockopt(zmq.HEARTBEAT_IVL, 50); req.setsockopt(zmq.HEARTBEAT_TIMEOUT, 200); req.setsockopt(zmq.HEARTBEAT_TTL, 500)
monitor = req.get_monitor_socket(zmq.EVENT_DISCONNECTED)
req.connect(ADDR)
req.send(b'a'); assert req.recv() == b'a'
assert monitor.poll(1200) == 0, 'disconnected'
req.send(b'b'); assert req.recv() == b'b'
print('done')
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), script).finish().await, "done\n");
    assert_eq!(handler.seen().iter().filter(|seen| matches!(seen, Seen::Connected { .. })).count(), 1);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_and_xsub_read_from_our_xpub() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::XPub, &handler).await;
    let script = r#"
sub = ctx.socket(zmq.SUB); sub.connect(ADDR); sub.subscribe(b''); sub.subscribe(b'ERROR:'); sub.unsubscribe(b'ERROR:')
xsub = ctx.socket(zmq.XSUB); xsub.connect(ADDR); xsub.send(b'\x01topic'); xsub.send(b'upstream')
for s in (sub, xsub):
    assert s.recv_multipart() == [b'topic', b'{"a": 1}']
print('done')
"#;
    let python = Python::spawn(listener.local_addr().port(), script);
    let subscribed = |prefix: &'static [u8]| Seen::Subscription(SubscriptionChange::Subscribe, Bytes::from_static(prefix));
    handler
        .until("every subscription and the message upstream", move |seen| {
            [
                subscribed(b""),
                subscribed(b"ERROR:"),
                Seen::Subscription(SubscriptionChange::Cancel, Bytes::from_static(b"ERROR:")),
                subscribed(b"topic"),
                Seen::Message(bytes(&[b"upstream"])),
            ]
            .iter()
            .all(|expected| seen.contains(expected))
        })
        .await;
    for peer in handler.peers() {
        assert_eq!(peer.send(&frames(&[b"topic", b"{\"a\": 1}"])).accepted, 1);
    }
    assert_eq!(python.finish().await, "done\n");
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pub_and_xpub_publish_to_our_sub_which_listens_or_connects() {
    let front = front();
    let listening = Recorder::subscriber(&[b""]);
    let listener = listen(&front, SocketType::Sub, &listening).await;
    let connecting = Recorder::subscriber(&[b"ERROR"]);
    let port = free_port();
    let connector = front.connect(&at(port), SocketType::Sub, Bytes::new(), Arc::clone(&connecting) as Arc<dyn PeerHandler>);
    let script = format!(
        r#"
bound = ctx.socket(zmq.XPUB); bound.bind('tcp://127.0.0.1:{port}')
assert bound.recv() == b'\x01ERROR'
bound.send_multipart([b'other', b'filtered']); bound.send(b'ERROR:{{"a":1}}'); bound.send_multipart([b'ERROR:', b'{{"a":1}}'])
pub = ctx.socket(zmq.XPUB); pub.connect(ADDR); assert pub.recv() == b'\x01'
pub.send(bytes.fromhex('8004952d000000000000007d94288c0474797065948c09696e74657272757074948c0974696d657374616d70944741da24814007df3b752e'))
pub.send_multipart([b'', b''])
print('done')
"#
    );
    let python = Python::spawn(listener.local_addr().port(), &script);
    assert_eq!(connecting.messages(2).await, [bytes(&[b"ERROR:{\"a\":1}"]), bytes(&[b"ERROR:", b"{\"a\":1}"])]);
    let received = listening.messages(2).await;
    assert_eq!((received[0][0].len(), received[1].clone()), (56, bytes(&[b"", b""])));
    assert_eq!(python.finish().await, "done\n");
    connector.close().await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn push_and_pull_both_ways_with_barriers() {
    let front = front();
    let (pull, push) = (Recorder::new(), Recorder::new());
    let puller = listen(&front, SocketType::Pull, &pull).await;
    let pusher = listen(&front, SocketType::Push, &push).await;
    let script = format!(
        r#"
push = ctx.socket(zmq.PUSH); push.connect(ADDR); push.send_json({{'t': 1}}, separators=(', ', ': '))
for n in range(1000): push.send(str(n).encode())
pull = ctx.socket(zmq.PULL); pull.connect('tcp://127.0.0.1:{}')
for n in range(1000): assert pull.recv() == str(n).encode()
print('done', flush=True); time.sleep(5)
"#,
        pusher.local_addr().port()
    );
    let python = Python::spawn(puller.local_addr().port(), &script);
    let worker = push.connected(1).await;
    for n in 0..1000 {
        assert_eq!(worker[0].send(&frames(&[n.to_string().as_bytes()])).accepted, 1);
    }
    assert!(worker[0].barrier(b"all").is_some());
    push.until("the barrier", |seen| seen.contains(&Seen::Pong(Bytes::from_static(b"all")))).await;
    let received = pull.messages(1001).await;
    assert_eq!(received[0], bytes(&[b"{\"t\": 1}"]));
    assert!(received[1..].iter().enumerate().all(|(n, message)| message[0] == n.to_string().as_bytes()));
    drop(python);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_dealer_asks_a_rep_and_a_router_and_survives_their_restart() {
    let (front, rep, router) = (front(), Recorder::new(), Recorder::new());
    let (rep_port, router_port) = (free_port(), free_port());
    let to_rep = front.connect(&at(rep_port), SocketType::Dealer, Bytes::new(), Arc::clone(&rep) as Arc<dyn PeerHandler>);
    let to_router =
        front.connect(&at(router_port), SocketType::Dealer, Bytes::from_static(b"caller"), Arc::clone(&router) as Arc<dyn PeerHandler>);
    let script = format!(
        r#"
rep = ctx.socket(zmq.REP); rep.setsockopt(zmq.LINGER, 1000); rep.bind('tcp://127.0.0.1:{rep_port}')
router = ctx.socket(zmq.ROUTER); router.bind('tcp://127.0.0.1:{router_port}')
assert rep.recv_multipart() == [b'question', b'more']; rep.send(b'answer')
assert router.recv_multipart() == [b'caller', b'', b'body']; router.send_multipart([b'caller', b'', b'1']); router.send_multipart([b'caller', b'', b'2'])
rep.close(); router.close(); ctx.term()
"#
    );
    for round in 1..=2 {
        let python = Python::spawn(rep_port, &script);
        let peer = rep.connected(round).await.remove(round - 1);
        assert_eq!(peer.socket_type(), SocketType::Rep);
        assert_eq!(peer.send_prefixed(&front_support::hex("0104 00000007"), &frames(&[b"", b"question", b"more"])).accepted, 1);
        let peer = router.connected(round).await.remove(round - 1);
        assert_eq!(peer.send(&frames(&[b"", b"body"])).accepted, 1);
        assert_eq!(rep.messages(round).await[round - 1], bytes(&[b"\0\0\0\x07", b"", b"answer"]));
        assert_eq!(router.messages(2 * round).await[2 * round - 2..], [bytes(&[b"", b"1"]), bytes(&[b"", b"2"])]);
        python.finish().await;
        to_rep.state().wait_for(|state| !matches!(state, ConnectorState::Connected { .. })).await.unwrap();
    }
    to_rep.close().await;
    to_router.close().await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z25_a_req_at_our_publisher_hears_nothing_and_harms_nothing() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::XPub, &handler).await;
    let script = r#"
req = ctx.socket(zmq.REQ); req.setsockopt(zmq.LINGER, 0); req.setsockopt(zmq.RCVTIMEO, 300); req.connect(ADDR); req.send(b'x')
try: req.recv(); print('reply')
except zmq.Again: print('none')
sub = ctx.socket(zmq.SUB); sub.connect(ADDR); sub.subscribe(b''); assert sub.recv() == b'still here'
"#;
    let python = Python::spawn(listener.local_addr().port(), script);
    let subscriber = handler.connected(1).await;
    handler.until("a subscription", |seen| seen.iter().any(|seen| matches!(seen, Seen::Subscription(..)))).await;
    assert_eq!(subscriber[0].send(&frames(&[b"still here"])).accepted, 1);
    assert_eq!(python.finish().await, "none\n");
    assert!(front.metrics().handshake_failures(HandshakeFailure::Incompatible) >= 1);
    front.shutdown().await;
}
