//! Many messages in one go: a batch is stored in its order up to the first that is refused, what is fetched is bounded in bytes, and leases are
//! settled together.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::future::{pending, ready};
use std::time::Duration;

use myelin_bus::streams::{Batch, Consumer, ConsumerConfig, Name, PublishDurableError, Retention, StoreConfig, StreamConfig};
use myelin_bus::wire::{Body, Frames, Subject};
use myelin_bus::{Bus, EmbeddedConfig};

const NO_PATIENCE: Duration = Duration::ZERO;

struct Bench {
    bus: Bus,
    stream: Name,
    consumer: Consumer,
    subject: Subject,
    _directory: tempfile::TempDir,
}

async fn bench(messages_max: u64) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let (stream, subject) = (Name::new("jobs").unwrap(), Subject::new("jobs").unwrap());
    let mut config = StreamConfig::new(stream.clone(), vec![subject.clone().into()]);
    (config.retention, config.messages_max) = (Retention::WorkQueue, messages_max);
    bus.ensure_stream(&config).await.unwrap();
    let consumer = bus.ensure_consumer(&stream, &ConsumerConfig::new(Name::new("pull").unwrap())).await.unwrap();
    Bench { bus, stream, consumer, subject, _directory: directory }
}

fn batch(bodies: &[Body]) -> Batch {
    let mut batch = Batch::default();
    bodies.iter().for_each(|body| batch.push(body).unwrap());
    batch
}

#[tokio::test]
async fn what_is_stored_leaves_the_batch_and_what_is_refused_stays_in_front() {
    let bench = bench(2).await;
    let frames = Frames::from_parts([&b"a"[..], b"", b"\x00"]).unwrap();
    let bodies = [Body::Frames(frames), Body::from("blob"), Body::from("third")];
    let mut batch = batch(&bodies);
    let (stored, refused) = bench.bus.publish_durable_batch(&bench.subject, &mut batch, NO_PATIENCE).await;
    assert!(matches!(refused, Err(PublishDurableError::StreamFull { messages: 2, .. })), "{refused:?}");
    assert_eq!((stored, batch.len()), (2, 1));
    let jobs = bench.consumer.fetch_within(10, u64::MAX, ready(())).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.body()).collect::<Vec<_>>(), [&bodies[0], &bodies[1]]);
    // Room is made while the batch waits for it.
    let waiting = bench.bus.publish_durable_batch(&bench.subject, &mut batch, Duration::from_secs(20));
    let leases: Vec<_> = jobs.into_iter().map(|job| job.into_lease()).collect();
    let (stored, acked) = tokio::join!(waiting, bench.consumer.ack_all(&leases));
    assert_eq!((stored, acked), ((1, Ok(())), Ok(2)));
    assert!(batch.is_empty() && batch.bytes() == 0);
    assert_eq!(bench.bus.stream_info(&bench.stream).await.unwrap().messages, 1);
}

#[tokio::test]
async fn a_fetch_is_bounded_in_bytes_and_ends_when_it_is_enough() {
    let bench = bench(100).await;
    let empty = bench.consumer.fetch_within(10, 1, async { tokio::time::sleep(Duration::from_millis(20)).await }).await.unwrap();
    assert!(empty.is_empty());
    let mut batch = batch(&[Body::from("x".repeat(1000)), Body::from("y"), Body::from("z".repeat(1000)), Body::from("w")]);
    assert_eq!(bench.bus.publish_durable_batch(&bench.subject, &mut batch, NO_PATIENCE).await, (4, Ok(())));
    let sizes = async |bytes_max| {
        let jobs = bench.consumer.fetch_within(10, bytes_max, pending()).await.unwrap();
        let (sizes, leases): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.body().len(), job.into_lease())).unzip();
        (sizes, leases)
    };
    assert_eq!(sizes(1).await.0, [1000], "one always");
    let (of_second, leases) = sizes(1000).await;
    assert_eq!(of_second, [1, 1000]);
    assert_eq!(bench.consumer.extend_all(&leases).await, Ok(()));
    bench.consumer.release_all(&leases);
    let (again, leases) = sizes(u64::MAX).await;
    assert_eq!(again, [1, 1000, 1], "what came back comes first");
    assert_eq!(bench.consumer.ack_all(&leases).await, Ok(3));
    assert_eq!(bench.consumer.ack_all(&leases).await, Ok(0), "settled before");
}
