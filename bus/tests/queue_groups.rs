//! Promise: exactly one member of each queue group gets each message, the one with the least load; every plain subscriber gets all.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use myelin_bus::wire::{Body, Filter, QueueGroup, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, InlineHandler, Overflow, Pressure, SubscribeOptions, Subscription};

fn bus() -> Bus {
    Bus::embedded(EmbeddedConfig::default())
}

async fn member(bus: &Bus, filter: &str, group: &str) -> Subscription {
    let options = SubscribeOptions::default().group(QueueGroup::new(group).unwrap());
    bus.subscribe(&Filter::new(filter).unwrap(), options).await.unwrap()
}

async fn publish(bus: &Bus, count: usize) {
    let subject = Subject::new("work.a").unwrap();
    for number in 0..count {
        bus.publish(&subject, number.to_string().into()).await.unwrap();
    }
}

async fn bodies(subscription: &mut Subscription) -> Vec<Body> {
    let mut batch = Vec::new();
    if !subscription.is_empty() {
        subscription.next_batch(&mut batch).await;
    }
    batch.into_iter().map(|message| message.body).collect()
}

#[tokio::test]
async fn each_message_reaches_one_member_of_each_group_and_every_plain_subscriber() {
    let bus = bus();
    // One group, whatever the filters of its members are.
    let mut group = [member(&bus, "work.*", "g").await, member(&bus, "work.a", "g").await, member(&bus, ">", "g").await];
    let mut other = member(&bus, "work.>", "h").await;
    let mut plain = bus.subscribe(&Filter::new("work.a").unwrap(), SubscribeOptions::default()).await.unwrap();
    publish(&bus, 300).await;

    let mut seen = BTreeSet::new();
    let mut sum = 0;
    for member in &mut group {
        let received = bodies(member).await;
        assert_eq!(received.len(), 100, "equal loads are served in turn");
        sum += received.len();
        seen.extend(received.iter().map(|body| format!("{body:?}")));
    }
    assert_eq!((sum, seen.len()), (300, 300));
    assert_eq!(bodies(&mut other).await.len(), 300);
    assert_eq!(bodies(&mut plain).await.len(), 300);
}

#[tokio::test]
async fn the_member_that_has_the_least_waiting_is_next() {
    let bus = bus();
    let mut idle = member(&bus, "work.a", "g").await;
    let mut busy = member(&bus, "work.a", "g").await;
    publish(&bus, 20).await;
    assert_eq!((idle.len(), busy.len()), (10, 10));
    assert_eq!(bodies(&mut idle).await.len(), 10);
    publish(&bus, 10).await;
    assert_eq!((idle.len(), busy.len()), (10, 10), "the idle one got them all");
    assert_eq!(bodies(&mut busy).await.len(), 10);
}

#[tokio::test]
async fn a_member_that_leaves_is_replaced_at_once() {
    let bus = bus();
    let mut members = vec![member(&bus, "work.a", "g").await, member(&bus, "work.a", "g").await];
    publish(&bus, 2).await;
    drop(members.pop());
    publish(&bus, 9).await;
    assert_eq!(bodies(&mut members[0]).await.len(), 10);
    drop(members);
    assert_eq!(bus.publisher(Subject::new("work.a").unwrap()).publish_batch(&[Body::default()]).receivers, 0);
}

#[tokio::test]
async fn a_member_that_was_disconnected_is_passed_over() {
    let bus = bus();
    let narrow = SubscribeOptions::default().overflow(Overflow::Disconnect).messages_max(1).group(QueueGroup::new("g").unwrap());
    let full = bus.subscribe(&Filter::new("work.a").unwrap(), narrow.clone()).await.unwrap();
    publish(&bus, 2).await;
    assert!(full.end().is_some());
    let subject = Subject::new("work.a").unwrap();
    assert_eq!(bus.publisher(subject).publish_batch(&[Body::default()]).receivers, 0);
    let mut fresh = member(&bus, "work.a", "g").await;
    publish(&bus, 5).await;
    assert_eq!(bodies(&mut fresh).await.len(), 5);
}

/// A pool with a load that its test sets.
struct Pool {
    load: AtomicUsize,
    taken: AtomicUsize,
}

struct Handle(Arc<Pool>);

impl InlineHandler for Handle {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        self.0.taken.fetch_add(delivery.bodies.len(), Ordering::Relaxed);
        None
    }

    fn load(&self) -> usize {
        self.0.load.load(Ordering::Relaxed)
    }
}

#[test]
fn a_batch_is_spread_body_by_body_over_inline_members() {
    let bus = bus();
    let filter = Filter::new("work.a").unwrap();
    let pools = [3, 1, 1, usize::MAX].map(|load| Arc::new(Pool { load: load.into(), taken: 0.into() }));
    let group = QueueGroup::new("zmq").unwrap();
    let _subscriptions = pools.each_ref().map(|pool| bus.subscribe_inline(&filter, Some(group.clone()), Handle(Arc::clone(pool))).unwrap());
    let publisher = bus.publisher(Subject::new("work.a").unwrap());

    let published = publisher.publish_batch(&vec![Body::default(); 400]);
    assert_eq!(published.receivers, 1, "a group counts once");
    let taken = pools.each_ref().map(|pool| pool.taken.load(Ordering::Relaxed));
    assert_eq!(taken.iter().sum::<usize>(), 400);
    assert_eq!((taken[0], taken[3]), (0, 0), "{taken:?}");
    assert!(taken[1] > 0 && taken[2] > 0, "{taken:?}");

    for pool in &pools {
        pool.load.store(usize::MAX, Ordering::Relaxed);
    }
    assert_eq!(publisher.publish_batch(&[Body::default()]).receivers, 0, "nobody takes more");
}
