//! A stop is no reason to do work twice: what a worker has in hand it may settle while the sidecar drains, and gets its confirmation; what it
//! does not settle is its own after the restart as any silence is, and the stop does not wait for it longer than it was told to.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, Retention, StoreConfig, StreamConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message};

const PATIENCE: Duration = Duration::from_secs(10);

async fn open(directory: &Path) -> (Bus, StreamServer, Listener) {
    let store = StoreConfig { directory: directory.to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
    let listener = Listener::bind(bus.clone(), config).await.unwrap();
    (bus, server, listener)
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A stream `s` with as many messages, and its consumer `c`.
async fn fill(bus: &Bus, count: u64) {
    let mut config = StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()]);
    config.retention = Retention::WorkQueue;
    bus.ensure_stream(&config).await.unwrap();
    bus.ensure_consumer(&name("s"), &ConsumerConfig::new(name("c"))).await.unwrap();
    for _ in 0..count {
        let message = Message::new(Subject::new("s.a").unwrap(), "work");
        bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
    }
}

/// The confirmation was refused as any other request during a drain, and the work was done again after the restart.
#[tokio::test]
async fn what_is_in_hand_is_settled_while_the_sidecar_drains() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, server, listener) = open(directory.path()).await;
    let client = Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap();
    fill(&client, 3).await;
    let worker = client.consumer(&name("s"), &name("c")).await.unwrap();
    let mut jobs = worker.fetch(3, PATIENCE).await.unwrap();
    assert_eq!(jobs.len(), 3);

    bus.refuse();
    jobs.pop().unwrap().ack().await.unwrap();
    let stopping = tokio::spawn(async move { server.shutdown(PATIENCE).await });
    jobs.pop().unwrap().ack().await.unwrap();
    jobs.pop().unwrap().nak(None, "later").await.unwrap();
    let began = tokio::time::Instant::now();
    assert!(stopping.await.unwrap(), "clean");
    assert!(began.elapsed() < PATIENCE / 2, "it waits for nobody who has nothing");
    bus.drain(PATIENCE).await;
    listener.shutdown(PATIENCE).await;
    drop((client, bus));

    let (bus, server, listener) = open(directory.path()).await;
    let info = bus.stream_info(&name("s")).await.unwrap();
    assert_eq!((info.messages, info.consumers[0].acked), (1, 2));
    assert!(server.shutdown(PATIENCE).await);
    bus.drain(PATIENCE).await;
    listener.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_worker_that_never_answers_does_not_keep_a_stop_beyond_its_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, server, listener) = open(directory.path()).await;
    let client = Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap();
    fill(&client, 1).await;
    let worker = client.consumer(&name("s"), &name("c")).await.unwrap();
    let job = worker.next().await.unwrap();
    let deadline = Duration::from_secs(1);
    let began = tokio::time::Instant::now();
    assert!(server.shutdown(deadline).await, "a message in hand is no unanswered request");
    assert!(began.elapsed() <= deadline, "{:?}", began.elapsed());
    drop(job);
    bus.drain(PATIENCE).await;
    listener.shutdown(PATIENCE).await;
}
