//! A worker waits for messages while its server is killed and started again: what is stored then reaches it at once, and not only when the request
//! is over that the first server took along.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, StreamConfig};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, Message};
use myelin_testkit::NatsServer;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// Half of the time for which a server is asked, so that the end of a request helps nobody.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_after_a_restart_reaches_whoever_waits() {
    let mut server = NatsServer::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    let (stream, consumer) = (Name::new("jobs").unwrap(), Name::new("workers").unwrap());
    bus.ensure_stream(&StreamConfig::new(stream.clone(), vec![Filter::new("jobs.>").unwrap()])).await.unwrap();
    let workers = bus.ensure_consumer(&stream, &ConsumerConfig::new(consumer)).await.unwrap();
    let worker = tokio::spawn(async move {
        loop {
            match workers.fetch(1, 4 * PATIENCE).await {
                Ok(jobs) => return jobs,
                // Nobody keeps the consumer just now: it asks again, as any worker would.
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    });
    until_waited_for(&server.url()).await;

    let restarting = move || {
        server.restart();
        server
    };
    let _server = spawn_blocking(restarting).await.unwrap();
    let publish = async {
        let message = Message::new(Subject::new("jobs.new").unwrap(), "one");
        let options = PublishOptions { id: Some("job-1".into()), ..PublishOptions::default() };
        while bus.publish_durable(&message, &options).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, publish).await.unwrap();
    let jobs = timeout(PATIENCE, worker).await.expect("the worker has it").unwrap();
    assert_eq!(jobs.len(), 1);
}

/// Until the server has the request of a worker.
async fn until_waited_for(url: &str) {
    let context = async_nats::jetstream::new(async_nats::connect(url).await.unwrap());
    let mut consumer: Consumer<pull::Config> = context.get_consumer_from_stream("workers", "MYELIN_jobs").await.unwrap();
    let waited_for = async {
        while consumer.info().await.unwrap().num_waiting == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waited_for).await.unwrap();
}
