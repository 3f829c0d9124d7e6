//! Promise: on the wire the front is byte for byte what libzmq expects, however the peer's bytes are cut. A raw TCP peer plays the vectors.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use front_support::{Raw, Recorder, Seen, frames, front, front_with, greeting, hex, listen, ready};
use myelin_bridge_zmq::front::{
    BindError, ConnectorState, DisconnectReason, FrontConfig, HeartbeatConfig, PeerHandler, SocketType, SubscriptionChange,
};
use myelin_bridge_zmq::metrics::DisconnectKind;

/// Runs a blocking peer beside the runtime.
async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

fn bytes(parts: &[&[u8]]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn z01_z02_greeting_and_ready_are_those_of_libzmq() {
    let front = front();
    for (ours, theirs, expected) in [
        (SocketType::Router, "REQ", "05 5245414459 0b 536f636b65742d54797065 00000006 524f55544552"),
        (SocketType::Sub, "PUB", "05 5245414459 0b 536f636b65742d54797065 00000003 535542"),
        (SocketType::XPub, "SUB", "05 5245414459 0b 536f636b65742d54797065 00000004 58505542"),
        (SocketType::Pull, "PUSH", "05 5245414459 0b 536f636b65742d54797065 00000004 50554c4c"),
        (SocketType::Push, "PULL", "05 5245414459 0b 536f636b65742d54797065 00000004 50555348"),
        (SocketType::Dealer, "REP", "05 5245414459 0b 536f636b65742d54797065 00000006 4445414c4552"),
        (SocketType::Dealer, "ROUTER", "05 5245414459 0b 536f636b65742d54797065 00000006 4445414c4552"),
    ] {
        let handler = Recorder::new();
        let listener = listen(&front, ours, &handler).await;
        let address = listener.local_addr();
        let (_raw, ready) = peer(move || Raw::shake(address, 1, theirs, Some(b""))).await;
        assert_eq!(ready, hex(expected), "{ours} to {theirs}");
        handler.connected(1).await;
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z01_any_length_byte_in_the_signature_is_accepted_and_the_identity_is_seen() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let mut raw = Raw::connect(address);
        let mut greeting = greeting(1);
        greeting[..10].copy_from_slice(&hex("ff 0000000000000007 7f"));
        raw.send(&greeting);
        raw.send(&ready("DEALER", Some(b"agent1")));
        raw.send(&hex("0100 0007 7b2261223a317d"));
        assert_eq!(raw.receive(64)[..10], hex("ff 0000000000000001 7f"));
        let len = raw.receive(2)[1];
        raw.receive(len.into());
        assert_eq!(raw.receive(11), hex("0100 0007 7b2261223a317d"), "verbatim, delimiter and all");
    })
    .await;
    let seen = handler.seen();
    assert_eq!(seen[0], Seen::Connected { socket: SocketType::Dealer, identity: Bytes::from_static(b"agent1") });
    front.shutdown().await;
}

/// Everything one peer says, from the first byte to a large message, cut at every byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_may_be_cut_at_every_byte() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let mut script = greeting(1);
    script.extend(ready("REQ", Some(b"")));
    script.extend(hex("0100 0012 7b22616374696f6e223a202270696e67227d"));
    script.extend(hex("0407 04 50494e47 0032"));
    script.extend(hex("0100 02 0000000000000257"));
    script.extend([b'h'; 599]);
    let replies: usize = 2 + 2 + 18 + 7 + 2 + 9 + 599;
    let cuts: Vec<usize> = (1..script.len()).filter(|cut| *cut < 160 || cut % 97 == 0).collect();
    let count = cuts.len();
    for cuts in cuts.chunks(16) {
        let peers: Vec<_> = cuts
            .iter()
            .map(|&cut| {
                let script = script.clone();
                peer(move || {
                    let mut raw = Raw::connect(address);
                    raw.send(&script[..cut]);
                    // The other half follows once the front has surely seen the first: it answered, or had every chance to.
                    std::thread::yield_now();
                    raw.send(&script[cut..]);
                    let hello = raw.receive(64 + 2);
                    raw.receive(hello[65].into());
                    let answer = raw.receive(replies);
                    assert!(answer.starts_with(&hex("0100 0012 7b22616374696f6e")) || answer.starts_with(&hex("0405 04 504f4e47")));
                })
            })
            .collect();
        for peer in peers {
            peer.await;
        }
    }
    let messages = handler.messages(2 * count).await;
    assert_eq!(messages.len(), 2 * count);
    let (short, long) = (bytes(&[b"", b"{\"action\": \"ping\"}"]), bytes(&[b"", &[b'h'; 599]]));
    assert!(messages.iter().all(|message| *message == short || *message == long));
    front.shutdown().await;
}

