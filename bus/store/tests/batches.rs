//! Several messages in one go: stored in their order up to the first that is refused, and leased up to a number of bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use bytes::Bytes;
use myelin_store::{ConsumerConfig, Name, Publish, Retention, Store, StoreError, Stream, StreamConfig};
use myelin_wire::{Filter, Subject};

struct Bench {
    stream: Stream,
    store: Store,
    _directory: tempfile::TempDir,
}

fn bench(messages_max: u64) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap().store;
    let mut config = StreamConfig::new(Name::new("jobs").unwrap(), vec![Filter::new("jobs").unwrap()]);
    (config.retention, config.messages_max) = (Retention::WorkQueue, messages_max);
    let stream = store.create(config).unwrap();
    Bench { stream, store, _directory: directory }
}

fn messages(sizes: &[usize]) -> Vec<Publish> {
    let subject = Subject::new("jobs").unwrap();
    sizes.iter().enumerate().map(|(index, size)| Publish::new(subject.clone(), Bytes::from(vec![index as u8; *size]))).collect()
}

#[tokio::test]
async fn a_batch_is_stored_in_order_up_to_the_first_that_is_refused() {
    let bench = bench(3);
    let all = messages(&[1, 2, 3, 4, 5]);
    let (stored, refused) = bench.stream.publish_all(&all).await;
    assert_eq!((stored, refused), (3, Err(StoreError::StreamFull { messages: 3, bytes: bench.stream.info().bytes })));
    for (sequence, message) in (1..).zip(&all[..3]) {
        assert_eq!(bench.stream.get(sequence).unwrap().unwrap().payload, message.payload);
    }
    bench.stream.delete(1).await.unwrap();
    assert_eq!(bench.stream.publish_all(&all[3..4]).await, (1, Ok(())));
    bench.store.close();
}

#[tokio::test]
async fn a_batch_larger_than_what_may_wait_for_the_disk_is_stored_whole() {
    let bench = bench(1000);
    let (stored, result) = bench.stream.publish_all(&messages(&[1 << 20; 40])).await;
    assert_eq!((stored, result), (40, Ok(())));
    let sequences = bench.stream.sequences(1, 100, None);
    let order: Vec<u8> = sequences.iter().map(|sequence| bench.stream.get(*sequence).unwrap().unwrap().payload[0]).collect();
    assert_eq!(order, (0..40).collect::<Vec<u8>>());
    bench.store.close();
}

#[tokio::test]
async fn a_lease_ends_with_the_message_that_reaches_its_bytes() {
    let bench = bench(1000);
    let consumer = bench.stream.put_consumer(&ConsumerConfig::new(Name::new("pull").unwrap())).await.unwrap();
    bench.stream.publish_all(&messages(&[10_000, 10, 10, 10_000, 10])).await.1.unwrap();
    let sizes = async |bytes_max| {
        let leased = consumer.take_within(100, bytes_max).await.unwrap();
        leased.into_iter().map(|leased| leased.read().message.unwrap().payload.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1).await, [10_000], "one always");
    assert_eq!(sizes(1_000).await, [10, 10, 10_000]);
    assert_eq!(sizes(1_000).await, [10]);
    // What comes again is bounded too, and comes first.
    (1..=5).for_each(|sequence| consumer.release(sequence, 1));
    assert_eq!(sizes(10_001).await, [10_000]);
    assert_eq!(sizes(u64::MAX).await, [10, 10, 10_000, 10]);
    assert_eq!(consumer.extend_all(&[(1, 2), (2, 1), (9, 1)]).await, Ok(1), "only what is this delivery's");
    bench.store.close();
}
