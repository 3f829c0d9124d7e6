//! Promise: whatever a TCP peer sends or fails to send, it loses its own connection and nothing else: no panic, no wedge, no memory, no delay
//! for others. Each test has a healthy peer that must still get its answer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use front_support::{Raw, Recorder, Seen, frames, front, front_with, greeting, hex, listen, ready};
use myelin_bridge_zmq::codec::{FramesLimit, MessageLimit};
use myelin_bridge_zmq::front::{Front, FrontConfig, SocketType};
use myelin_bridge_zmq::metrics::{DisconnectKind, DropCause, HandshakeFailure};
use myelin_bus::outlet::OutletConfig;
use myelin_bus::{Overflow, Pressure};
use tokio::sync::oneshot;

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

/// A REQ gets its answer.
async fn healthy(address: SocketAddr) {
    peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "REQ", None);
        raw.send(&hex("0100 0004 70696e67"));
        assert_eq!(raw.receive(8), hex("0100 0004 70696e67"));
    })
    .await;
}

async fn failures(front: &Front, reason: HandshakeFailure, count: u64) {
    let deadline = Instant::now() + front_support::PATIENCE;
    while front.metrics().handshake_failures(reason) < count {
        assert!(Instant::now() < deadline, "{reason:?} not counted {count} times");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn z26_http_is_closed_without_a_word() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let answer = peer(move || {
        let mut raw = Raw::connect(address);
        raw.send(b"GET /health HTTP/1.1\r\nHost: agent:5559\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n");
        raw.rest()
    })
    .await;
    assert!(answer.is_empty(), "{answer:?}");
    failures(&front, HandshakeFailure::Http, 1).await;
    healthy(address).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_random_bytes_and_old_versions_are_closed_at_once() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let started = Instant::now();
    for (bytes, reason) in [
        (hex("16030100f8010000f40303"), HandshakeFailure::Tls),
        (vec![0, 1, 2, 3], HandshakeFailure::NotZmtp),
        (vec![b'\n'; 5000], HandshakeFailure::NotZmtp),
        (hex("ff 0000000000000001 7f 01 00"), HandshakeFailure::Version),
        ([greeting(1), hex("0001 61")].concat(), HandshakeFailure::Violation),
        ([greeting(1), hex("06 7fffffffffffffff")].concat(), HandshakeFailure::Violation),
    ] {
        peer(move || {
            let mut raw = Raw::connect(address);
            raw.send(&bytes);
            raw.rest()
        })
        .await;
        failures(&front, reason, 1).await;
    }
    assert!(started.elapsed() < Duration::from_secs(4), "closed by their bytes, not by the deadline");
    healthy(address).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_lengths_end_the_connection_without_a_byte_of_memory() {
    let config = FrontConfig {
        message_bytes_max: MessageLimit::new(1 << 20).unwrap(),
        frames_max: FramesLimit::new(16).unwrap(),
        ..FrontConfig::default()
    };
    let (front, handler) = (front_with(config), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let hostile = [
        hex("02 7fffffffffffffff"),
        hex("02 ffffffffffffffff"),
        hex("02 0000000000100001"),
        hex("06 00000000ffffffff"),
        hex("03 0000000000080000").into_iter().chain(vec![0; 0x80000]).chain(hex("02 0000000000080001")).collect(),
        hex("0100").repeat(16),
        hex("08 00"),
        hex("05 00"),
        hex("0400"),
        hex("0406 04 50494e47 00"),
    ];
    for (at, bytes) in hostile.into_iter().enumerate() {
        let before = handler.seen().len();
        let rest = peer(move || {
            let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
            raw.send(&bytes);
            raw.rest()
        })
        .await;
        assert_eq!(rest, b"", "case {at}");
        let seen = handler.until("the end", move |seen| seen.len() == before + 2).await;
        assert_eq!(seen[before + 1], Seen::Disconnected(DisconnectKind::Protocol), "case {at}");
    }
    healthy(address).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_never_finish_their_messages_share_one_budget() {
    let config = FrontConfig { incomplete_bytes_max: 5 << 20, ..FrontConfig::default() };
    let (front, handler) = (front_with(config), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let unfinished = peer(move || {
        (0..4)
            .map(|_| {
                let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
                raw.send(&hex("02 0000000000200000"));
                // The last ones are cut off while they write.
                drop(std::io::Write::write_all(&mut raw.stream, &[7; (2 << 20) - 1]));
                raw
            })
            .collect::<Vec<_>>()
    })
    .await;
    let overload = |seen: &[Seen]| seen.iter().filter(|seen| **seen == Seen::Disconnected(DisconnectKind::Overload)).count();
    handler.until("two disconnects", move |seen| overload(seen) == 2).await;
    healthy(address).await;
    drop(unfinished);
    handler.until("the end of all four", |seen| seen.iter().filter(|seen| matches!(seen, Seen::Disconnected(_))).count() >= 4).await;
    peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
        raw.send(&hex("02 0000000000400000"));
        raw.send(&vec![7; 4 << 20]);
        assert_eq!(raw.receive(9 + (4 << 20))[..9], hex("02 0000000000400000"));
    })
    .await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_cut_off_is_never_delivered() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
        raw.send(&hex("0001 61 0101 62 0005 6868"));
    })
    .await;
    assert_eq!(handler.disconnected().await, DisconnectKind::Peer);
    assert_eq!(handler.messages(1).await, [[bytes::Bytes::from_static(b"a")]], "the whole message, and only that");
    healthy(address).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_delay_nobody_and_end_at_the_deadline() {
    let config = FrontConfig { handshake_timeout: Duration::from_secs(2), pending_max: 64, ..FrontConfig::default() };
    let (front, handler) = (front_with(config), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let stalled = peer(move || {
        (0..300)
            .map(|n| {
                let mut raw = Raw::connect(address);
                match n % 3 {
                    0 => {}
                    1 => raw.send(&greeting(1)[..10]),
                    _ => raw.send(&greeting(1)),
                }
                raw
            })
            .collect::<Vec<_>>()
    })
    .await;
    let started = Instant::now();
    healthy(address).await;
    assert!(started.elapsed() < Duration::from_secs(1), "delayed by {:?}", started.elapsed());
    failures(&front, HandshakeFailure::Evicted, 300 - 64 + 1).await;
    failures(&front, HandshakeFailure::Timeout, 63).await;
    peer(move || stalled.into_iter().for_each(|raw| drop(raw.rest()))).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn above_connections_max_newcomers_are_closed_and_a_free_place_is_used_again() {
    let config = FrontConfig { connections_max: 2, ..FrontConfig::default() };
    let (front, handler) = (front_with(config), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let (first, second) = peer(move || (Raw::shake(address, 1, "REQ", None), Raw::shake(address, 1, "REQ", None))).await;
    assert_eq!(peer(move || Raw::connect(address).rest()).await, b"");
    drop(first);
    handler.disconnected().await;
    // The place is given back right after the handler knows.
    let deadline = Instant::now() + front_support::PATIENCE;
    loop {
        let answered = peer(move || {
            let mut raw = Raw::connect(address);
            raw.send(&[greeting(1), ready("REQ", None)].concat());
            std::io::Read::read(&mut raw.stream, &mut [0; 64]).is_ok_and(|n| n > 0)
        })
        .await;
        if answered {
            break;
        }
        assert!(Instant::now() < deadline, "the place stayed taken");
    }
    drop(second);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn z25_an_incompatible_peer_is_told_and_closed() {
    let (front, handler) = (front(), Recorder::echo());
    let publisher = listen(&front, SocketType::XPub, &Recorder::new()).await.local_addr();
    let keep = listen(&front, SocketType::XPub, &Recorder::new()).await;
    let listener = listen(&front, SocketType::Router, &handler).await;
    let (address, wrong) = (listener.local_addr(), keep.local_addr());
    assert_ne!(publisher, wrong);
    let said = peer(move || {
        let (raw, ready) = Raw::shake(wrong, 1, "REQ", None);
        assert_eq!(&ready[..6], b"\x05READY");
        raw.rest()
    })
    .await;
    assert_eq!(said[2..8], *b"\x05ERROR");
    failures(&front, HandshakeFailure::Incompatible, 1).await;
    healthy(address).await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pressure_stops_the_reading_of_one_peer_and_of_no_other() {
    let (front, handler) = (front(), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let (relieve, relieved) = oneshot::channel::<()>();
    handler.press.lock().push(Pressure::new(async move { drop(relieved.await) }));
    let mut raw = peer(move || {
        let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
        raw.send(&hex("0001 61"));
        assert_eq!(raw.receive(3), hex("0001 61"));
        raw.send(&hex("0001 62 0407 04 50494e47 0001"));
        raw
    })
    .await;
    healthy(address).await;
    assert_eq!(handler.messages(2).await.len(), 2, "the second message of the pressed peer stays in its socket");
    relieve.send(()).unwrap();
    peer(move || {
        assert_eq!(raw.receive(10), hex("0001 62 0405 04 504f4e47"));
    })
    .await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_costs_its_queue_and_delays_no_other() {
    for (overflow, cause) in [(Overflow::DropOldest, DropCause::DropOldest), (Overflow::DropNewest, DropCause::DropNewest)] {
        let queue = OutletConfig { bytes_max: 1 << 20, messages_max: 1000, overflow };
        let (front, handler) = (front_with(FrontConfig { queue, ..FrontConfig::default() }), Recorder::new());
        let listener = listen(&front, SocketType::XPub, &handler).await;
        let address = listener.local_addr();
        let (slow, mut fast) = peer(move || (Raw::shake(address, 1, "SUB", None).0, Raw::shake(address, 1, "SUB", None).0)).await;
        let peers = handler.connected(2).await;
        let message = frames(&[&[b'x'; 100_000]]);
        for _ in 0..500 {
            for peer in &peers {
                if peer.remote() == slow.stream.local_addr().unwrap() {
                    assert!(peer.send(&message).accepted <= 1);
                } else {
                    assert_eq!((peer.send(&message).dropped, peer.outlet().flushed().await), (0, ()));
                }
            }
            fast = peer(move || {
                assert_eq!(fast.receive(9 + 100_000)[..9], hex("02 00000000000186a0"));
                fast
            })
            .await;
        }
        let queued = peers.iter().map(|peer| peer.outlet().queued().bytes).max().unwrap();
        assert!((1..=(1 << 20) + 200_000).contains(&queued), "{queued}");
        assert!(front.metrics().drops(cause) > 0);
        drop(slow);
        front.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_is_disconnected_where_the_policy_says_so() {
    let queue = OutletConfig { bytes_max: 1 << 20, messages_max: 1000, overflow: Overflow::Disconnect };
    let (front, handler) = (front_with(FrontConfig { queue, ..FrontConfig::default() }), Recorder::new());
    let listener = listen(&front, SocketType::XPub, &handler).await;
    let address = listener.local_addr();
    let (slow, _) = peer(move || Raw::shake(address, 1, "SUB", None)).await;
    let peers = handler.connected(1).await;
    let message = frames(&[&[b'x'; 100_000]]);
    while peers[0].send(&message).dropped == 0 {}
    assert_eq!(handler.disconnected().await, DisconnectKind::Slow);
    drop(slow);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_pings_without_reading_is_closed() {
    let (front, handler) = (front(), Recorder::new());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let (mut raw, _) = peer(move || Raw::shake(address, 1, "DEALER", None)).await;
    let connected = handler.connected(1).await;
    // More than the kernel keeps for a peer that does not read, so that every answer waits with us.
    assert_eq!(connected[0].send(&frames(&[&vec![0; 32 << 20]])).accepted, 1);
    let open = peer(move || {
        let pings = hex("0417 04 50494e47 0000 30313233343536373839616263646566").repeat(64 * 1024 / 23 + 1);
        drop(std::io::Write::write_all(&mut raw.stream, &pings));
        raw
    })
    .await;
    assert_eq!(handler.disconnected().await, DisconnectKind::Slow);
    drop(open);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_costs_its_connection_only() {
    #[derive(Debug)]
    struct Panics(Arc<Recorder>);
    impl myelin_bridge_zmq::front::PeerHandler for Panics {
        fn connected(&self, _: &Arc<myelin_bridge_zmq::front::Peer>) {}
        fn received(&self, _: &Arc<myelin_bridge_zmq::front::Peer>, _: &mut Vec<myelin_bus::wire::Body>) -> Option<Pressure> {
            panic!("as the test wants it")
        }
        fn subscription(&self, _: &Arc<myelin_bridge_zmq::front::Peer>, _: myelin_bridge_zmq::front::SubscriptionChange, _: bytes::Bytes) {}
        fn disconnected(&self, _: &Arc<myelin_bridge_zmq::front::Peer>, reason: &myelin_bridge_zmq::front::DisconnectReason) {
            self.0.push(Seen::Disconnected(reason.kind()));
        }
    }
    let (front, seen) = (front(), Recorder::new());
    let listener = front.listen(&front_support::any_port(), SocketType::Router, Arc::new(Panics(Arc::clone(&seen)))).await.unwrap();
    let address = listener.local_addr();
    for _ in 0..2 {
        let rest = peer(move || {
            let (mut raw, _) = Raw::shake(address, 1, "DEALER", None);
            raw.send(&hex("0001 61"));
            raw.rest()
        })
        .await;
        assert_eq!(rest, b"");
    }
    seen.until("both ends", |seen| seen.len() == 2).await;
    front.shutdown().await;
}