/// One byte per segment, so that every boundary is met in one connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_may_come_one_byte_at_a_time() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let mut raw = Raw::connect(address);
        for byte in greeting(1).into_iter().chain(ready("REQ", None)).chain(hex("0100 0004 70696e67 0407 04 50494e47 0032")) {
            raw.send(&[byte]);
        }
        let hello = raw.receive(64 + 2);
        raw.receive(hello[65].into());
        assert_eq!(raw.receive(8), hex("0100 0004 70696e67"));
        assert_eq!(raw.receive(7), hex("0405 04 504f4e47"));
    })
    .await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z10_long_replies_use_the_long_header() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let (mut raw, _) = peer(move || Raw::shake(address, 1, "REQ", Some(b""))).await;
    let connected = handler.connected(1).await;
    for len in [599usize, 38_701, 1 << 20] {
        let body = vec![b'x'; len];
        assert_eq!(connected[0].send(&frames(&[b"", &body])).accepted, 1);
        raw = peer(move || {
            let mut expected = hex("0100 02");
            expected.extend((len as u64).to_be_bytes());
            assert_eq!(raw.receive(11), expected);
            assert_eq!(raw.receive(len), body);
            raw
        })
        .await;
    }
    let head = hex("0108 0102030405060708");
    assert_eq!(connected[0].send_prefixed(&head, &frames(&[b"", b"q"])).accepted, 1);
    assert_eq!(connected[0].send_batch([&frames(&[b"1"]), &frames(&[b"2", b"3"])]).accepted, 2);
    peer(move || {
        assert_eq!(raw.receive(15), hex("0108 0102030405060708 0100 0001 71"));
        assert_eq!(raw.receive(9), hex("0001 31 0101 32 0001 33"));
    })
    .await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z13_subscriptions_arrive_from_commands_messages_and_xsub() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::XPub, &handler).await;
    let address = listener.local_addr();
    let change = |change, prefix: &'static [u8]| Seen::Subscription(change, Bytes::from_static(prefix));
    let (subscribe, cancel) = (SubscriptionChange::Subscribe, SubscriptionChange::Cancel);
    for (minor, socket, said) in [
        (1, "SUB", "040a 09 535542534352494245 0410 09 535542534352494245 4552524f523a 0407 06 43414e43454c"),
        (0, "SUB", "0001 01 0007 01 4552524f523a 0001 00"),
        (1, "XSUB", "0001 01 0007 01 4552524f523a 0001 00"),
    ] {
        let before = handler.seen().len();
        let raw = peer(move || {
            let (mut raw, _) = Raw::shake(address, minor, socket, None);
            raw.send(&hex(said));
            raw
        })
        .await;
        let seen = handler.until("three changes", move |seen| seen.len() >= before + 4).await;
        assert_eq!(seen[before + 1..], [change(subscribe, b""), change(subscribe, b"ERROR:"), change(cancel, b"")], "{minor} {socket}");
        drop(raw);
        handler.until("the end of that peer", move |seen| seen.len() >= before + 5).await;
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_sub_subscribes_in_the_dialect_of_the_publisher() {
    let front = front();
    for (minor, expected) in [(1, "040a 09 535542534352494245 040b 09 535542534352494245 78"), (0, "0001 01 0002 01 78")] {
        let handler = Recorder::subscriber(&[b"", b"x"]);
        let listener = listen(&front, SocketType::Sub, &handler).await;
        let address = listener.local_addr();
        let mut raw = peer(move || {
            let (mut raw, _) = Raw::shake(address, minor, "PUB", None);
            assert_eq!(raw.receive(hex(expected).len()), hex(expected));
            raw.send(&hex("000d 4552524f523a7b2261223a317d 0106 4552524f523a 0007 7b2261223a317d"));
            raw
        })
        .await;
        assert_eq!(handler.messages(2).await, [bytes(&[b"ERROR:{\"a\":1}"]), bytes(&[b"ERROR:", b"{\"a\":1}"])]);
        assert_eq!(handler.peers()[0].cancel(b"x").accepted, 1);
        peer(move || {
            let expected = if minor == 1 { hex("0408 06 43414e43454c 78") } else { hex("0002 00 78") };
            assert_eq!(raw.receive(expected.len()), expected);
        })
        .await;
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z22_pings_are_answered_with_their_context_and_our_barriers_come_back() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::Push, &handler).await;
    let address = listener.local_addr();
    let mut raw = peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "PULL", None);
        raw.send(&hex("0407 04 50494e47 0032 040a 04 50494e47 0000 616263"));
        assert_eq!(raw.receive(7), hex("0405 04 504f4e47"));
        assert_eq!(raw.receive(10), hex("0408 04 504f4e47 616263"));
        raw
    })
    .await;
    let connected = handler.connected(1).await;
    assert_eq!(connected[0].send(&frames(&[b"job"])).accepted, 1);
    assert!(connected[0].barrier(b"b1").is_some());
    peer(move || {
        assert_eq!(raw.receive(5), hex("0003 6a6f62"), "the barrier stands behind the message");
        assert_eq!(raw.receive(11), hex("0409 04 50494e47 0000 6231"));
        raw.send(&hex("0407 04 504f4e47 6231"));
        // The PONG must have been read before the socket closes.
        raw.send(&hex("0407 04 50494e47 0000"));
        assert_eq!(raw.receive(7), hex("0405 04 504f4e47"));
    })
    .await;
    handler.until("the pong", |seen| seen.contains(&Seen::Pong(Bytes::from_static(b"b1")))).await;
    assert_eq!(handler.disconnected().await, DisconnectKind::Peer);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_zmtp_3_0_is_never_sent_a_command() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::Push, &handler).await;
    let address = listener.local_addr();
    let (raw, _) = peer(move || Raw::shake(address, 0, "PULL", None)).await;
    let connected = handler.connected(1).await;
    assert!(connected[0].barrier(b"b1").is_none());
    connected[0].close(DisconnectReason::Closed { why: "test" });
    assert_eq!(peer(move || raw.rest()).await, b"");
    front.shutdown().await;
}

