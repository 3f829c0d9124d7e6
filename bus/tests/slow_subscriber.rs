//! Promise: one slow subscriber never slows another. It loses its own messages or holds its own publishers back.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Overflow, SubscribeOptions};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
const MESSAGES: usize = 10_000;

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn filter(name: &str) -> Filter {
    Filter::new(name).unwrap()
}

#[tokio::test]
async fn a_subscriber_that_reads_gets_everything_beside_one_that_does_not() {
    for policy in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect] {
        let bus = Bus::embedded(EmbeddedConfig::default());
        let asleep = bus.subscribe(&filter("x"), SubscribeOptions::default().overflow(policy).messages_max(10)).await.unwrap();
        let mut awake = bus.subscribe(&filter("x"), SubscribeOptions::default().overflow(Overflow::Block)).await.unwrap();
        let publishing = tokio::spawn(async move {
            for number in 0..MESSAGES {
                bus.publish(&subject("x"), number.to_string().into()).await.unwrap();
            }
        });
        for number in 0..MESSAGES {
            let message = timeout(DEADLINE, awake.next()).await.unwrap().unwrap();
            assert_eq!(message.body, number.to_string().into());
        }
        publishing.await.unwrap();
        assert_eq!(asleep.len(), 10, "{policy}");
        assert!(asleep.dropped() > 0, "{policy}");
    }
}

#[tokio::test]
async fn a_blocking_subscriber_holds_back_its_own_publishers_only() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let options = SubscribeOptions::default().overflow(Overflow::Block).messages_max(1);
    let asleep = bus.subscribe(&filter("a"), options).await.unwrap();
    let mut witness = bus.subscribe(&filter(">"), SubscribeOptions::default()).await.unwrap();

    let blocked = tokio::spawn({
        let bus = bus.clone();
        async move {
            bus.publish(&subject("a"), "1".into()).await.unwrap();
            bus.publish(&subject("a"), "2".into()).await.unwrap();
        }
    });
    // The message over the bound reaches the others before its publisher waits.
    for body in ["1", "2"] {
        assert_eq!(timeout(DEADLINE, witness.next()).await.unwrap().unwrap().body, body.into());
    }
    for number in 0..MESSAGES {
        timeout(DEADLINE, bus.publish(&subject("b"), number.to_string().into())).await.unwrap().unwrap();
        assert_eq!(timeout(DEADLINE, witness.next()).await.unwrap().unwrap().body, number.to_string().into());
    }
    assert!(!blocked.is_finished());
    drop(asleep);
    timeout(DEADLINE, blocked).await.unwrap().unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_publisher_in_a_tight_loop_lets_its_subscriber_run() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut subscription = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let reading = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            assert!(subscription.next().await.is_some());
            assert!(subscription.len() < MESSAGES / 10, "it runs while the publisher does");
        }
    });
    for number in 0..MESSAGES {
        bus.publish(&subject("x"), number.to_string().into()).await.unwrap();
    }
    reading.await.unwrap();
}
