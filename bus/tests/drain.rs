//! Promise: a drain lets waiting requests be answered and queued messages be read, refuses what is new, and keeps its deadline.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{
    Bus, Delivery, Drained, EmbeddedConfig, Message, PublishError, ReplyTo, RequestError, SubscribeError, SubscribeOptions, SubscriptionEnd,
};

const LONG: Duration = Duration::from_secs(60);

fn subject() -> Subject {
    Subject::new("x").unwrap()
}

fn filter() -> Filter {
    Filter::new("x").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_read_and_then_the_subscription_ends() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut subscription = bus.subscribe(&filter(), SubscribeOptions::default()).await.unwrap();
    for _ in 0..100 {
        bus.publish(&subject(), Body::default()).await.unwrap();
    }
    let draining = tokio::spawn({
        let bus = bus.clone();
        async move { bus.drain(LONG).await }
    });
    let mut read = 0;
    while subscription.next().await.is_some() {
        read += 1;
    }
    assert_eq!(read, 100);
    assert_eq!(subscription.end(), Some(SubscriptionEnd::Drained));
    assert!(draining.await.unwrap().is_clean());

    assert_eq!(bus.publish(&subject(), Body::default()).await, Err(PublishError::Closed));
    assert_eq!(bus.subscribe(&filter(), SubscribeOptions::default()).await.unwrap_err(), SubscribeError::Closed);
    assert_eq!(bus.publisher(subject()).publish_batch(&[Body::default()]).receivers, 0);
    assert_eq!(bus.request(&subject(), Body::default(), LONG).await.unwrap_err(), RequestError::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_still_gets_its_reply() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut service = bus.subscribe(&filter(), SubscribeOptions::default()).await.unwrap();
    let requesting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request(&subject(), "question".into(), LONG).await }
    });
    let request = service.next().await.unwrap();
    let draining = tokio::spawn({
        let bus = bus.clone();
        async move { bus.drain(LONG).await }
    });
    // New requests are refused from the moment at which the drain has begun.
    while bus.subscribe(&filter(), SubscribeOptions::default()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bus.request(&subject(), Body::default(), LONG).await.unwrap_err(), RequestError::Closed);
    request.respond(&bus, "answer");
    assert_eq!(requesting.await.unwrap().unwrap().body, "answer".into());
    assert_eq!(draining.await.unwrap(), Drained::default());
}

#[tokio::test]
async fn who_refuses_still_carries_messages_and_replies() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut service = bus.subscribe(&filter(), SubscribeOptions::default()).await.unwrap();
    let mut inbox = bus.subscribe(&Filter::new("inbox").unwrap(), SubscribeOptions::default()).await.unwrap();
    let reply = || ReplyTo::Subject(Subject::new("inbox").unwrap());
    let publisher = bus.publisher(subject());
    publisher.request_inline("question".into(), reply()).unwrap().settled().await;

    bus.refuse();
    assert!(publisher.request_inline("too late".into(), reply()).is_err());
    let late = Message { reply: Some(reply()), ..Message::new(subject(), "too late") };
    assert_eq!(bus.publish_message(late).await, Err(PublishError::Closed));
    assert_eq!(bus.request(&subject(), Body::default(), LONG).await.unwrap_err(), RequestError::Closed);
    bus.publish(&subject(), "news".into()).await.unwrap();

    let request = service.next().await.unwrap();
    request.respond(&bus, "answer");
    assert_eq!(inbox.next().await.unwrap().body, "answer".into());
    assert_eq!(service.next().await.unwrap().body, "news".into());
    assert!(service.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_kept_and_what_is_left_is_told() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let unread = bus.subscribe(&filter(), SubscribeOptions::default()).await.unwrap();
    let requesting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request(&subject(), Body::default(), LONG * 2).await }
    });
    while unread.is_empty() {
        tokio::task::yield_now().await;
    }
    let start = tokio::time::Instant::now();
    let drained = bus.drain(LONG).await;
    assert_eq!(drained, Drained { requests: 1, messages: 1 });
    assert_eq!(start.elapsed(), LONG);
    requesting.abort();
}

#[tokio::test(start_paused = true)]
async fn handlers_are_let_go() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let witness = std::sync::Arc::new(());
    let held = std::sync::Arc::clone(&witness);
    let inline = bus.subscribe_inline(&filter(), None, move |_: Delivery<'_>| drop(std::sync::Arc::clone(&held))).unwrap();
    bus.drain(LONG).await;
    drop(inline);
    assert_eq!(std::sync::Arc::strong_count(&witness), 1);
}
