//! Streams by request: what another process can ask of a bus that has a store, over the NATS listener, and what becomes of messages whose
//! worker is gone.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{StoreConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message, Meta, ReplyTo, SubscribeOptions, Subscription};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

/// A bus with a store, and where other processes reach it.
struct Served {
    bus: Bus,
    server: StreamServer,
    listener: Listener,
}

impl Served {
    async fn open(directory: &Path) -> Self {
        let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &StoreConfig { directory: directory.to_owned() }).unwrap();
        Self::of(bus).await
    }

    async fn of(bus: Bus) -> Self {
        let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
        let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
        let listener = Listener::bind(bus.clone(), config).await.unwrap();
        Self { bus, server, listener }
    }

    async fn client(&self) -> Client {
        Client(Bus::connect(&format!("nats://{}", self.listener.local_addr())).await.unwrap())
    }

    async fn close(self) {
        assert!(self.server.shutdown(PATIENCE).await);
        self.bus.drain(PATIENCE).await;
        self.listener.shutdown(PATIENCE).await;
    }
}

/// Another process, as far as the bus can tell.
struct Client(Bus);

impl Client {
    async fn ask(&self, verb: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.0.request(&subject(&format!("$MYELIN.API.{verb}")), Body::from(body), PATIENCE).await.unwrap();
        serde_json::from_slice(&bytes(&reply.body)).unwrap()
    }

    async fn publish(&self, on: &str, headers: &[(&str, &str)], body: &'static str) -> Value {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), bytes::Bytes::copy_from_slice(value.as_bytes()))).collect();
        let mut message = Message::new(subject(&format!("$MYELIN.API.STREAM.PUB.{on}")), body);
        message.meta = Some(Box::new(Meta { headers, envelope: None }));
        let reply = self.0.request_message(&message, PATIENCE).await.unwrap();
        serde_json::from_slice(&bytes(&reply.body)).unwrap()
    }

    async fn orders(&self) {
        self.ask("STREAM.CREATE.orders", json!({ "subjects": ["orders.>"], "retention": "work_queue" })).await;
        self.ask("CONSUMER.CREATE.orders.workers", json!({ "deliveries_max": 2 })).await;
    }

    /// Asks for messages; they come to the worker's inbox.
    async fn worker(&self, inbox: &str, max: u64) -> Worker {
        let inbox = subject(inbox);
        let filter = Filter::new(inbox.as_str()).unwrap();
        let subscription = self.0.subscribe(&filter, SubscribeOptions::default()).await.unwrap();
        let mut next =
            Message::new(subject("$MYELIN.API.CONSUMER.NEXT.orders.workers"), json!({ "max": max, "wait_ms": 5_000 }).to_string());
        next.reply = Some(ReplyTo::Subject(inbox));
        self.0.publish_message(next).await.unwrap();
        Worker { subscription }
    }

    async fn settle(&self, message: &Message, word: &'static str) -> Value {
        let Some(ReplyTo::Subject(settle)) = &message.reply else { panic!("no address to settle on") };
        let reply = self.0.request(settle, Body::from(word), PATIENCE).await.unwrap();
        let text = bytes(&reply.body);
        serde_json::from_slice(&text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&text)))
    }
}

struct Worker {
    subscription: Subscription,
}

impl Worker {
    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.subscription.next()).await.expect("a message in time").expect("a message")
    }
}

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn bytes(body: &Body) -> bytes::Bytes {
    match body {
        Body::Blob(blob) => blob.clone(),
        Body::Frames(frames) => frames.first(),
    }
}

