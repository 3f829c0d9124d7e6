//! Streams over a NATS server: what a worker and a publisher see, end to end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, Retention, StreamConfig};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, Message};
use myelin_testkit::NatsServer;

#[tokio::test]
async fn a_message_is_stored_delivered_again_and_dead() {
    let server = NatsServer::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    let orders = Name::new("orders").unwrap();
    let mut config = StreamConfig::new(orders.clone(), vec![Filter::new("orders.>").unwrap()]);
    config.retention = Retention::WorkQueue;
    let info = bus.ensure_stream(&config).await.unwrap();
    assert_eq!(info.config, config);
    let mut workers = ConsumerConfig::new(Name::new("workers").unwrap());
    workers.deliveries_max = 2;
    workers.ack_wait = Duration::from_secs(2);
    let consumer = bus.ensure_consumer(&orders, &workers).await.unwrap();

    let message = Message::new(Subject::new("orders.new").unwrap(), "one");
    let options = PublishOptions { id: Some("a".into()), ..PublishOptions::default() };
    let first = bus.publish_durable(&message, &options).await.unwrap();
    let again = bus.publish_durable(&message, &options).await.unwrap();
    assert!(!first.is_duplicate && again.is_duplicate, "{first:?} {again:?}");
    assert_eq!(first.sequence, again.sequence);

    let job = consumer.next().await.unwrap();
    assert_eq!(job.deliveries(), 1);
    job.nak(None, "not now").await.unwrap();
    let job = consumer.next().await.unwrap();
    assert_eq!(job.deliveries(), 2);
    drop(job);
    let none = consumer.fetch(1, Duration::from_secs(1)).await.unwrap();
    assert!(none.is_empty(), "it is dead: {none:?}");
    let letters = bus.stream_info(&Name::new("DLQ").unwrap()).await.unwrap();
    assert_eq!(letters.messages, 1);

    let later = PublishOptions { delay: Some(Duration::from_secs(1)), ttl: Some(Duration::from_secs(60)), ..PublishOptions::default() };
    bus.publish_durable(&message, &later).await.unwrap();
    assert!(consumer.fetch(1, Duration::from_millis(300)).await.unwrap().is_empty(), "not due");
    let job = consumer.next().await.unwrap();
    assert_eq!(job.message().subject.as_str(), "orders.new");
    job.ack().await.unwrap();
    // The stream beside lets go of what it passed on when the server comes to it.
    let empty = async {
        while bus.stream_info(&orders).await.unwrap().messages > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), empty).await.unwrap();
}
