//! Who asks for it knows that deliveries are counted whatever happens next: before a message becomes a dead letter for their number.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;

use myelin_store::{ConsumerConfig, Name, Publish, Store, StreamConfig};
use myelin_wire::{Filter, Subject};

/// What a process leaves that is killed now.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            fs::copy(&path, &copied).unwrap();
        }
    }
}

#[tokio::test]
async fn a_delivery_that_was_noted_is_counted_after_a_kill() {
    let (lived, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (jobs, workers) = (Name::new("jobs").unwrap(), Name::new("workers").unwrap());
    let store = Store::open(lived.path()).unwrap().store;
    let stream = store.create(StreamConfig::new(jobs.clone(), vec![Filter::new("jobs").unwrap()])).unwrap();
    stream.publish(&Publish::new(Subject::new("jobs").unwrap(), "one")).await.unwrap();
    let consumer = stream.put_consumer(&ConsumerConfig::new(workers.clone())).await.unwrap();
    assert_eq!(consumer.lease(1).await.unwrap()[0].deliveries, 1);
    consumer.noted().await.unwrap();
    copy(lived.path(), killed.path());

    let store = Store::open(killed.path()).unwrap().store;
    let consumer = store.stream(&jobs).unwrap().consumer(&workers).unwrap();
    assert_eq!(consumer.lease(1).await.unwrap()[0].deliveries, 2);
}
