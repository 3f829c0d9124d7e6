//! A worker that keeps up is given its messages without a read of the disk, and one that does not gets the same ones with a read.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_store::{ConsumerConfig, Leased, Name, Publish, Store, StreamConfig};
use myelin_wire::{Filter, Subject};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[tokio::test]
async fn the_latest_messages_need_no_read_and_are_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap().store;
    let stream = store.create(StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()])).unwrap();
    let consumer = stream.put_consumer(&ConsumerConfig::new(name("c"))).await.unwrap();
    // Of the 4 MiB that follow, the last one or two are in memory.
    for number in 0..64_u8 {
        let mut message = Publish::new(Subject::new("s.a").unwrap(), vec![number; 64 << 10]);
        (message.id, message.headers) = (Some(format!("id-{number}").into()), vec![number, 1].into());
        (message.payload, message.expires_ms) = (message.payload.slice(2..), Some(u64::MAX / 2));
        stream.publish(&message).await.unwrap();
    }
    let large = stream.publish(&Publish::new(Subject::new("s.b").unwrap(), vec![7; 1 << 20])).await.unwrap().sequence;
    let leased = consumer.take(100).await.unwrap();
    assert_eq!(leased.len(), 65);
    let here: Vec<bool> = leased.iter().map(Leased::is_here).collect();
    assert!(here[63] && here[50] && !here[0], "{here:?}");
    assert!(!here[64], "what is large is read");
    let from_memory = leased.into_iter().map(|leased| leased.read().message.unwrap()).collect::<Vec<_>>();
    drop((stream, consumer));
    store.close();
    drop(store);

    let store = Store::open(directory.path()).unwrap().store;
    let stream = store.stream(&name("s")).unwrap();
    for message in from_memory {
        let found = stream.find(message.sequence).unwrap();
        assert!(!found.is_here(), "a start begins with an empty memory");
        assert_eq!(found.read().unwrap().unwrap(), message, "{}", message.sequence);
    }
    assert_eq!(large, 65);
    store.close();
}

#[tokio::test]
async fn what_left_the_stream_is_not_found_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap().store;
    let stream = store.create(StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()])).unwrap();
    stream.put_consumer(&ConsumerConfig::new(name("c"))).await.unwrap();
    let sequence = stream.publish(&Publish::new(Subject::new("s.a").unwrap(), "a")).await.unwrap().sequence;
    assert!(stream.find(sequence).unwrap().is_here());
    assert!(stream.delete(sequence).await.unwrap());
    assert!(stream.find(sequence).is_none());
    store.close();
}
