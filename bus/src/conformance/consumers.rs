//! "**consumers**: durable pull consumers with `max_in_flight`; at-least-once; order per subject kept while nothing is redelivered."

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::fixture::{Fixture, text, within};
use super::orders::{job, jobs, rests, sequences, work};
use super::{PATIENCE, QUIET};
use crate::streams::{ConsumeError, ConsumerConfig, PublishOptions, Retention, StreamError};

/// "Durable": its position is the stream's business, not the worker's.
pub async fn a_consumer_goes_on_where_it_was(on: &Fixture) {
    on.orders(|_| {}).await;
    for body in ["a", "b", "c"] {
        on.store("orders.new", body).await;
    }
    let first = on.workers(|_| {}).await;
    assert_eq!(work(&first).await, "a", "the oldest is first");
    drop(first);
    let second = on.workers_elsewhere(on.second()).await;
    assert_eq!(work(&second).await, "b");
    let third = on.workers(|_| {}).await;
    assert_eq!(work(&third).await, "c");
    rests(&second).await;
}

/// Each consumer has a position of its own.
pub async fn consumers_of_one_stream_do_not_meet(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let (one, two) = (on.workers(|_| {}).await, on.workers_of("second", |_| {}).await);
    assert_eq!([work(&one).await, work(&two).await], ["a", "a"]);
    on.store("orders.new", "b").await;
    assert_eq!([work(&one).await, work(&two).await], ["b", "b"]);
}

/// "`max_in_flight`": no more are out than that, over all workers; one that is settled makes room.
pub async fn no_more_are_in_flight_than_allowed(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 0..6 {
        on.store("orders.new", number.to_string()).await;
    }
    let worker = on.workers(|config| config.in_flight_max = 3).await;
    let elsewhere = on.workers_elsewhere(on.second()).await;
    let mut out = jobs(&worker, 2).await;
    out.extend(jobs(&elsewhere, 1).await);
    rests(&worker).await;
    rests(&elsewhere).await;
    assert_eq!(on.workers_info().await.in_flight, 3);
    out.remove(1).ack().await.unwrap();
    let next = job(&elsewhere).await;
    assert_eq!(next.sequence(), 4);
    rests(&worker).await;
    drop((out, next));
}

/// A consumer gets what its filter matches, and counts nothing else as waiting.
pub async fn a_filter_chooses(on: &Fixture) {
    on.orders(|_| {}).await;
    for subject in ["orders.a.1", "orders.b.1", "orders.a.2", "orders.b.2"] {
        on.store(subject, subject.to_owned()).await;
    }
    let worker = on.workers(|config| config.filter = Some(on.filter("orders.b.*"))).await;
    assert_eq!(on.workers_info().await.waiting, 2);
    assert_eq!([work(&worker).await, work(&worker).await], ["orders.b.1", "orders.b.2"]);
    rests(&worker).await;
    assert_eq!(on.workers_info().await.waiting, 0);
}

/// "Order per subject kept while nothing is redelivered."
pub async fn order_per_subject_is_kept(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 0..60 {
        on.store(&format!("orders.{}", number % 3), number.to_string()).await;
    }
    let worker = on.workers(|_| {}).await;
    let mut last = [None; 3];
    for job in jobs(&worker, 60).await {
        let number: usize = text(job.body()).parse().unwrap();
        assert!(last[number % 3] < Some(number), "{number} came after {last:?}");
        last[number % 3] = Some(number);
        job.ack().await.unwrap();
    }
}

/// "Several workers on one consumer": each message goes to one of them.
pub async fn each_message_goes_to_one_worker(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    let here = on.workers(|_| {}).await;
    let elsewhere = on.workers_elsewhere(on.second()).await;
    let mut working = JoinSet::new();
    for worker in [here.clone(), here, elsewhere.clone(), elsewhere] {
        working.spawn(async move {
            let mut got = Vec::new();
            loop {
                let jobs = worker.fetch(3, Duration::from_secs(2)).await.unwrap();
                if jobs.is_empty() {
                    return got;
                }
                for job in jobs {
                    assert_eq!(job.deliveries(), 1);
                    got.push(job.sequence());
                    job.ack().await.unwrap();
                }
            }
        });
    }
    for _ in 0..100 {
        on.store("orders.new", "x").await;
    }
    let got = within("the workers rest", working.join_all()).await;
    let all: BTreeSet<_> = got.iter().flatten().copied().collect();
    assert_eq!((got.iter().map(Vec::len).sum::<usize>(), all), (100, (1..=100).collect()));
    assert_eq!(on.info().await.messages, 0);
}

