//! What earlier versions wrote is opened, whole. `tests/fixtures/format<N>` is a store as the first version of format N left it.
//!
//! A format is written once and kept: `MYELIN_FIXTURE=<empty directory> cargo test -p myelin-store --test old_formats -- --ignored`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use myelin_store::{ConsumerConfig, Name, Outcome, Publish, Retention, Store, StreamConfig};
use myelin_wire::{Filter, Subject};

/// The year 2100: neither due nor over when these tests run.
const FAR_MS: u64 = 4_102_444_800_000;

/// Ids are still known when the fixture is old.
const EVER: Duration = Duration::from_hours(24 * 365 * 100);

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn message(number: u8) -> Publish {
    let mut message = Publish::new(Subject::new(&format!("orders.{}", number % 2)).unwrap(), vec![number; usize::from(number) * 10]);
    message.id = number.is_multiple_of(3).then(|| format!("id {number}").into());
    message.headers = Bytes::from(vec![b'h'; usize::from(number % 4)]);
    message
}

/// Every kind of record is in it, in two segments.
async fn write(directory: &Path) {
    let store = Store::open(directory).unwrap().store;
    let mut config = StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()]);
    (config.retention, config.dedup_window) = (Retention::WorkQueue, EVER);
    let stream = store.create(config.clone()).unwrap();
    for number in 1..=9 {
        stream.publish(&message(number)).await.unwrap();
    }
    let mut late = message(10);
    (late.due_ms, late.expires_ms) = (Some(FAR_MS), Some(FAR_MS + 1));
    stream.publish(&late).await.unwrap();
    let mut over = message(11);
    over.expires_ms = Some(1);
    stream.publish(&over).await.unwrap();
    let mut workers = ConsumerConfig::new(name("workers"));
    (workers.filter, workers.backoff) = (Some(Filter::new("orders.*").unwrap()), vec![Duration::ZERO]);
    let consumer = stream.put_consumer(&workers).await.unwrap();
    let gone = ConsumerConfig::new(name("gone"));
    assert!(stream.put_consumer(&gone).await.is_err(), "a work queue has one");
    let leased: Vec<_> = consumer.lease(4).await.unwrap().iter().map(|it| it.sequence).collect();
    assert_eq!(leased, [1, 2, 3, 4]);
    assert_eq!(consumer.ack(&[2, 4]).await.unwrap(), 2);
    assert!(consumer.fail(3, 1, Outcome::Nak, "not today", Some(0)).await.unwrap());
    assert!(stream.delete(6).await.unwrap());
    stream.publish(&Publish::new(Subject::new("orders.purged.x").unwrap(), "p")).await.unwrap();
    assert_eq!(stream.purge(Some(&Filter::new("orders.purged.>").unwrap())).await.unwrap(), 1);
    config.messages_max = 1_000;
    stream.update(config).await.unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while stream.info().expired == 0 {
        assert!(std::time::Instant::now() < deadline, "what is over goes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.close();
    drop((consumer, stream, store));
    // The second segment begins with what is known of the first.
    Store::open(directory).unwrap().store.close();
}

async fn is_whole(directory: &Path) {
    let opened = Store::open(directory).unwrap();
    assert!(opened.damage.is_empty() && opened.unopened.is_empty(), "{opened:?}");
    let stream = opened.store.stream(&name("orders")).unwrap();
    let info = stream.info();
    assert_eq!((info.messages, info.last_sequence, info.expired, info.removed), (7, 12, 1, 2));
    assert_eq!((info.config.retention, info.config.messages_max, info.config.dedup_window), (Retention::WorkQueue, 1_000, EVER));
    assert_eq!(stream.sequences(0, 99, None), [1, 3, 5, 7, 8, 9, 10]);
    for sequence in stream.sequences(0, 99, None) {
        let (stored, written) = (stream.get(sequence).unwrap().unwrap(), message(sequence as u8));
        assert_eq!((&stored.subject, &stored.payload), (&written.subject, &written.payload));
        assert_eq!((&stored.headers, &stored.id), (&written.headers, &written.id));
    }
    assert_eq!(stream.get(10).unwrap().unwrap().expires_ms, Some(FAR_MS + 1));
    for number in [3, 6, 9] {
        let again = stream.publish(&message(number)).await.unwrap();
        assert_eq!((again.sequence, again.is_duplicate), (u64::from(number), true), "an id outlives its message");
    }
    let consumer = stream.consumer(&name("workers")).unwrap();
    assert_eq!(consumer.config().unwrap().backoff, [Duration::ZERO]);
    let leased = consumer.lease(99).await.unwrap();
    let mut told: Vec<_> = leased.iter().map(|it| (it.sequence, it.deliveries)).collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 2), (3, 2), (5, 1), (7, 1), (8, 1), (9, 1)], "10 is not due");
    let attempts = &leased.iter().find(|it| it.sequence == 3).unwrap().attempts;
    assert_eq!((attempts[0].outcome, &*attempts[0].error), (Outcome::Nak, "not today"));
    assert_eq!(consumer.ack(&[1, 3, 5, 7, 8, 9]).await.unwrap(), 6);
    assert_eq!(stream.publish(&message(12)).await.unwrap().sequence, 13);
    opened.store.close();
}

#[tokio::test]
async fn format_1_is_opened_whole() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format1/streams/orders");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("streams/orders");
    fs::create_dir_all(&copy).unwrap();
    for file in fs::read_dir(fixture).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    is_whole(directory.path()).await;
}

#[tokio::test]
async fn what_this_version_writes_is_opened_whole() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path()).await;
    is_whole(directory.path()).await;
}

#[tokio::test]
#[ignore = "writes a fixture, once per format"]
async fn write_a_fixture() {
    let fixture = std::env::var_os("MYELIN_FIXTURE").expect("MYELIN_FIXTURE names a directory");
    let directory = tempfile::tempdir().unwrap();
    write(directory.path()).await;
    let (from, to) = (directory.path().join("streams/orders"), Path::new(&fixture).join("streams/orders"));
    fs::create_dir_all(&to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let mut content = fs::read(file.path()).unwrap();
        if file.path().extension().is_some_and(|extension| extension == "seg") {
            // What was allocated and never written need not be kept. Records end at multiples of eight.
            let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(8));
            content.truncate(end);
        }
        fs::write(to.join(file.file_name()), content).unwrap();
    }
}