fn header(message: &Message, name: &str) -> String {
    let value = message.meta.as_ref().and_then(|meta| meta.header(name));
    value.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_stream_is_made_filled_looked_at_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    let made = client.ask("STREAM.CREATE.orders", json!({ "subjects": ["orders.>"], "messages_max": 10 })).await;
    assert_eq!((&made["name"], &made["config"]["messages_max"]), (&json!("orders"), &json!(10)));
    let receipt = client.publish("orders.new", &[("Myelin-Msg-Id", "a"), ("Mine", "kept")], "first").await;
    assert_eq!(receipt, json!({ "stream": "orders", "sequence": 1, "duplicate": false }));
    let again = client.publish("orders.new", &[("Myelin-Msg-Id", "a")], "first").await;
    assert_eq!(again, json!({ "stream": "orders", "sequence": 1, "duplicate": true }));
    let got = client.ask("STREAM.GET.orders", json!({ "sequence": 1 })).await;
    assert_eq!((&got["payload"], &got["headers"], &got["id"]), (&json!("first"), &json!([["Mine", "kept"]]), &json!("a")));
    let updated = client.ask("STREAM.UPDATE.orders", json!({ "messages_max": 1 })).await;
    assert_eq!(updated["config"]["subjects"], json!(["orders.>"]));
    let refused = client.publish("orders.new", &[], "second").await;
    assert_eq!((&refused["error"]["code"], &refused["error"]["retryable"]), (&json!("stream_full"), &json!(true)));
    assert_eq!(client.ask("STREAM.DROP.orders", json!({ "sequence": 1 })).await, json!({ "dropped": true }));
    assert_eq!(client.ask("STREAM.PURGE.orders", Value::Null).await, json!({ "purged": 0 }));
    assert_eq!(client.ask("STREAM.LIST", Value::Null).await["streams"].as_array().unwrap().len(), 1);
    assert_eq!(client.ask("STREAM.DELETE.orders", Value::Null).await, json!({ "deleted": true }));
    assert_eq!(client.ask("STREAM.INFO.orders", Value::Null).await["error"]["code"], "no_stream");
    assert_eq!(client.ask("STREAM.CREATE.orders", json!({ "subject": "x" })).await["error"]["code"], "invalid");
    assert_eq!(client.ask("STREAM.NONSENSE.orders", Value::Null).await["error"]["code"], "invalid");
    served.close().await;
}

#[tokio::test]
async fn a_worker_gets_messages_whole_and_settles_each_once() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    client.orders().await;
    for body in ["a", "b", "c"] {
        client.publish("orders.new", &[("Mine", body)], body).await;
    }
    let mut worker = client.worker("_INBOX.test.1", 3).await;
    let (a, b, c) = (worker.next().await, worker.next().await, worker.next().await);
    let end = worker.next().await;
    assert_eq!((header(&end, "Myelin-Status").as_str(), bytes(&end.body)), ("end", "{\"delivered\":3}".into()));
    assert_eq!((a.body.clone(), header(&a, "Myelin-Subject"), header(&a, "Mine")), (Body::from("a"), "orders.new".into(), "a".into()));
    assert_eq!((header(&b, "Myelin-Sequence"), header(&b, "Myelin-Deliveries")), ("2".into(), "1".into()));

    assert_eq!(client.settle(&a, "+ACK").await, "+OK");
    assert_eq!(client.settle(&a, "+ACK").await["error"]["code"], "stale");
    assert_eq!(client.settle(&b, "+WPI").await, "+OK");
    assert_eq!(client.settle(&b, "-NAK {\"error\": \"busy\"}").await, "+OK");
    assert_eq!(client.settle(&c, "+TERM not JSON").await, "+OK");
    let mut worker = client.worker("_INBOX.test.2", 1).await;
    let again = worker.next().await;
    assert_eq!((header(&again, "Myelin-Sequence"), header(&again, "Myelin-Deliveries")), ("2".into(), "2".into()));
    assert!(header(&again, "Myelin-Attempts").contains("busy"));
    assert_eq!(client.settle(&again, "+ACK").await, "+OK");
    let info = client.ask("STREAM.INFO.orders", Value::Null).await;
    assert_eq!((&info["messages"], &info["consumers"][0]["acked"]), (&json!(0), &json!(3)));

    let letters = client.ask("DLQ.LIST", Value::Null).await;
    assert_eq!((&letters["letters"][0]["reason"], &letters["letters"][0]["attempts"][0]["error"]), (&json!("term"), &json!("not JSON")));
    served.close().await;
}

#[tokio::test]
async fn messages_of_a_worker_that_is_gone_come_to_another_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let (client, doomed) = (served.client().await, served.client().await);
    client.orders().await;
    client.publish("orders.new", &[], "a").await;
    let mut worker = doomed.worker("_INBOX.doomed", 1).await;
    assert_eq!(header(&worker.next().await, "Myelin-Deliveries"), "1");
    // `ack_wait` is 30 s: only the end of the connection brings it back within the patience of this test.
    let mut other = client.worker("_INBOX.other", 1).await;
    drop((worker, doomed));
    let again = other.next().await;
    assert_eq!(header(&again, "Myelin-Deliveries"), "2");
    assert!(header(&again, "Myelin-Attempts").contains("worker gone"));
    served.close().await;
}