/// "Pull": a worker that asks waits, and gets a message as soon as there is one.
pub async fn a_worker_waits_for_the_next_message(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|_| {}).await;
    let mut next = Box::pin(worker.next());
    assert!(timeout(QUIET, &mut next).await.is_err(), "there is nothing");
    on.store("orders.new", "a").await;
    let started = Instant::now();
    let job = within("the message", next).await.unwrap();
    assert_eq!(text(job.body()), "a");
    assert!(started.elapsed() < PATIENCE / 2);
}

/// A fetch takes what is there, at most what was asked for, and waits only when there is nothing.
pub async fn a_fetch_takes_what_is_there(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|_| {}).await;
    let started = Instant::now();
    assert!(worker.fetch(5, QUIET).await.unwrap().is_empty());
    assert!(started.elapsed() >= QUIET);
    for body in ["a", "b", "c"] {
        on.store("orders.new", body).await;
    }
    let two = worker.fetch(2, PATIENCE).await.unwrap();
    assert!((1..=2).contains(&two.len()), "{two:?}");
    let rest = within("no waiting", worker.fetch(5, 10 * PATIENCE)).await.unwrap();
    assert!(!rest.is_empty());
    let mut got = [sequences(&two), sequences(&rest)].concat();
    drop((two, rest));
    got.dedup();
    assert!(got.is_sorted() && got.len() <= 3, "{got:?}");
}

/// "Consumer lag and oldest-pending age".
pub async fn lag_and_age_are_told(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|_| {}).await;
    let info = worker.info().await.unwrap();
    assert_eq!((info.waiting, info.in_flight, info.oldest_pending, info.oldest_ms), (0, 0, None, None));
    for _ in 0..5 {
        on.store("orders.new", "x").await;
    }
    let first_ms = on.info().await.first_ms;
    let info = worker.info().await.unwrap();
    assert_eq!((info.waiting, info.in_flight, info.oldest_ms), (5, 0, first_ms));
    let mut out = jobs(&worker, 2).await;
    let info = worker.info().await.unwrap();
    assert_eq!((info.waiting, info.in_flight, info.oldest_pending, info.oldest_ms), (3, 2, Some(1), first_ms));
    out.remove(0).ack().await.unwrap();
    let info = worker.info().await.unwrap();
    assert_eq!((info.waiting, info.in_flight, info.oldest_pending), (3, 1, Some(2)));
    assert!(info.oldest_ms >= first_ms, "{info:?}");
}

/// "A work queue has one consumer per non-overlapping filter": each message has one.
pub async fn a_work_queue_has_one_consumer_per_subject(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    let a = on.workers(|config| config.filter = Some(on.filter("orders.a.>"))).await;
    let b = on.workers_of("b", |config| config.filter = Some(on.filter("orders.b"))).await;
    for filter in [None, Some("orders.a.1"), Some("orders.*"), Some("orders.>")] {
        let mut config = ConsumerConfig::new(on.name("third"));
        config.filter = filter.map(|filter| on.filter(filter));
        let refused = on.bus().ensure_consumer(&on.name("orders"), &config).await;
        assert!(matches!(refused, Err(StreamError::Overlap { .. })), "{filter:?}: {refused:?}");
    }
    on.store("orders.a.1", "to a").await;
    on.store("orders.b", "to b").await;
    assert_eq!([work(&a).await, work(&b).await], ["to a", "to b"]);
    assert_eq!(on.info().await.messages, 0);
}

/// "`ensure_consumer`": another configuration of the same name changes it, and its position stays.
pub async fn a_consumer_is_changed_and_stays_where_it_is(on: &Fixture) {
    on.orders(|_| {}).await;
    for body in ["a", "b", "c"] {
        on.store("orders.new", body).await;
    }
    let worker = on.workers(|config| config.in_flight_max = 1).await;
    assert_eq!(work(&worker).await, "a");
    let b = job(&worker).await;
    rests(&worker).await;
    let worker = on.workers(|config| config.in_flight_max = 2).await;
    assert_eq!(on.workers_info().await.config.in_flight_max, 2);
    assert_eq!(work(&worker).await, "c");
    b.ack().await.unwrap();
}

