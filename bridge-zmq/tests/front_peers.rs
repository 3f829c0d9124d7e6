//! What an operator can see of a front: its peers, page by page, the handshakes that failed, the drops of each route, and what a shutdown could not
//! deliver.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::sync::Arc;

use front_support::{Raw, Recorder, frames, front, hex, listen};
use myelin_bridge_zmq::front::{Front, FrontConfig, PeerQuery, SocketType, Undelivered};
use myelin_bridge_zmq::metrics::{DropCause, Metrics};
use myelin_bus::Overflow;
use myelin_bus::outlet::{Budget, OutletConfig};

async fn raw<T: Send + 'static>(does: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(does).await.unwrap()
}

fn all() -> PeerQuery {
    PeerQuery { limit: 100, ..PeerQuery::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_listed_with_what_it_is_and_did_until_it_leaves() {
    let front = front();
    let (of_jobs, of_other) = (front.for_route("jobs").at_side("callers"), front.for_route("other").at_side("agents"));
    let (jobs, other) = (Recorder::new(), Recorder::new());
    let (first, second) = (listen(&of_jobs, SocketType::Router, &jobs).await, listen(&of_other, SocketType::Pull, &other).await);
    let (first, second) = (first.local_addr(), second.local_addr());
    let mut dealer = raw(move || Raw::shake(first, 1, "DEALER", Some(b"agent 1")).0).await;
    let pushers = raw(move || [(); 3].map(|()| Raw::shake(second, 1, "PUSH", None).0)).await;
    jobs.connected(1).await;
    other.connected(3).await;
    let local = dealer.stream.local_addr().unwrap();
    let _dealer = raw(move || {
        dealer.send(&hex("0001 61 0001 62"));
        dealer
    })
    .await;
    jobs.messages(2).await;
    jobs.peers()[0].send(&frames(&[b"reply"]));

    let query = PeerQuery { route: Some("jobs".to_owned()), ..all() };
    let peer = front.peers(&query).peers.remove(0);
    assert_eq!((&*peer.route, peer.side, peer.ours, peer.socket_type), ("jobs", "callers", SocketType::Router, SocketType::Dealer));
    assert_eq!((peer.mechanism, &peer.identity[..], peer.remote), ("NULL", &b"agent 1"[..], local.to_string()));
    assert_eq!((peer.received.messages, peer.received.bytes, peer.sent.messages, peer.sent.bytes), (2, 6, 1, 7));
    assert_eq!((peer.queued.messages, peer.dropped), (0, 0));

    let page = front.peers(&PeerQuery { limit: 3, ..all() });
    assert_eq!(page.peers.len(), 3);
    let rest = front.peers(&PeerQuery { after: page.next.unwrap(), ..all() });
    assert_eq!((rest.peers.len(), rest.next), (1, None));
    assert!(page.peers.iter().all(|peer| peer.id < rest.peers[0].id), "the oldest first");

    drop(pushers);
    other.until("three ends", |seen| seen.iter().filter(|seen| matches!(seen, front_support::Seen::Disconnected(_))).count() == 3).await;
    assert_eq!(front.peers(&PeerQuery { route: Some("other".to_owned()), ..all() }).peers.len(), 0);
    assert_eq!(front.shutdown().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_handshakes_are_remembered_with_their_reason_and_only_the_last_hundred() {
    let front = front();
    let handler = Recorder::new();
    let listener = listen(&front.for_route("jobs").at_side("callers"), SocketType::Router, &handler).await;
    let address = listener.local_addr();
    raw(move || {
        for number in 0..105 {
            let mut raw = Raw::connect(address);
            raw.send(if number == 104 { b"GET / HTTP/1.1\r\n\r\n" } else { b"\x16\x03\x01" });
            raw.rest();
        }
    })
    .await;
    // The connection closes a moment before its end is noted.
    let failures = loop {
        let failures = front.handshake_failures();
        if failures.last().is_some_and(|last| last.reason.contains("HTTP")) {
            break failures;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(failures.len(), 100);
    let first = &failures[0];
    assert_eq!((&*first.route, first.side, first.reason.contains("TLS")), ("jobs", "callers", true), "{first:?}");
    assert!(first.remote.starts_with("127.0.0.1:"), "{first:?}");
    front.shutdown().await;
}

/// A front on which a peer that does not read has `waiting` messages of 1 MiB queued.
async fn stalled(config: FrontConfig, metrics: &Metrics) -> (Front, Arc<Recorder>, Raw) {
    let (front, handler) = (Front::new(config, metrics.clone()), Recorder::new());
    let listener = listen(&front.for_route("feed").at_side("subscribers"), SocketType::XPub, &handler).await;
    let address = listener.local_addr();
    let peer = raw(move || Raw::shake(address, 1, "SUB", None).0).await;
    handler.connected(1).await;
    // Kept open by the shutdown of the front.
    std::mem::forget(listener);
    (front, handler, peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_tells_what_a_stalled_subscriber_did_not_get() {
    let config = FrontConfig { linger: std::time::Duration::from_millis(100), ..FrontConfig::default() };
    let (front, handler, peer) = stalled(config, &Metrics::default()).await;
    let subscriber = &handler.peers()[0];
    let message = frames(&[&vec![0; 1 << 20]]);
    while subscriber.outlet().queued().messages < 5 {
        subscriber.send(&message);
    }
    let undelivered = front.shutdown().await;
    let [Undelivered { route, peers: 1, messages, bytes }] = undelivered.as_slice() else { panic!("{undelivered:?}") };
    assert!(&**route == "feed" && (4..=5).contains(messages), "{undelivered:?}");
    assert!((3 << 20..=(5 << 20) + 100).contains(bytes), "{undelivered:?}");
    drop(peer);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_of_the_process_meets_the_fullest_and_drops_are_counted_by_route() {
    let queue = OutletConfig { bytes_max: 1 << 30, messages_max: 1 << 20, overflow: Overflow::DropNewest };
    let budget = Budget::new(4 << 20);
    let metrics = Metrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    budget.register(&mut registry);
    let config = FrontConfig { queue, budget: budget.clone(), ..FrontConfig::default() };
    let (front, handler, peer) = stalled(config, &metrics).await;
    let subscriber = &handler.peers()[0];
    let message = frames(&[&vec![0; 100_000]]);
    while subscriber.send(&message).dropped == 0 {}
    assert!((2 << 20..=4 << 20).contains(&budget.queued_bytes()));
    assert_eq!((metrics.drops(DropCause::DropNewest), budget.drops()), (1, 1));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.contains("myelin_zmq_messages_dropped_total{route=\"feed\",policy=\"drop_newest\"} 1"), "{page}");
    assert!(page.contains(&format!("myelin_bus_queued_bytes {}", budget.queued_bytes())), "{page}");
    drop(peer);
    front.shutdown().await;
    assert_eq!(budget.queued_bytes(), 0);
}
