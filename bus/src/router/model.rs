//! The trie against the slow clear version: a list of filters, each asked by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::{Interest, Place, Receiver, RouteCache, Router};
use crate::Delivery;
use crate::message::Offer;
use crate::wire::{Body, Filter, QueueGroup, Subject};

#[derive(Debug, Clone)]
enum Step {
    Subscribe {
        filter: String,
        group: Option<&'static str>,
    },
    /// Unsubscribes the live subscription at this index, modulo their number.
    Unsubscribe {
        index: usize,
    },
    Publish {
        subject: String,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let token = || prop::sample::select(vec!["a", "b", "cc"]);
    let subject = prop::collection::vec(token(), 1..5).prop_map(|tokens| tokens.join("."));
    let pattern = prop::sample::select(vec!["a", "b", "cc", "*", "*"]);
    let filter = (prop::collection::vec(pattern, 0..4), prop::sample::select(vec!["", "a", ">"]))
        .prop_map(|(mut tokens, last)| {
            tokens.extend((!last.is_empty()).then_some(last));
            tokens.join(".")
        })
        .prop_filter("a filter has a token", |filter| !filter.is_empty());
    let group = prop::option::of(prop::sample::select(vec!["g", "h"]));
    prop_oneof![
        3 => (filter, group).prop_map(|(filter, group)| Step::Subscribe { filter, group }),
        2 => any::<usize>().prop_map(|index| Step::Unsubscribe { index }),
        4 => subject.prop_map(|subject| Step::Publish { subject }),
    ]
}

struct Subscriber {
    interest: Interest,
    place: Place,
    received: Arc<AtomicUsize>,
}

fn subscribe(router: &Router, filter: &str, group: Option<&str>) -> Subscriber {
    let interest = Interest { filter: Filter::new(filter).unwrap(), group: group.map(|name| QueueGroup::new(name).unwrap()) };
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    let handler = move |delivery: Delivery<'_>| {
        counter.fetch_add(delivery.bodies.len(), Ordering::Relaxed);
    };
    let place = router.insert(interest.clone(), Receiver::Handler(Arc::new(handler))).unwrap();
    Subscriber { interest, place, received }
}

/// How many of a batch of two each subscriber got: plain ones all of it, groups together once.
fn check(subscribers: &[Subscriber], subject: &Subject, receivers: usize) -> Result<(), TestCaseError> {
    let mut groups = BTreeMap::<&str, usize>::new();
    let mut expected = BTreeSet::new();
    for (index, subscriber) in subscribers.iter().enumerate() {
        let matches = subscriber.interest.filter.matches(subject);
        let received = subscriber.received.swap(0, Ordering::Relaxed);
        match &subscriber.interest.group {
            Some(group) if matches => *groups.entry(group.as_str()).or_default() += received,
            None if matches => {
                prop_assert_eq!(received, 2, "{:?}", &subscriber.interest);
                expected.insert(index);
            }
            Some(_) | None => prop_assert_eq!(received, 0, "{:?}", &subscriber.interest),
        }
    }
    prop_assert!(groups.values().all(|received| *received == 2), "{:?}", groups);
    prop_assert_eq!(receivers, expected.len() + groups.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn router_agrees_with_the_list_of_filters(steps in prop::collection::vec(step(), 1..60)) {
        let router = Router::new(1_000);
        let mut subscribers = Vec::<Subscriber>::new();
        let mut caches = BTreeMap::<String, RouteCache>::new();
        let bodies = [Body::from("one"), Body::from("two")];
        for step in steps {
            match step {
                Step::Subscribe { filter, group } => subscribers.push(subscribe(&router, &filter, group)),
                Step::Unsubscribe { index } if !subscribers.is_empty() => {
                    let gone = subscribers.swap_remove(index % subscribers.len());
                    router.remove(&gone.place);
                    router.remove(&gone.place);
                }
                Step::Unsubscribe { .. } => {}
                Step::Publish { subject: name } => {
                    let subject = Subject::new(&name).unwrap();
                    let delivery = Delivery { subject: &subject, reply: None, meta: None, bodies: &bodies };
                    let published = router.matches(&subject).deliver(delivery);
                    check(&subscribers, &subject, published.receivers)?;
                    let cached = router.matches_cached(caches.entry(name).or_default(), &subject);
                    check(&subscribers, &subject, cached.deliver(delivery).receivers)?;
                    // One by one, given away.
                    let receivers = bodies.clone().map(|body| cached.offer(Offer::new(&subject, body)).receivers);
                    prop_assert_eq!(receivers[0], receivers[1]);
                    check(&subscribers, &subject, receivers[0])?;
                }
            }
            prop_assert_eq!(router.len(), subscribers.len());
        }
        for subscriber in &subscribers {
            router.remove(&subscriber.place);
        }
        prop_assert!(router.is_pruned(), "nothing is left behind");
    }
}

#[test]
fn a_list_that_was_made_before_passes_over_who_has_left() {
    let router = Router::new(10);
    let subject = Subject::new("a").unwrap();
    let members: Vec<_> = (0..3).map(|_| subscribe(&router, "a", Some("g"))).collect();
    let matched = router.matches(&subject);
    router.remove(&members[0].place);
    router.remove(&members[1].place);
    let bodies = vec![Body::default(); 10];
    let published = matched.deliver(Delivery { subject: &subject, reply: None, meta: None, bodies: &bodies });
    assert_eq!(published.receivers, 1);
    assert_eq!(members[2].received.load(Ordering::Relaxed), 10);
    router.clear();
    let published = matched.deliver(Delivery { subject: &subject, reply: None, meta: None, bodies: &bodies });
    assert_eq!(published.receivers, 0);
}

#[test]
fn a_handler_is_let_go_however_long_a_publisher_stays_silent() {
    let router = Router::new(10);
    let subject = Subject::new("a").unwrap();
    let witness = Arc::new(());
    let held = Arc::clone(&witness);
    let interest = Interest { filter: Filter::new("a").unwrap(), group: None };
    let place = router.insert(interest, Receiver::Handler(Arc::new(move |_: Delivery<'_>| drop(Arc::clone(&held))))).unwrap();
    let caches = [RouteCache::default(), RouteCache::default()];
    let lists = caches.each_ref().map(|cache| router.matches_cached(cache, &subject));
    assert!(Arc::ptr_eq(&lists[0], &lists[1]), "publishers of one subject share a list");
    assert!(Arc::ptr_eq(&lists[0], &router.matches_cached(&caches[0], &subject)));
    drop(lists);
    router.remove(&place);
    drop(place);
    assert_eq!(Arc::strong_count(&witness), 1);
}
