//! Promise: a message reaches every subscriber whose filter matches, in order, and nobody else; unsubscribing ends that at once.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_bus::wire::{Body, Filter, Frames, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, Message, Meta, PublishError, SubscribeError, SubscribeOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn filter(name: &str) -> Filter {
    Filter::new(name).unwrap()
}

fn bus() -> Bus {
    Bus::embedded(EmbeddedConfig::default())
}

#[tokio::test]
async fn every_matching_subscriber_gets_every_message_in_order() {
    let bus = bus();
    let mut subscriptions = Vec::new();
    for name in ["a.b", "a.*", "a.>", ">"] {
        subscriptions.push(bus.subscribe(&filter(name), SubscribeOptions::default()).await.unwrap());
    }
    let mut other = bus.subscribe(&filter("a.b.c"), SubscribeOptions::default()).await.unwrap();
    for number in 0..100 {
        bus.publish(&subject("a.b"), number.to_string().into()).await.unwrap();
    }
    for subscription in &mut subscriptions {
        for number in 0..100 {
            let message = subscription.next().await.unwrap();
            assert_eq!(message.body, number.to_string().into());
            assert_eq!(message.subject, subject("a.b"));
        }
        assert!(subscription.is_empty());
    }
    other.drain();
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn a_body_arrives_in_the_form_in_which_it_was_sent() {
    let bus = bus();
    let mut subscription = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let frames = Frames::from_parts(["", "one", ""]).unwrap();
    bus.publish(&subject("x"), Body::Frames(frames.clone())).await.unwrap();
    bus.publish(&subject("x"), Body::default()).await.unwrap();
    assert_eq!(subscription.next().await.unwrap().body, Body::Frames(frames));
    assert_eq!(subscription.next().await.unwrap().body, Body::default());
}

#[tokio::test]
async fn headers_travel_with_their_message() {
    let bus = bus();
    let mut subscription = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let meta = Meta { headers: vec![("Trace".into(), "1".into()), ("Trace".into(), "2".into())], ..Meta::default() };
    let message = Message { meta: Some(Box::new(meta.clone())), ..Message::new(subject("x"), "body") };
    bus.publish_message(message).await.unwrap();
    let received = subscription.next().await.unwrap();
    assert_eq!(received.meta.as_deref(), Some(&meta));
    assert_eq!(received.meta.unwrap().header("Trace").unwrap(), "1");
}

#[tokio::test]
async fn a_dropped_subscription_gets_nothing_more() {
    let bus = bus();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let publisher = bus.publisher(subject("x"));
    assert_eq!(publisher.publish_batch(&["early".into()]).receivers, 0);

    let handler = move |delivery: Delivery<'_>| {
        counted.fetch_add(delivery.bodies.len(), Ordering::Relaxed);
    };
    let inline = bus.subscribe_inline(&filter("x"), None, handler).unwrap();
    assert_eq!(publisher.publish_batch(&["one".into(), "two".into()]).receivers, 1);
    drop(inline);
    assert_eq!(publisher.publish_batch(&["late".into()]).receivers, 0);
    assert_eq!(count.load(Ordering::Relaxed), 2);
    assert_eq!(Arc::strong_count(&count), 1, "the handler is dropped with its subscription");
}

#[tokio::test]
async fn a_handler_may_subscribe_publish_and_unsubscribe() {
    let bus = bus();
    let mut inner = bus.subscribe(&filter("inner"), SubscribeOptions::default()).await.unwrap();
    let slot = Arc::new(parking_lot::Mutex::new(None));
    let (in_handler, own) = (bus.clone(), Arc::clone(&slot));
    let handler = move |delivery: Delivery<'_>| {
        let _published = in_handler.publisher(subject("inner")).publish_batch(delivery.bodies);
        let _brief = in_handler.subscribe_inline(&filter("outer"), None, |_: Delivery<'_>| {}).unwrap();
        let own_subscription = own.lock().take();
        drop(own_subscription);
    };
    *slot.lock() = Some(bus.subscribe_inline(&filter("outer"), None, handler).unwrap());
    bus.publish(&subject("outer"), "once".into()).await.unwrap();
    bus.publish(&subject("outer"), "twice".into()).await.unwrap();
    assert_eq!(inner.next().await.unwrap().body, "once".into());
    assert!(inner.is_empty());
}

#[tokio::test]
async fn next_batch_takes_all_that_waits() {
    let bus = bus();
    let mut subscription = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let bodies: Vec<Body> = (0..10).map(|number: u32| number.to_string().into()).collect();
    let _published = bus.publisher(subject("x")).publish_batch(&bodies);
    assert_eq!(subscription.next().await.unwrap().body, bodies[0]);
    let mut batch = Vec::new();
    assert_eq!(subscription.next_batch(&mut batch).await, 9);
    assert_eq!(batch.iter().map(|message| message.body.clone()).collect::<Vec<_>>(), bodies[1..]);
    subscription.drain();
    assert_eq!(subscription.next_batch(&mut batch).await, 0);
}

#[tokio::test]
async fn a_payload_over_the_limit_is_refused_before_anybody_gets_it() {
    let bus = Bus::embedded(EmbeddedConfig { payload_bytes_max: 4, ..EmbeddedConfig::default() });
    let mut subscription = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let refused = bus.publish(&subject("x"), "12345".into()).await;
    assert_eq!(refused, Err(PublishError::TooLarge { size: 5, max: 4 }));
    // Frame headers are not payload.
    bus.publish(&subject("x"), Body::Frames(Frames::from_parts(["12", "34"]).unwrap())).await.unwrap();
    let published = bus.publisher(subject("x")).publish_batch(&["12345".into(), "1234".into()]);
    assert_eq!(published.receivers, 1);
    assert_eq!(subscription.next().await.unwrap().body.len(), 4);
    assert_eq!(subscription.next().await.unwrap().body, "1234".into());
    assert!(subscription.is_empty());
}

#[tokio::test]
async fn one_subscription_too_many_is_refused() {
    let bus = Bus::embedded(EmbeddedConfig { subscriptions_max: 1, ..EmbeddedConfig::default() });
    let first = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let second = bus.subscribe(&filter("x"), SubscribeOptions::default()).await;
    assert_eq!(second.unwrap_err(), SubscribeError::TooMany { max: 1 });
    drop(first);
    bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
}
