//! A NATS server that is killed and comes back. While it is away, messages wait up to a bound and are refused beyond it, with a typed error; when
//! it is back they are sent in their order, to subscriptions that are restored. What was acknowledged is delivered.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, Retention, StreamConfig};
use myelin_bus::wire::{Body, Filter, Subject, limits};
use myelin_bus::{Bus, Message, PublishError, SubscribeOptions};
use myelin_testkit::NatsServer;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
/// As much as a message of this test has.
const LARGE: usize = 64 << 10;
/// So many of them are the bound.
const FITTING: usize = limits::QUEUE_BYTES_MAX / LARGE;
const PUBLISHERS: usize = 16;
const EACH: usize = 100;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let held = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, held).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

async fn restarted(mut server: NatsServer) -> NatsServer {
    let restarting = move || {
        server.restart();
        server
    };
    spawn_blocking(restarting).await.unwrap()
}

fn number_of(body: &Body) -> usize {
    let Body::Blob(blob) = body else { panic!("a blob was sent") };
    usize::from_be_bytes(blob[..8].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_messages_wait_up_to_a_bound_and_go_in_order_when_it_is_back() {
    let mut server = NatsServer::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    let subject = Subject::new("away").unwrap();
    let options = SubscribeOptions { bytes_max: 4 * limits::QUEUE_BYTES_MAX, ..SubscribeOptions::default() };
    let mut heard = bus.subscribe(&Filter::new("away").unwrap(), options).await.unwrap();
    server.process().kill9();
    server.process().wait_end(PATIENCE);
    until("the loss of the server is noticed", || !bus.is_connected()).await;

    // All at once: each is told after a while that it waits, or that it was refused.
    let publishing = join_all((0..2 * FITTING).map(|number| {
        let mut body = vec![0; LARGE];
        body[..8].copy_from_slice(&usize::to_be_bytes(number));
        bus.publish(&subject, body.into())
    }));
    let told = timeout(PATIENCE, publishing).await.expect("nobody waits for ever");
    let waiting = told.iter().position(Result::is_err).expect("something bounds what waits");
    assert_eq!(waiting, FITTING);
    for refused in told.into_iter().skip(waiting) {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, PublishError::Disconnected { .. }) && refused.is_retryable(), "{refused}");
    }

    let server = restarted(server).await;
    for number in 0..waiting {
        let message = timeout(PATIENCE, heard.next()).await.expect("what waited is sent").unwrap();
        assert_eq!(number_of(&message.body), number);
    }
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_delivered_although_the_server_is_killed_under_load() {
    let mut server = NatsServer::start();
    let bus = Bus::connect(&server.url()).await.unwrap();
    let name = Name::new("orders").unwrap();
    let mut config = StreamConfig::new(name.clone(), vec![Filter::new("orders.>").unwrap()]);
    config.retention = Retention::WorkQueue;
    bus.ensure_stream(&config).await.unwrap();
    let mut workers = ConsumerConfig::new(Name::new("workers").unwrap());
    // A worker that loses the server's answer to its ack may get the message once more.
    (workers.ack_wait, workers.deliveries_max) = (Duration::from_secs(2), 100);
    let worker = bus.ensure_consumer(&name, &workers).await.unwrap();
    let mut plain = bus.subscribe(&Filter::new("plain").unwrap(), SubscribeOptions::default()).await.unwrap();

    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut publishing = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (bus, acknowledged) = (bus.clone(), Arc::clone(&acknowledged));
        publishing.spawn(async move {
            for at in 0..EACH {
                let number = publisher * EACH + at;
                let message = Message::new(Subject::new("orders.new").unwrap(), number.to_be_bytes().to_vec());
                let options = PublishOptions { id: Some(number.to_string().into()), ..PublishOptions::default() };
                // With an id, publishing again is safe.
                while let Err(error) = bus.publish_durable(&message, &options).await {
                    assert!(error.is_retryable(), "{error}");
                }
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let (done, mut numbers) = mpsc::channel(PUBLISHERS * EACH * 2);
    let working = tokio::spawn(async move {
        loop {
            match worker.fetch(32, Duration::from_secs(1)).await {
                // At once: the server answers none of the acks of what it has forgotten to have delivered.
                Ok(jobs) => {
                    _ = join_all(jobs.into_iter().map(async |job| {
                        done.send(number_of(job.body())).await.unwrap();
                        // The server may have heard an ack whose answer was lost with it: then the message does not come again.
                        if let Err(error) = job.ack().await {
                            assert!(error.is_retryable(), "{error}");
                        }
                    }))
                    .await
                }
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    });
    for kills in 1..=2 {
        until("some are acknowledged", || acknowledged.load(Ordering::SeqCst) >= kills * PUBLISHERS * EACH / 3).await;
        server = restarted(server).await;
    }
    publishing.join_all().await;
    let mut delivered = BTreeSet::new();
    let all = async {
        while delivered.len() < PUBLISHERS * EACH {
            delivered.insert(numbers.recv().await.unwrap());
        }
    };
    assert!(timeout(PATIENCE, all).await.is_ok(), "{} of {} are delivered", delivered.len(), PUBLISHERS * EACH);
    working.abort();
    // In order with what was subscribed before, which is restored.
    bus.publish(&Subject::new("plain").unwrap(), "heard".into()).await.unwrap();
    assert_eq!(timeout(PATIENCE, plain.next()).await.expect("the subscription is restored").unwrap().body, "heard".into());
    drop(server);
}
