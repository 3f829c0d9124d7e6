//! "Each subscription states its overflow policy (`block`, `drop_oldest`, `drop_newest`, `disconnect`); drops are counted and visible, never
//! silent. One slow subscriber never slows another."

use tokio::time::timeout;

use super::QUIET;
use super::fixture::{Fixture, eventually, next, text, within};
use crate::{Overflow, SubscribeOptions, Subscription, SubscriptionEnd};

fn narrow(overflow: Overflow) -> SubscribeOptions {
    SubscribeOptions::default().overflow(overflow).messages_max(5)
}

async fn publish(on: &Fixture, count: usize) {
    for number in 0..count {
        on.publish("x", number.to_string()).await;
    }
}

async fn expect(subscription: &mut Subscription, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(text(&next(subscription).await.body), number.to_string());
    }
}

async fn until_dropped(subscription: &Subscription, count: u64) {
    eventually("the drops are counted", async || (subscription.dropped() >= count).then_some(())).await;
    assert_eq!(subscription.dropped(), count);
}

/// `drop_newest`: what does not fit is dropped, and counted.
pub async fn drop_newest_keeps_what_came_first_and_counts_the_rest(on: &Fixture) {
    let mut subscription = on.subscribe("x", narrow(Overflow::DropNewest)).await;
    publish(on, 20).await;
    until_dropped(&subscription, 15).await;
    expect(&mut subscription, 0..5).await;
    on.publish("x", "20").await;
    expect(&mut subscription, 20..21).await;
}

/// `drop_oldest`: what waited longest makes room, and is counted.
pub async fn drop_oldest_keeps_what_came_last_and_counts_the_rest(on: &Fixture) {
    let mut subscription = on.subscribe("x", narrow(Overflow::DropOldest)).await;
    publish(on, 20).await;
    until_dropped(&subscription, 15).await;
    expect(&mut subscription, 15..20).await;
}

/// `disconnect`: who is too slow learns that it has missed messages.
pub async fn disconnect_ends_the_subscription_and_says_so(on: &Fixture) {
    let mut subscription = on.subscribe("x", narrow(Overflow::Disconnect)).await;
    publish(on, 20).await;
    let end = eventually("the end", async || subscription.end()).await;
    assert_eq!(end, SubscriptionEnd::Overflowed);
    let mut got = 0;
    while within("what was there", subscription.next()).await.is_some() {
        got += 1;
    }
    assert!(got <= 5, "{got}");
}

/// `block`: nothing is dropped.
pub async fn block_loses_nothing(on: &Fixture) {
    let mut subscription = on.subscribe("x", narrow(Overflow::Block)).await;
    let (_, ()) = tokio::join!(publish(on, 500), expect(&mut subscription, 0..500));
    assert_eq!(subscription.dropped(), 0);
}

/// `block` holds its publisher back, where both are in one process.
pub async fn block_makes_the_publisher_wait(on: &Fixture) {
    let mut subscription = on.subscribe("x", narrow(Overflow::Block)).await;
    let mut published = Box::pin(publish(on, 50));
    assert!(timeout(QUIET, &mut published).await.is_err(), "nobody reads");
    let ((), ()) = tokio::join!(published, expect(&mut subscription, 0..50));
}

/// "Bounded by bytes *and* count (one message is always admitted)".
pub async fn bytes_are_bounded_too_and_one_message_is_always_admitted(on: &Fixture) {
    let options = SubscribeOptions::default().overflow(Overflow::DropNewest).bytes_max(10_000);
    let mut subscription = on.subscribe("x", options).await;
    on.publish("x", vec![0; 50_000]).await;
    assert_eq!(next(&mut subscription).await.body.len(), 50_000);
    for _ in 0..100 {
        on.publish("x", vec![0; 1_000]).await;
    }
    eventually("all of them", async || (subscription.len() as u64 + subscription.dropped() == 100).then_some(())).await;
    assert!((1..=10).contains(&subscription.len()), "{}", subscription.len());
}

/// "One slow subscriber never slows another."
pub async fn one_slow_subscriber_slows_no_other(on: &Fixture) {
    let slow = [on.subscribe("x", narrow(Overflow::DropNewest)).await, on.subscribe("x", narrow(Overflow::DropOldest)).await];
    let mut fast = on.subscribe("x", SubscribeOptions::default()).await;
    publish(on, 2_000).await;
    expect(&mut fast, 0..2_000).await;
    for slow in &slow {
        until_dropped(slow, 1_995).await;
    }
}
