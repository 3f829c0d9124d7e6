//! Promise: a full subscription does what its policy says, holds no more than its bounds, and counts what it loses.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Overflow, SubscribeOptions, Subscription, SubscriptionEnd};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

fn subject() -> Subject {
    Subject::new("x").unwrap()
}

async fn subscription(bus: &Bus, options: SubscribeOptions) -> Subscription {
    bus.subscribe(&Filter::new("x").unwrap(), options).await.unwrap()
}

/// A bus and a subscription for three messages.
async fn three(overflow: Overflow) -> (Bus, Subscription) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let subscription = subscription(&bus, SubscribeOptions::default().overflow(overflow).messages_max(3)).await;
    (bus, subscription)
}

async fn publish(bus: &Bus, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let subject = subject();
        let publishing = bus.publish(&subject, number.to_string().into());
        timeout(DEADLINE, publishing).await.expect("only block waits").unwrap();
    }
}

async fn rest(mut subscription: Subscription) -> Vec<Body> {
    subscription.drain();
    let mut bodies = Vec::new();
    while let Some(message) = subscription.next().await {
        bodies.push(message.body);
    }
    bodies
}

fn numbers(numbers: impl IntoIterator<Item = usize>) -> Vec<Body> {
    numbers.into_iter().map(|number| number.to_string().into()).collect()
}

#[tokio::test]
async fn drop_newest_keeps_what_came_first() {
    let (bus, subscription) = three(Overflow::DropNewest).await;
    publish(&bus, 0..10).await;
    assert_eq!((subscription.len(), subscription.dropped()), (3, 7));
    assert_eq!(rest(subscription).await, numbers(0..3));
}

#[tokio::test]
async fn drop_oldest_keeps_what_came_last() {
    let (bus, subscription) = three(Overflow::DropOldest).await;
    publish(&bus, 0..10).await;
    assert_eq!((subscription.len(), subscription.dropped()), (3, 7));
    assert_eq!(rest(subscription).await, numbers(7..10));
}

#[tokio::test]
async fn drop_oldest_keeps_its_bound_while_the_reader_is_in_the_middle_of_a_batch() {
    let (bus, mut subscription) = three(Overflow::DropOldest).await;
    publish(&bus, 0..3).await;
    assert_eq!(subscription.next().await.unwrap().body, "0".into());
    publish(&bus, 3..10).await;
    assert!(subscription.len() <= 3);
    assert_eq!(subscription.dropped(), 6);
    assert_eq!(rest(subscription).await, numbers([1, 2, 9]));
}

#[tokio::test]
async fn disconnect_ends_the_subscription_and_says_so() {
    let (bus, mut subscription) = three(Overflow::Disconnect).await;
    publish(&bus, 0..3).await;
    assert_eq!(subscription.end(), None);
    publish(&bus, 3..10).await;
    assert_eq!(subscription.end(), Some(SubscriptionEnd::Overflowed));
    assert_eq!(bus.publisher(subject()).publish_batch(&numbers(10..11)).receivers, 0, "it is no receiver any more");
    assert_eq!(subscription.dropped(), 1, "what came after the end was not for it");
    for number in numbers(0..3) {
        assert_eq!(subscription.next().await.unwrap().body, number);
    }
    assert!(subscription.next().await.is_none());
    subscription.drain();
    assert_eq!(subscription.end(), Some(SubscriptionEnd::Overflowed), "the first reason stays");
}

#[tokio::test]
async fn block_holds_the_publisher_back_and_loses_nothing() {
    let (bus, mut subscription) = three(Overflow::Block).await;
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move { publish(&bus, 0..10_000).await }
    });
    for number in numbers(0..10_000) {
        let message = timeout(DEADLINE, subscription.next()).await.unwrap().unwrap();
        assert_eq!(message.body, number);
        assert!(subscription.len() <= 4, "the bound and one message per publisher");
    }
    publisher.await.unwrap();
    assert_eq!(subscription.dropped(), 0);
}

#[tokio::test]
async fn a_blocked_publisher_goes_on_when_the_subscriber_is_gone() {
    for leave in [Subscription::drain, |_: &mut Subscription| {}] {
        let (bus, mut subscription) = three(Overflow::Block).await;
        publish(&bus, 0..3).await;
        let name = subject();
        let blocked = bus.publish(&name, "4".into());
        tokio::pin!(blocked);
        assert!(futures_pending(&mut blocked).await, "over the bound");
        leave(&mut subscription);
        drop(subscription);
        timeout(DEADLINE, blocked).await.unwrap().unwrap();
    }
}

async fn futures_pending(future: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_publisher_that_ignores_the_pressure_learns_of_it_each_time() {
    let (bus, mut subscription) = three(Overflow::Block).await;
    let publisher = bus.publisher(subject());
    assert!(publisher.publish_batch(&numbers(0..3)).pressure.is_none());
    let pressure = publisher.publish_batch(&numbers(3..5)).pressure.expect("over the bound");
    assert!(publisher.publish_batch(&numbers(5..6)).pressure.is_some());
    let relieved = tokio::spawn(pressure.relieved());
    let mut batch = Vec::new();
    assert_eq!(subscription.next_batch(&mut batch).await, 6);
    timeout(DEADLINE, relieved).await.unwrap().unwrap();
}

#[tokio::test]
async fn bytes_are_bounded_as_well() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let options = SubscribeOptions::default().overflow(Overflow::DropNewest).bytes_max(10);
    let subscription = subscription(&bus, options).await;
    for body in ["12345678", "12", "3", ""] {
        bus.publish(&subject(), body.into()).await.unwrap();
    }
    assert_eq!((subscription.len(), subscription.dropped()), (3, 1));
}

#[tokio::test]
async fn one_message_is_always_admitted() {
    for overflow in Overflow::ALL {
        let bus = Bus::embedded(EmbeddedConfig::default());
        let options = SubscribeOptions::default().overflow(overflow).bytes_max(0).messages_max(0);
        let mut subscription = subscription(&bus, options).await;
        for number in numbers(0..3) {
            timeout(DEADLINE, bus.publish(&subject(), number.clone())).await.unwrap().unwrap();
            assert_eq!(subscription.next().await.unwrap().body, number, "{overflow}");
        }
    }
}