/// "Typed errors": settings with which no worker could work.
pub async fn settings_that_make_no_sense_are_refused(on: &Fixture) {
    on.orders(|_| {}).await;
    for wrong in ["deliveries_max", "in_flight_max", "ack_wait"] {
        let mut config = ConsumerConfig::new(on.name("workers"));
        match wrong {
            "deliveries_max" => config.deliveries_max = 0,
            "in_flight_max" => config.in_flight_max = 0,
            _ => config.ack_wait = Duration::ZERO,
        }
        let refused = on.bus().ensure_consumer(&on.name("orders"), &config).await;
        assert!(matches!(&refused, Err(StreamError::Invalid { field, .. }) if *field == wrong), "{wrong}: {refused:?}");
    }
    assert!(on.info().await.consumers.is_empty());
}

/// What is not there is named: the stream, or the consumer.
pub async fn a_missing_consumer_is_named(on: &Fixture) {
    on.orders(|_| {}).await;
    let (stream, consumer) = (on.name("orders"), on.name("workers"));
    let missing = on.bus().consumer(&stream, &consumer).await.unwrap_err();
    assert_eq!(missing, StreamError::NoConsumer { stream: stream.clone(), consumer: consumer.clone() });
    let nowhere = on.bus().consumer(&on.name("missing"), &consumer).await.unwrap_err();
    assert_eq!(nowhere, StreamError::NoStream { stream: on.name("missing") });
    assert!(!on.bus().delete_consumer(&stream, &consumer).await.unwrap());
}

/// A consumer that is deleted has no position any more; its workers are told, and those that wait do not wait for ever.
pub async fn a_deleted_consumer_is_gone(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|_| {}).await;
    assert_eq!(work(&worker).await, "a");
    assert!(on.second().delete_consumer(&on.name("orders"), &on.name("workers")).await.unwrap());
    let gone = StreamError::NoConsumer { stream: on.name("orders"), consumer: on.name("workers") };
    assert_eq!(worker.fetch(1, QUIET).await.unwrap_err(), ConsumeError::Stream(gone.clone()));
    assert_eq!(worker.info().await.unwrap_err(), gone);
    let anew = on.workers(|_| {}).await;
    assert_eq!(work(&anew).await, "a", "it begins with the oldest");
}

/// A worker that waits when its consumer is deleted is told.
pub async fn a_waiting_worker_is_told_that_its_consumer_is_gone(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|_| {}).await;
    let mut waiting = Box::pin(worker.next());
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "there is nothing");
    assert!(on.second().delete_consumer(&on.name("orders"), &on.name("workers")).await.unwrap());
    let told = within("the worker is told", waiting).await;
    assert!(matches!(told, Err(ConsumeError::Stream(StreamError::NoConsumer { .. }))), "{told:?}");
}

/// A worker that waits when its stream is deleted is told.
pub async fn a_waiting_worker_is_told_that_its_stream_is_gone(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|_| {}).await;
    let mut waiting = Box::pin(worker.next());
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "there is nothing");
    assert!(on.second().delete_stream(&on.name("orders")).await.unwrap());
    let told = within("the worker is told", waiting).await;
    assert!(matches!(told, Err(ConsumeError::Stream(_))), "{told:?}");
    let told = worker.fetch(1, QUIET).await;
    assert_eq!(told.unwrap_err(), ConsumeError::Stream(StreamError::NoStream { stream: on.name("orders") }));
}

/// "A message that was taken and not returned comes again": a worker that stops waiting loses nothing.
pub async fn a_worker_that_stops_waiting_loses_nothing(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    let worker = on.workers(|config| config.deliveries_max = 1_000).await;
    let publish = async {
        for number in 0..60 {
            on.store_with("orders.new", number.to_string(), &PublishOptions::default()).await.unwrap();
        }
    };
    let stop_and_go = async {
        let mut got = BTreeSet::new();
        for patience in (1..=15).cycle() {
            if let Ok(job) = timeout(Duration::from_millis(patience), worker.next()).await {
                let job = job.unwrap();
                got.insert(job.sequence());
                job.ack().await.unwrap();
            }
            if got.len() == 60 {
                break;
            }
        }
    };
    let ((), ()) = tokio::join!(publish, stop_and_go);
    assert_eq!(on.info().await.messages, 0);
}
