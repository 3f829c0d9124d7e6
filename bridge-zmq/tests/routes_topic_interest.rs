//! A topic is subscribed to on the bus exactly while a connected subscriber has subscribed to something: other machines send its messages only then.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;
mod routes_support;

use std::net::SocketAddr;

use myelin_bridge_zmq::front::Listener;
use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::topic::Topic;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Overflow, Publisher};

use front_support::{Raw, hex};
use routes_support::{any_port, context, until};

/// How many listen to the topic on the bus, by a message that nobody here minds.
fn listening(publisher: &Publisher) -> usize {
    publisher.publish_batch(&[Body::Frames(Frames::single(b"?"))]).receivers
}

async fn topic() -> (RouteContext, Topic, Listener, Publisher) {
    let context = context();
    let topic = Topic::new(&context, "news", Overflow::DropNewest).unwrap();
    let listener = topic.bind_subscribers(&any_port()).await.unwrap();
    let publisher = context.bus.publisher(topic.subject().clone());
    (context, topic, listener, publisher)
}

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

async fn subscriber(to: SocketAddr) -> Raw {
    peer(move || Raw::shake(to, 1, "SUB", None).0).await
}

/// Says something, and waits for the answer to a PING behind it, which says that it was taken. What was published before comes first.
async fn say(mut raw: Raw, what: &'static str, before: &'static str) -> Raw {
    peer(move || {
        raw.send(&[hex(what), hex("0408 0450494e47 0000 61")].concat());
        let expected = hex(&format!("{before} 0406 04504f4e47 61"));
        assert_eq!(raw.receive(expected.len()), expected);
        raw
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_subscription_nobody_listens_on_the_bus() {
    let (_context, topic, listener, publisher) = topic().await;
    assert_eq!(listening(&publisher), 0, "nobody is there");
    let raw = subscriber(listener.local_addr()).await;
    until("it is connected", || topic.subscribers_connected() == 1).await;
    assert_eq!(listening(&publisher), 0, "nothing is wanted");
    let raw = say(raw, "0002 01 78", "").await;
    assert_eq!(listening(&publisher), 1);
    let raw = say(raw, "0002 00 78", "").await;
    assert_eq!(listening(&publisher), 0, "taken back");
    let raw = say(raw, "0001 01", "").await;
    assert_eq!(listening(&publisher), 1);
    drop(raw);
    until("nobody listens", || listening(&publisher) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_that_leaves_ends_it_and_the_others_miss_nothing() {
    let (_context, topic, listener, publisher) = topic().await;
    let stays = say(subscriber(listener.local_addr()).await, "0001 01", "").await;
    for number in 0..50_u8 {
        let comes = say(subscriber(listener.local_addr()).await, "0001 01", "").await;
        assert_eq!(publisher.publish_batch(&[Body::Frames(Frames::single(&[number]))]).receivers, 1);
        drop(comes);
        until("it has gone", || topic.subscribers_connected() == 1).await;
    }
    let (got, stays) = peer(move || {
        let mut stays = stays;
        (stays.receive(3 * 50), stays)
    })
    .await;
    assert_eq!(got, (0..50).flat_map(|number| [0, 1, number]).collect::<Vec<u8>>());
    assert_eq!(listening(&publisher), 1);
    drop(stays);
    until("nobody listens", || listening(&publisher) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_come_and_go_leave_nothing_behind() {
    let (_context, topic, listener, publisher) = topic().await;
    let address = listener.local_addr();
    for _ in 0..4 {
        let crowd = peer(move || {
            let mut crowd: Vec<Raw> = (0..250).map(|_| Raw::shake(address, 1, "SUB", None).0).collect();
            for raw in &mut crowd {
                raw.send(&hex("0001 01"));
            }
            crowd
        })
        .await;
        until("all are there", || topic.subscribers_connected() == 250).await;
        until("somebody listens", || listening(&publisher) == 1).await;
        peer(move || drop(crowd)).await;
        until("nobody listens", || listening(&publisher) == 0 && topic.subscribers_connected() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_topic_is_off_the_bus_whoever_is_connected() {
    let (_context, topic, listener, publisher) = topic().await;
    let raw = say(subscriber(listener.local_addr()).await, "0001 01", "").await;
    assert_eq!(listening(&publisher), 1);
    drop(topic);
    assert_eq!(listening(&publisher), 0);
    // Its sockets live on, and do not bring it back; what was asked for is answered before.
    let _raw = say(raw, "0002 01 78", "0001 3f").await;
    assert_eq!(listening(&publisher), 0);
}