/// Our side connects: the same bytes, the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn a_connector_greets_announces_its_identity_and_reconnects() {
    let (front, handler) = (front(), Recorder::new());
    let (server, address) = peer(|| {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        (server, address)
    })
    .await;
    let connector =
        front.connect(&address.into(), SocketType::Dealer, Bytes::from_static(b"me"), Arc::clone(&handler) as Arc<dyn PeerHandler>);
    let mut server = Some(server);
    for round in 1..=2 {
        let listening = server.take().unwrap();
        let (listening, raw) = peer(move || {
            let mut raw = Raw::over(listening.accept().unwrap().0);
            let theirs = raw.greet(1, "ROUTER", Some(b""));
            assert_eq!(theirs, hex("05 5245414459 0b 536f636b65742d54797065 00000006 4445414c4552 08 4964656e74697479 00000002 6d65"));
            (listening, raw)
        })
        .await;
        let mut state = connector.state();
        let connected = state.wait_for(|state| matches!(state, ConnectorState::Connected { .. })).await.unwrap().clone();
        handler.connected(round).await;
        drop(raw);
        state.wait_for(move |state| *state != connected).await.unwrap();
        server = Some(listening);
    }
    connector.close().await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_its_own_promise_is_closed() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let raw = peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "REQ", None);
        // 0.2 s from here.
        raw.send(&hex("0407 04 50494e47 0002"));
        assert_eq!(raw.receive(7), hex("0405 04 504f4e47"));
        raw
    })
    .await;
    assert_eq!(handler.disconnected().await, DisconnectKind::Silent);
    assert_eq!(peer(move || raw.rest()).await, b"");
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_heartbeats_ask_three_times_and_give_up_while_an_answering_peer_stays() {
    let heartbeat = Some(HeartbeatConfig { interval: Duration::from_millis(100), missed_max: 3 });
    let (front, handler) = (front_with(FrontConfig { heartbeat, ..FrontConfig::default() }), Recorder::new());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let ping = hex("0407 04 50494e47 0000");
    peer(move || {
        let (mut answering, _) = Raw::shake(address, 1, "REQ", None);
        let (silent, _) = Raw::shake(address, 1, "REQ", None);
        let (mut old, _) = Raw::shake(address, 0, "REQ", None);
        for _ in 0..6 {
            assert_eq!(answering.receive(9), ping);
            answering.send(&hex("0405 04 504f4e47"));
        }
        assert_eq!(silent.rest(), ping.repeat(3));
        // The peer of 3.0 has heard nothing and is still there.
        old.stream.set_nonblocking(true).unwrap();
        let error = std::io::Read::read(&mut old.stream, &mut [0]).expect_err("neither bytes nor the end");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    })
    .await;
    assert_eq!(handler.disconnected().await, DisconnectKind::Silent);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_free_again_as_soon_as_the_listener_has_closed() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let (raw, _) = peer(move || Raw::shake(address, 1, "REQ", None)).await;
    handler.connected(1).await;
    let taken = front.listen(&address.into(), SocketType::Router, Recorder::new()).await;
    assert!(matches!(taken, Err(BindError::InUse { .. })));
    listener.close().await;
    let again = front.listen(&address.into(), SocketType::Router, Arc::clone(&handler) as Arc<dyn PeerHandler>).await.unwrap();
    assert_eq!(again.local_addr(), address);
    assert_eq!(peer(move || raw.rest()).await, b"", "peers of a closed listener are closed");
    front.shutdown().await;
}
