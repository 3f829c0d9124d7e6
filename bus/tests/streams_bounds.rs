//! So many workers may wait for messages at once, and the next one is told so: 16,384, each of which costs a task.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::streams::{ConsumerConfig, Name, StoreConfig, StreamConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message, ReplyTo, SubscribeOptions};
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);
const WAITING_MAX: usize = 16_384;

fn told(message: &Message) -> (String, Value) {
    let status = message.meta.as_ref().and_then(|meta| meta.header("Myelin-Status"));
    let Body::Blob(body) = &message.body else { panic!("frames") };
    let status = status.map(|status| String::from_utf8_lossy(status).into_owned()).unwrap_or_default();
    (status, serde_json::from_slice(body).unwrap_or_default())
}

#[tokio::test]
async fn one_worker_too_many_is_told_and_the_others_wait_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let name = |name: &str| Name::new(name).unwrap();
    bus.ensure_stream(&StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()])).await.unwrap();
    bus.ensure_consumer(&name("orders"), &ConsumerConfig::new(name("workers"))).await.unwrap();

    let mut inbox = bus.subscribe(&Filter::new("_INBOX.w").unwrap(), SubscribeOptions::default()).await.unwrap();
    let next = || {
        let asked = json!({ "max": 1, "wait_ms": 60_000 }).to_string();
        let mut next = Message::new(Subject::new("$MYELIN.API.CONSUMER.NEXT.orders.workers").unwrap(), asked);
        next.reply = Some(ReplyTo::Subject(Subject::new("_INBOX.w").unwrap()));
        next
    };
    for _ in 0..=WAITING_MAX {
        bus.publish_message(next()).await.unwrap();
    }
    let (status, error) = told(&timeout(PATIENCE, inbox.next()).await.expect("an answer").unwrap());
    assert_eq!((status.as_str(), &error["error"]["code"], &error["error"]["retryable"]), ("error", &json!("too_many"), &json!(true)));
    assert!(timeout(Duration::from_millis(200), inbox.next()).await.is_err(), "the others wait");

    // One gets what comes, and there is a place again.
    bus.publish_durable(&Message::new(Subject::new("orders.new").unwrap(), "a"), &Default::default()).await.unwrap();
    let job = timeout(PATIENCE, inbox.next()).await.expect("a message").unwrap();
    assert_eq!(job.body, "a".into());
    let (status, _) = told(&timeout(PATIENCE, inbox.next()).await.expect("the end").unwrap());
    assert_eq!(status, "end");
    bus.publish_message(next()).await.unwrap();
    assert!(timeout(Duration::from_millis(500), inbox.next()).await.is_err(), "it waits too");
    assert!(server.shutdown(PATIENCE).await, "and all of them end");
}
