//! Does the cost of a match grow with subscriptions that have nothing to do with it? Publishes 64 bytes to one handler beside 10, 10,000 and
//! 100,000 unrelated subscriptions, a tenth of them with wildcards.
//!
//! `cargo bench -p myelin-benches --bench router`

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, InlineSubscription};

fn handler(delivery: Delivery<'_>) {
    black_box(delivery.bodies.len());
}

fn subscribe(bus: &Bus, filter: &str) -> InlineSubscription {
    bus.subscribe_inline(&Filter::new(filter).expect("legal filter"), None, handler).expect("room for a subscription")
}

/// Neighbours in every level of the trie, wildcards that match in part, and none that matches whole.
fn unrelated(bus: &Bus, count: usize) -> Vec<InlineSubscription> {
    (0..count)
        .map(|number| match number % 10 {
            0 => subscribe(bus, &format!("zmq.*.agent-{number}")),
            1..=5 => subscribe(bus, &format!("zmq.service.agent-{number}")),
            _ => subscribe(bus, &format!("fleet-{}.agent-{number}.status", number % 100)),
        })
        .collect()
}

/// Polls a future that has nothing to wait for, without the cost of a runtime around it.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("no subscriber here holds its publisher back"),
    }
}

fn publish(criterion: &mut Criterion) {
    let subject = Subject::new("zmq.service.translator").expect("legal subject");
    let body = Body::from(vec![7_u8; 64]);
    let mut group = criterion.benchmark_group("router");
    group.throughput(Throughput::Elements(1));
    for count in [10, 10_000, 100_000] {
        let bus = Bus::embedded(EmbeddedConfig::default());
        let _unrelated = unrelated(&bus, count);
        let _related = subscribe(&bus, subject.as_str());
        group.bench_function(BenchmarkId::new("publish", count), |bencher| {
            bencher.iter(|| ready(bus.publish(&subject, body.clone())));
        });
        let publisher = bus.publisher(subject.clone());
        let batch = [body.clone()];
        group.bench_function(BenchmarkId::new("publisher", count), |bencher| {
            bencher.iter(|| publisher.publish_batch(black_box(&batch)).receivers);
        });
        group.bench_function(BenchmarkId::new("subscribe_unsubscribe", count), |bencher| {
            bencher.iter(|| subscribe(&bus, "zmq.service.passing"));
        });
    }
    group.finish();
}

criterion_group!(benches, publish);
criterion_main!(benches);
