//! How fast is a message from a publishing task to a subscribing task of the same process? 64 bytes, two worker threads, closed loop: the
//! subscription's policy is `block`, so the publisher waits whenever the subscriber is a whole queue behind, and nothing is lost.
//!
//! `cargo bench -p myelin-benches --bench inproc`

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, Overflow, Publisher, SubscribeOptions};
use tokio::runtime::Runtime;

/// Messages of one read of a busy socket, as the bridge publishes them.
const BATCH: u64 = 64;

#[derive(Clone, Copy)]
enum How {
    /// `Bus::publish`, a walk through the router per message.
    Bus,
    /// `Publisher::publish`.
    Publisher,
    /// `Publisher::publish_batch`.
    Batch,
}

fn subject() -> Subject {
    Subject::new("bench.inproc").expect("legal subject")
}

fn body() -> Body {
    Body::from(vec![7_u8; 64])
}

async fn publish(bus: Bus, how: How, messages: u64) {
    let publisher: Publisher = bus.publisher(subject());
    let (subject, body) = (subject(), body());
    match how {
        How::Bus => {
            for _ in 0..messages {
                bus.publish(&subject, body.clone()).await.expect("admitted");
            }
        }
        How::Publisher => {
            for _ in 0..messages {
                publisher.publish(body.clone()).await.expect("admitted");
            }
        }
        How::Batch => {
            let bodies = vec![body; BATCH as usize];
            let mut left = messages;
            while left > 0 {
                let count = left.min(BATCH);
                publisher.publish_batch(&bodies[..count as usize]).settled().await;
                left -= count;
            }
        }
    }
}

/// The time until a subscriber has read `messages` of them.
async fn transfer(how: How, messages: u64) -> Duration {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let filter = Filter::from(subject());
    let options = SubscribeOptions::default().overflow(Overflow::Block);
    let mut subscription = bus.subscribe(&filter, options).await.expect("room for a subscription");
    let reading = tokio::spawn(async move {
        for _ in 0..messages {
            subscription.next().await.expect("nothing is lost");
        }
    });
    let start = Instant::now();
    tokio::spawn(publish(bus, how, messages)).await.expect("publishing does not panic");
    reading.await.expect("reading does not panic");
    start.elapsed()
}

fn to_subscription(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("inproc");
    group.throughput(Throughput::Elements(1));
    for (name, how) in [("bus_publish", How::Bus), ("publisher_publish", How::Publisher), ("publish_batch_64", How::Batch)] {
        group.bench_function(name, |bencher| bencher.iter_custom(|messages| runtime.block_on(transfer(how, messages))));
    }
    group.finish();
}

/// The way of the bridge: no queue, no task, one request and its reply inside one call.
fn inline(criterion: &mut Criterion) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let responder = bus.clone();
    let serve = move |delivery: Delivery<'_>| {
        for body in delivery.bodies {
            if let Some(reply) = delivery.reply {
                reply.respond(&responder, body.clone());
            }
        }
    };
    let _service = bus.subscribe_inline(&Filter::from(subject()), None, serve).expect("room for a subscription");
    let publisher = bus.publisher(subject());
    let body = body();
    let sink = myelin_bus::ReplySink::new(|reply| drop(std::hint::black_box(reply)));
    let mut group = criterion.benchmark_group("inproc");
    group.throughput(Throughput::Elements(1));
    group.bench_function("request_inline", |bencher| {
        bencher.iter(|| publisher.request_inline(body.clone(), myelin_bus::ReplyTo::Sink(sink.clone())).expect("a responder").receivers);
    });
    let runtime = Runtime::new().expect("a runtime");
    let subject = subject();
    group.bench_function("request", |bencher| {
        bencher.iter(|| runtime.block_on(bus.request(&subject, body.clone(), Duration::from_secs(5))).expect("a reply"));
    });
    group.finish();
}

criterion_group!(benches, to_subscription, inline);
criterion_main!(benches);
