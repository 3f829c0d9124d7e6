//! Leased subjects cross only while somebody elsewhere listens, and nothing that he would have got is lost.

mod linked;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use linked::{filter, machine, next, seen_until, silent, subject, text, until_some, witness};
use myelin_bus::wire::Body;
use myelin_bus::{Bus, SubscribeOptions};
use myelin_testkit::NatsServer;

async fn say(bus: &Bus, to: &str, what: impl Into<String>) {
    bus.publish(&subject(to), Body::from(what.into())).await.expect("published");
}

/// Publishes until the listener has heard something: other machines learn of him a moment after he does.
async fn heard(from: &Bus, to: &str, listener: &mut myelin_bus::Subscription) {
    until_some(async || {
        say(from, to, "?").await;
        tokio::time::timeout(Duration::from_millis(20), listener.next()).await.ok().map(drop)
    })
    .await;
    while tokio::time::timeout(linked::QUIET, listener.next()).await.is_ok() {}
}

#[tokio::test]
async fn nothing_crosses_that_nobody_wants() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut crossing = witness(&server, "topic.>").await;
    let mut other = two.subscribe(&filter("topic.b"), SubscribeOptions::default()).await.expect("subscribed");
    heard(&one, "topic.b", &mut other).await;
    let mut here = one.subscribe(&filter("topic.a"), SubscribeOptions::default()).await.expect("subscribed");
    for number in 0..100 {
        say(&one, "topic.a", number.to_string()).await;
        assert_eq!(text(&next(&mut here).await.body), number.to_string(), "who listens here gets it");
    }
    say(&one, "topic.b", "end").await;
    assert_eq!(text(&next(&mut other).await.body), "end");
    let foreign = async_nats::connect(server.url()).await.expect("connected");
    foreign.publish("topic.end", "".into()).await.expect("published");
    let seen = seen_until(&mut crossing, "topic.end").await;
    assert!(seen.iter().all(|subject| subject == "topic.b"), "{seen:?}");
}

#[tokio::test]
async fn who_listens_gets_everything_until_he_stops_listening() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut crossing = witness(&server, "topic.>").await;
    let mut there = two.subscribe(&filter("topic.a"), SubscribeOptions::default()).await.expect("subscribed");
    heard(&one, "topic.a", &mut there).await;
    let began = Instant::now();
    let mut number = 0;
    // For longer than a lease lasts: it has to be renewed by what it is for.
    while began.elapsed() < Duration::from_secs(4) {
        for _ in 0..10 {
            say(&one, "topic.a", number.to_string()).await;
            assert_eq!(text(&next(&mut there).await.body), number.to_string(), "none is lost");
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(there);
    let left = Instant::now();
    while tokio::time::timeout(Duration::ZERO, crossing.next()).await.is_ok() {}
    let quiet_since = until_some(async || {
        say(&one, "topic.a", "to nobody").await;
        let last = tokio::time::timeout(Duration::from_millis(100), crossing.next()).await;
        last.is_err().then(Instant::now)
    })
    .await;
    assert!(quiet_since - left < Duration::from_secs(2) + linked::QUIET, "{:?}", quiet_since - left);
    let mut again = two.subscribe(&filter("topic.>"), SubscribeOptions::default()).await.expect("subscribed");
    heard(&one, "topic.c", &mut again).await;
}

#[tokio::test]
async fn flow_to_a_machine_that_died_stops() {
    let server = NatsServer::start();
    let one = machine(&server).await;
    let mut crossing = witness(&server, "topic.>").await;
    // A node that wants everything, and dies without a word: nobody renews its lease.
    let dead = async_nats::connect(server.url()).await.expect("connected");
    let announced = || dead.publish("$MYELIN.LINK.00000000000000aa", r#"{"kind":"want","filters":["topic.>"]}"#.into());
    until_some(async || {
        announced().await.expect("published");
        say(&one, "topic.a", "?").await;
        tokio::time::timeout(Duration::from_millis(20), crossing.next()).await.ok().map(drop)
    })
    .await;
    announced().await.expect("published");
    dead.flush().await.expect("flushed");
    let died = Instant::now();
    let mut last = died;
    while died.elapsed() < Duration::from_millis(3_500) {
        say(&one, "topic.a", "to nobody").await;
        if tokio::time::timeout(Duration::from_millis(20), crossing.next()).await.is_ok() {
            last = Instant::now();
        }
    }
    let flowed = last - died;
    assert!(flowed > Duration::from_millis(500) && flowed < Duration::from_secs(2), "the flow stopped after {flowed:?}");
}

#[tokio::test]
async fn garbage_changes_nothing() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let foreign = async_nats::connect(server.url()).await.expect("connected");
    for (to, what) in [
        ("$MYELIN.LINK.x", "{}"),
        ("$MYELIN.LINK.00000000000000aa", "not JSON"),
        ("$MYELIN.LINK.00000000000000aa", r#"{"kind":"want","filters":["a..b"]}"#),
        ("$MYELIN.LINK.00000000000000aa", r#"{"kind":"wants","filters":[1]}"#),
    ] {
        foreign.publish(to, what.into()).await.expect("published");
    }
    foreign.flush().await.expect("flushed");
    let mut there = two.subscribe(&filter("topic.a"), SubscribeOptions::default()).await.expect("subscribed");
    heard(&one, "topic.a", &mut there).await;
    silent(&mut there).await;
}
