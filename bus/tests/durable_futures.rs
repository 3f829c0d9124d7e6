//! Thousands of durable publishes and acks may be outstanding: each of them is a future that is made, moved and kept, and so a small one.

use std::time::Duration;

use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, StoreConfig, StreamConfig};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message};

/// The allocator serves more than this from its slow lists.
const BYTES_MAX: usize = 1_000;

#[tokio::test]
async fn a_publish_and_an_ack_are_small_futures() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _report) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let name = Name::new("orders").unwrap();
    bus.ensure_stream(&StreamConfig::new(name.clone(), vec![Filter::new("orders").unwrap()])).await.unwrap();
    let consumer = bus.ensure_consumer(&name, &ConsumerConfig::new(name.clone())).await.unwrap();
    let (message, options) = (Message::new(Subject::new("orders").unwrap(), "one"), PublishOptions::default());

    let publish = bus.publish_durable(&message, &options);
    assert!(size_of_val(&publish) < BYTES_MAX, "a publish is {} bytes", size_of_val(&publish));
    publish.await.unwrap();

    let job = consumer.fetch(1, Duration::from_secs(30)).await.unwrap().pop().unwrap();
    let ack = job.ack();
    assert!(size_of_val(&ack) < BYTES_MAX, "an ack is {} bytes", size_of_val(&ack));
    ack.await.unwrap();
}
