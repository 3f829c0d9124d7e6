//! A full disk refuses messages and nothing that frees space, and takes messages again when there is some; a broken one ends the stream.

use std::time::Duration;

use myelin_wire::{Filter, Subject};

use crate::config::{ConsumerConfig, Name, Retention, StreamConfig};
use crate::disk::Disk;
use crate::disk::faulty::Faulty;
use crate::error::StoreError;
use crate::handle::{Publish, Stream};
use crate::log::SEGMENT_BYTES_MIN;
use crate::reserve::FILES;
use crate::store::Store;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn message() -> Publish {
    Publish::new(Subject::new("s.a").unwrap(), vec![7; 700])
}

fn open(disk: &Faulty) -> Store {
    let opened = Store::open_disk(Disk::Faulty(disk.clone()), None).unwrap();
    assert!(opened.damage.is_empty() && opened.unopened.is_empty(), "{opened:?}");
    opened.store
}

fn create(store: &Store) -> Stream {
    let mut config = StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()]);
    (config.retention, config.dedup_window) = (Retention::WorkQueue, Duration::ZERO);
    store.create(config).unwrap()
}

fn reserve_bytes(disk: &Faulty) -> u64 {
    disk.files().iter().filter(|(name, _)| name.starts_with("reserve/")).map(|(_, bytes)| *bytes as u64).sum()
}

/// Publishes until there is no space; tells how many there are then.
async fn fill(stream: &Stream) -> u64 {
    loop {
        match stream.publish(&message()).await {
            Ok(receipt) => assert!(receipt.sequence < 10_000),
            Err(StoreError::StorageFull) => return stream.info().messages,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_full_disk_takes_acks_and_deletes_and_messages_again_when_there_is_space() {
    let disk = Faulty::default();
    let store = open(&disk);
    let stream = create(&store);
    let consumer = stream.put_consumer(&ConsumerConfig::new(name("c"))).await.unwrap();
    disk.set_capacity(Some(disk.used() + 10 * SEGMENT_BYTES_MIN));
    let count = fill(&stream).await;
    assert!(count > 20, "{count}");
    assert!(stream.info().is_disk_full);

    // Acks and deletes work one by one, more of them than the last segment has room for, and are durable.
    let mut acked = 0;
    while acked < count - 5 {
        let leased = consumer.lease(1).await.unwrap();
        acked += consumer.ack(&[leased[0].sequence]).await.unwrap() as u64;
    }
    assert!(stream.delete(count).await.unwrap());

    // Space is there again: what was freed fills the reserve first, then there is a segment for messages.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let sequence = loop {
        match stream.publish(&message()).await {
            Ok(receipt) => break receipt.sequence,
            Err(StoreError::StorageFull) => assert!(std::time::Instant::now() < deadline, "space never comes back: {:?}", disk.files()),
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(sequence > count);
    assert_eq!(reserve_bytes(&disk), FILES as u64 * SEGMENT_BYTES_MIN, "the reserve comes first");

    disk.power_cycle(&mut fastrand::Rng::with_seed(1));
    drop((stream, consumer));
    let store_again = open(&disk);
    let stream = store_again.stream(&name("s")).unwrap();
    let info = stream.info();
    assert_eq!((info.messages, info.last_sequence), (5, sequence));
    store_again.close();
    store.close();
}

#[tokio::test]
async fn a_disk_that_grows_takes_messages_again() {
    let disk = Faulty::default();
    let store = open(&disk);
    let stream = create(&store);
    disk.set_capacity(Some(disk.used() + 4 * SEGMENT_BYTES_MIN));
    let count = fill(&stream).await;
    disk.set_capacity(None);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while stream.publish(&message()).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "space is not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stream.info().messages, count + 1);
    store.close();
}

#[tokio::test]
async fn a_broken_sync_ends_the_stream_and_acknowledges_nothing() {
    let disk = Faulty::default();
    let store = open(&disk);
    let stream = create(&store);
    stream.publish(&message()).await.unwrap();
    disk.break_syncs();
    for _ in 0..3 {
        let error = stream.publish(&message()).await.unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }) && error.may_have_happened(), "{error:?}");
    }
    assert!(matches!(stream.delete(1).await, Err(StoreError::Broken { .. })));
    store.close();
    disk.power_cycle(&mut fastrand::Rng::with_seed(2));
    let store = open(&disk);
    let stream = store.stream(&name("s")).unwrap();
    assert!(stream.get(1).unwrap().is_some(), "what was acknowledged is there");
    stream.publish(&message()).await.unwrap();
    store.close();
}

#[tokio::test]
async fn a_stream_that_was_being_deleted_does_not_come_back() {
    for after in 0..12 {
        let disk = Faulty::default();
        let store = open(&disk);
        let stream = create(&store);
        stream.publish(&message()).await.unwrap();
        drop(stream);
        store.stream(&name("s")).unwrap().publish(&message()).await.unwrap();
        disk.fail_after(after);
        let deleted = store.delete(&name("s"));
        disk.power_cycle(&mut fastrand::Rng::with_seed(after));
        let store = open(&disk);
        assert!(deleted.is_err() || store.streams().is_empty(), "{after}");
        if let Some(stream) = store.stream(&name("s")) {
            assert_eq!(stream.info().messages, 2, "all of it or nothing");
        } else {
            create(&store);
        }
        store.close();
    }
}
