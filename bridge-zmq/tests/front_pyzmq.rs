//! Promise: sockets of the real libzmq, in a process of their own, talk to the front in every role, and their frames pass unchanged.

mod front_support;

use std::sync::Arc;

use bytes::Bytes;
use front_support::{Python, Recorder, Seen, frames, front, listen};
use myelin_bridge_zmq::front::{Endpoint, PeerHandler, SocketType, SubscriptionChange};

#[tokio::test(flavor = "multi_thread")]
async fn req_talks_to_our_router_and_dealer_shows_its_identity() {
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
router = ctx.socket(zmq.ROUTER); router.setsockopt(zmq.IDENTITY, b'router'); router.connect(ADDR)
print('done')
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), script).finish().await, "done\n");
    let seen = handler.seen();
    assert!(seen.contains(&Seen::Message(vec![Bytes::new(), Bytes::from_static(b"{\"action\": \"ping\"}")])));
    assert!(seen.contains(&Seen::Connected { socket: SocketType::Dealer, identity: Bytes::from_static(b"agent1") }));
    front.shutdown().await;
}
