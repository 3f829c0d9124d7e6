//! Promise: at one ROUTER listener an identity belongs to one connection at a time, refused or handed over as configured, and a client that
//! comes back at once is no second client.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use bytes::Bytes;
use front_support::{Python, Raw, Recorder, Seen, front, front_with, hex, listen};
use myelin_bridge_zmq::front::{FrontConfig, IdentityPolicy, SocketType};
use myelin_bridge_zmq::metrics::{DisconnectKind, IdentityConflict};

fn handing_over() -> FrontConfig {
    FrontConfig { identity: IdentityPolicy::HandOver, ..FrontConfig::default() }
}

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

/// A connection that was surely admitted: it has had an answer.
fn admitted(to: std::net::SocketAddr) -> Raw {
    let (mut raw, _) = Raw::shake(to, 1, "DEALER", Some(b"agent1"));
    raw.send(&hex("0001 61"));
    assert_eq!(raw.receive(3), hex("0001 61"));
    raw
}

fn connections(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| matches!(seen, Seen::Connected { .. })).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_refused_and_the_first_does_not_notice() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let mut first = admitted(address);
        let (second, _) = Raw::shake(address, 1, "DEALER", Some(b"agent1"));
        assert_eq!(second.rest(), b"", "closed without a word, so that a libzmq peer tries again");
        let (mut other, _) = Raw::shake(address, 1, "DEALER", Some(b"agent2"));
        for raw in [&mut first, &mut other] {
            raw.send(&hex("0001 61"));
            assert_eq!(raw.receive(3), hex("0001 61"));
        }
    })
    .await;
    assert_eq!(front.metrics().identity_conflicts(IdentityConflict::Refused), 1);
    assert_eq!(connections(&handler.seen()), 2);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_over_the_first_is_closed_and_the_second_is_served() {
    let (front, handler) = (front_with(handing_over()), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let first = admitted(address);
        let second = admitted(address);
        assert_eq!(first.rest(), b"");
        // The leave of the first has not freed what the second holds.
        let _third = admitted(address);
        assert_eq!(second.rest(), b"");
    })
    .await;
    assert_eq!(front.metrics().identity_conflicts(IdentityConflict::HandedOver), 2);
    assert_eq!(handler.disconnected().await, DisconnectKind::Local);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_is_no_identity_and_a_client_that_comes_back_at_once_is_welcome() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let _anonymous = [Raw::shake(address, 1, "DEALER", Some(b"")), Raw::shake(address, 1, "DEALER", None)];
        for _ in 0..50 {
            let (mut raw, _) = Raw::shake(address, 1, "REQ", Some(b"same"));
            raw.send(&hex("0100 0001 61"));
            assert_eq!(raw.receive(5), hex("0100 0001 61"));
        }
    })
    .await;
    assert_eq!(front.metrics().identity_conflicts(IdentityConflict::Refused), 0);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dealers_of_libzmq_are_refused_until_the_first_is_gone_or_take_over() {
    let script = r#"
def dealer():
    s = ctx.socket(zmq.DEALER); s.linger = 0; s.rcvtimeo = 400; s.identity = b'agent1'; s.connect(ADDR); return s
a = dealer(); a.send(b'a'); assert a.recv() == b'a'
b = dealer(); b.send(b'b')
try: print(b.recv().decode())
except zmq.Again: print('refused')
try: a.send(b'again'); print(a.recv().decode())
except zmq.Again: print('gone')
a.close(); b.rcvtimeo = 5000
deadline = time.time() + 5
while time.time() < deadline:
    b.send(b'after')
    b.rcvtimeo = 300
    try: print(b.recv().decode()); break
    except zmq.Again: pass
"#;
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    assert_eq!(Python::spawn(listener.local_addr().port(), script).finish().await, "refused\nagain\nafter\n");
    assert!(front.metrics().identity_conflicts(IdentityConflict::Refused) >= 1);
    front.shutdown().await;

    // A libzmq peer that lost its identity to another comes back and takes it again: here the first does so before its question is lost.
    let (front, handler) = (front_with(handing_over()), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let script = r#"
a = ctx.socket(zmq.DEALER); a.linger = 0; a.identity = b'agent1'; a.reconnect_ivl = -1; a.connect(ADDR)
a.send(b'a'); assert a.recv() == b'a'
b = ctx.socket(zmq.DEALER); b.linger = 0; b.rcvtimeo = 5000; b.identity = b'agent1'; b.connect(ADDR)
b.send(b'b'); print(b.recv().decode())
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), script).finish().await, "b\n");
    let first = Seen::Connected { socket: SocketType::Dealer, identity: Bytes::from_static(b"agent1") };
    assert_eq!(handler.seen().iter().filter(|seen| **seen == first).count(), 2);
    front.shutdown().await;
}
