//! What was acknowledged is there after the store was closed and opened again: messages, positions, attempts, ids.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_store::{ConsumerConfig, Name, Outcome, Publish, Retention, Store, StreamConfig};
use myelin_wire::{Filter, Subject};

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn message(subject: &str, payload: &'static str) -> Publish {
    Publish::new(Subject::new(subject).unwrap(), payload)
}

fn config(retention: Retention) -> StreamConfig {
    let mut config = StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()]);
    config.retention = retention;
    config
}

fn open(directory: &std::path::Path) -> Store {
    let opened = Store::open(directory).unwrap();
    assert!(opened.damage.is_empty() && opened.unopened.is_empty(), "{opened:?}");
    opened.store
}

#[tokio::test]
async fn messages_positions_attempts_and_ids_survive() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let stream = store.create(config(Retention::WorkQueue)).unwrap();
    for (number, id) in ["a", "b", "c"].into_iter().enumerate() {
        let mut message = message("orders.new", "body");
        message.id = Some(id.into());
        let receipt = stream.publish(&message).await.unwrap();
        assert_eq!((receipt.sequence, receipt.is_duplicate), (number as u64 + 1, false));
    }
    let consumer = stream.put_consumer(&ConsumerConfig::new(name("workers"))).await.unwrap();
    let leased = consumer.lease(2).await.unwrap();
    assert_eq!(leased.iter().map(|it| (it.sequence, it.deliveries)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert_eq!(consumer.ack(&[1]).await.unwrap(), 1);
    assert!(consumer.fail(2, 1, Outcome::Nak, "not today", Some(0)).await.unwrap());
    store.close();
    drop((consumer, stream, store));

    let store = open(directory.path());
    let stream = store.stream(&name("orders")).unwrap();
    assert_eq!(stream.info().messages, 2);
    let mut again = message("orders.new", "body");
    again.id = Some("b".into());
    let receipt = stream.publish(&again).await.unwrap();
    assert_eq!((receipt.sequence, receipt.is_duplicate), (2, true));
    let consumer = stream.consumer(&name("workers")).unwrap();
    let leased = consumer.lease(9).await.unwrap();
    assert_eq!(leased.iter().map(|it| (it.sequence, it.deliveries)).collect::<Vec<_>>(), [(2, 2), (3, 1)]);
    assert_eq!(leased[0].attempts[0].error.as_ref(), "not today");
    assert_eq!(leased[0].message.as_ref().unwrap().payload, "body");
    assert_eq!(consumer.ack(&[2, 3]).await.unwrap(), 2);
    assert_eq!(stream.info().messages, 0);
    let receipt = stream.publish(&message("orders.new", "next")).await.unwrap();
    assert_eq!(receipt.sequence, 4);
    store.close();
}

#[tokio::test]
async fn segments_whose_messages_are_gone_are_removed_and_nothing_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut config = config(Retention::WorkQueue);
    config.dedup_window = Duration::ZERO;
    let stream = store.create(config).unwrap();
    let consumer = stream.put_consumer(&ConsumerConfig::new(name("workers"))).await.unwrap();
    let body = vec![7; 100_000];
    for round in 0..20 {
        for _ in 0..10 {
            stream.publish(&Publish::new(Subject::new("orders.new").unwrap(), body.clone())).await.unwrap();
        }
        // The very first message stays: its segment has to, the later ones need not.
        let leased = consumer.lease(100).await.unwrap();
        let done: Vec<_> = leased.iter().map(|it| it.sequence).filter(|sequence| *sequence != 1).collect();
        assert_eq!(consumer.ack(&done).await.unwrap(), done.len(), "round {round}");
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    // The first segment has 1 MiB, each next one twice as much: the one that is written now has 16.
    while stream.info().disk_bytes > 17 << 20 {
        assert!(std::time::Instant::now() < deadline, "{:?}", stream.info());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.close();
    drop((consumer, stream, store));
    let store = open(directory.path());
    let stream = store.stream(&name("orders")).unwrap();
    let info = stream.info();
    assert_eq!((info.messages, info.first_sequence, info.last_sequence), (1, 1, 200));
    store.close();
}

#[tokio::test]
async fn a_store_is_opened_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert!(Store::open(directory.path()).is_err());
    store.close();
}