#[tokio::test]
async fn plain_publishes_are_stored_once_and_requests_get_the_receipt() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    // Both filters match; the message is one all the same.
    client.ask("STREAM.CREATE.plain", json!({ "subjects": ["plain.*", "plain.>"] })).await;
    client.0.publish(&subject("plain.a"), "first".into()).await.unwrap();
    let reply = client.0.request(&subject("plain.b"), "second".into(), PATIENCE).await.unwrap();
    let receipt: Value = serde_json::from_slice(&bytes(&reply.body)).unwrap();
    assert_eq!(receipt, json!({ "stream": "plain", "sequence": 2, "duplicate": false }));
    client.ask("STREAM.UPDATE.plain", json!({ "subjects": ["other.>"] })).await;
    client.0.publish(&subject("plain.a"), "nobody's".into()).await.unwrap();
    let reply = client.0.request(&subject("other.x"), "third".into(), PATIENCE).await.unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&bytes(&reply.body)).unwrap()["sequence"], 3);
    assert_eq!(client.ask("STREAM.INFO.plain", Value::Null).await["messages"], 3);
    served.close().await;
}

#[tokio::test]
async fn what_was_published_before_the_end_is_stored_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    client.ask("STREAM.CREATE.plain", json!({ "subjects": ["plain.>"] })).await;
    for number in 0..2_000 {
        served.bus.publish(&subject("plain.a"), format!("{number}").into()).await.unwrap();
    }
    served.close().await;
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    assert_eq!(client.ask("STREAM.INFO.plain", Value::Null).await["messages"], 2_000);
    for number in [0, 1, 999, 1_999] {
        let got = client.ask("STREAM.GET.plain", json!({ "sequence": number + 1 })).await;
        assert_eq!(got["payload"], number.to_string());
    }
    served.close().await;
}

#[tokio::test]
async fn a_letter_is_found_by_what_is_known_of_it_replayed_and_let_go() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::open(directory.path()).await;
    let client = served.client().await;
    client.orders().await;
    for body in ["a", "b"] {
        client.publish("orders.new", &[("Mine", body)], body).await;
    }
    let mut worker = client.worker("_INBOX.w", 2).await;
    for _ in 0..2 {
        let message = worker.next().await;
        client.settle(&message, "+TERM no").await;
    }
    let found = async |filters: Value| client.ask("DLQ.LIST", filters).await["letters"].as_array().unwrap().len();
    assert_eq!(found(json!({ "stream": "orders", "subject": "orders.*", "reason": "term" })).await, 2);
    assert_eq!(found(json!({ "reason": "expired" })).await, 0);
    assert_eq!(found(json!({ "older_than_ms": 3_600_000 })).await, 0);
    assert_eq!(found(json!({ "subject": "other.>" })).await, 0);
    assert_eq!(client.ask("DLQ.LIST", json!({ "reason": "bad" })).await["error"]["code"], "invalid");
    let page = client.ask("DLQ.LIST", json!({ "max": 1 })).await;
    assert_eq!((page["letters"].as_array().unwrap().len(), &page["next"]), (1, &json!(2)));

    let receipt = client.ask("DLQ.REPLAY", json!({ "sequence": 1 })).await;
    assert_eq!((&receipt["stream"], &receipt["sequence"]), (&json!("orders"), &json!(3)));
    let message = client.ask("STREAM.GET.orders", json!({ "sequence": 3 })).await;
    let expected = json!([["Mine", "a"], ["Myelin-Replay-Of", "orders.workers.1"], ["Myelin-Replay-Count", "1"]]);
    assert_eq!((&message["payload"], &message["headers"]), (&json!("a"), &expected));
    let nowhere = client.ask("DLQ.REPLAY", json!({ "sequence": 2, "to": "nobody.stores.this" })).await;
    assert_eq!(nowhere["error"]["code"], "no_stream");
    assert_eq!(client.ask("DLQ.SHOW", json!({ "sequence": 2 })).await["payload"], "b");
    assert_eq!(client.ask("DLQ.PURGE", json!({ "sequences": [1, 2] })).await, json!({ "purged": 1 }));
    assert_eq!(client.ask("DLQ.SHOW", json!({ "sequence": 2 })).await["error"]["code"], "no_message");
    served.close().await;
}

#[tokio::test]
async fn a_bus_without_a_store_says_so() {
    let served = Served::of(Bus::embedded(EmbeddedConfig::default())).await;
    let client = served.client().await;
    for verb in ["STREAM.LIST", "CONSUMER.INFO.a.b", "DLQ.LIST", "STREAM.PUB.a"] {
        assert_eq!(client.ask(verb, Value::Null).await["error"]["code"], "no_store", "{verb}");
    }
    served.close().await;
}
