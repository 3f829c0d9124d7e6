//! A message that never was in a stream can become a dead letter all the same: one that a route could not carry, and a plain publish that its
//! stream cannot store and whose publisher nobody can tell. The letter is whole, frames and envelope and headers, and so is its replay.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{DEAD_LETTERS, DeadReason, Death, Fault, Name, StoreConfig, StreamConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Body, Filter, Frames, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message, Meta, RequestError};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

struct Served {
    bus: Bus,
    server: StreamServer,
    listener: Listener,
    directory: tempfile::TempDir,
}

impl Served {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = StoreConfig { directory: directory.path().to_owned() };
        let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
        let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
        let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
        let listener = Listener::bind(bus.clone(), config).await.unwrap();
        Self { bus, server, listener, directory }
    }

    async fn client(&self) -> Bus {
        Bus::connect(&format!("nats://{}", self.listener.local_addr())).await.unwrap()
    }

    /// By request, so that what is published plainly is captured.
    async fn stream(&self, name: &str, config: Value) {
        let verb = subject(&format!("$MYELIN.API.STREAM.CREATE.{name}"));
        let made = self.bus.request(&verb, Body::from(config.to_string()), PATIENCE).await.unwrap();
        assert!(json_of(&made.body)["error"].is_null());
    }

    async fn close(self) {
        assert!(self.server.shutdown(PATIENCE).await);
        self.bus.drain(PATIENCE).await;
        self.listener.shutdown(PATIENCE).await;
        drop(self.directory);
    }
}

fn subject(text: &str) -> Subject {
    Subject::new(text).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn json_of(body: &Body) -> Value {
    let Body::Blob(blob) = body else { panic!("frames") };
    serde_json::from_slice(blob).unwrap()
}

fn header(message: &Message, name: &str) -> String {
    let value = message.meta.as_ref().and_then(|meta| meta.header(name));
    String::from_utf8(value.expect(name).to_vec()).unwrap()
}

/// Letter `sequence`, as soon as it is there.
async fn letter(bus: &Bus, sequence: u64) -> Message {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Ok(Some(letter)) = bus.get_message(&name(DEAD_LETTERS), sequence).await {
            return letter;
        }
        assert!(tokio::time::Instant::now() < deadline, "no letter {sequence}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A request as the bridge gets it: several frames, one of them empty, and bytes that are no text.
fn request() -> Message {
    let frames = [&b"Greeter"[..], b"", b"\x00\xff\x92", b"hello"].map(Bytes::from_static);
    let mut message = Message::new(subject("zmq.service.Greeter"), Body::Frames(Frames::from_parts(frames).unwrap()));
    message.meta = Some(Box::new(Meta { headers: vec![("Tenant".into(), Bytes::from_static(b"7"))], envelope: None }));
    message
}

fn no_route() -> Death {
    Death {
        origin: Name::sanitized("zmq.service.Greeter"),
        stage: name("request"),
        reason: DeadReason::NoRoute,
        fault: Fault::Ours,
        error: "nobody serves\n\"Greeter\"".into(),
    }
}

async fn a_stray_is_kept_whole_and_replayed_whole(served: &Served, bus: &Bus) {
    let receipt = bus.dead_letter(&request(), &no_route()).await.unwrap();
    assert_eq!(receipt.stream, name(DEAD_LETTERS));
    let letter = letter(bus, receipt.sequence).await;
    assert_eq!(letter.body, request().body, "the frames are what they were");
    for (name, value) in [
        ("Tenant", "7"),
        ("Myelin-Dead-Reason", "no_route"),
        ("Myelin-Dead-Fault", "ours"),
        ("Myelin-Dead-Stream", "zmq_service_Greeter"),
        ("Myelin-Dead-Consumer", "request"),
        ("Myelin-Dead-Subject", "zmq.service.Greeter"),
    ] {
        assert_eq!(header(&letter, name), value, "{name}");
    }
    let attempts: Value = serde_json::from_str(&header(&letter, "Myelin-Dead-Attempts")).unwrap();
    assert_eq!(attempts[0]["error"], "nobody serves\n\"Greeter\"");

    // Sent on its way to a stream, it is what it was.
    bus.ensure_stream(&StreamConfig::new(name("retry"), vec![Filter::new("retry.>").unwrap()])).await.unwrap();
    let asked = json!({ "sequence": receipt.sequence, "to": "retry.greeter" });
    let replayed = served.bus.request(&subject("$MYELIN.API.DLQ.REPLAY"), Body::from(asked.to_string()), PATIENCE).await.unwrap();
    let sequence = json_of(&replayed.body)["sequence"].as_u64().unwrap();
    let replayed = bus.get_message(&name("retry"), sequence).await.unwrap().unwrap();
    assert_eq!(replayed.body, request().body);
    assert_eq!(header(&replayed, "Tenant"), "7");
}

#[tokio::test]
async fn a_request_that_found_nobody_is_kept_with_its_frames() {
    let served = Served::open().await;
    a_stray_is_kept_whole_and_replayed_whole(&served, &served.bus).await;
    served.close().await;
}

#[tokio::test]
async fn so_it_is_from_another_process() {
    let served = Served::open().await;
    a_stray_is_kept_whole_and_replayed_whole(&served, &served.client().await).await;
    served.close().await;
}

#[tokio::test]
async fn strays_never_share_a_letter() {
    let served = Served::open().await;
    let client = served.client().await;
    let burying = (0..50).map(|n| {
        let bus = if n % 2 == 0 { served.bus.clone() } else { client.clone() };
        tokio::spawn(async move { bus.dead_letter(&request(), &no_route()).await.unwrap().sequence })
    });
    let mut letters = std::collections::BTreeSet::new();
    for buried in burying.collect::<Vec<_>>() {
        letters.insert(buried.await.unwrap());
    }
    assert_eq!(letters.len(), 50);
    assert_eq!(served.bus.stream_info(&name(DEAD_LETTERS)).await.unwrap().messages, 50);
    served.close().await;
}

#[tokio::test]
async fn what_is_too_large_for_its_stream_is_a_letter_if_nobody_waits_to_be_told() {
    let served = Served::open().await;
    served.stream("small", json!({ "subjects": ["small.>"], "message_bytes_max": 8 })).await;
    let mut message = Message::new(subject("small.a"), Body::from("nine byte"));
    message.meta = Some(Box::new(Meta { headers: vec![("Myelin-Msg-Id".into(), Bytes::from_static(b"a-1"))], envelope: None }));
    served.bus.publish_message(message.clone()).await.unwrap();
    let letter = letter(&served.bus, 1).await;
    assert_eq!(letter.body, Body::from("nine byte"));
    assert_eq!(header(&letter, "Myelin-Dead-Reason"), "too_large");
    assert_eq!(header(&letter, "Myelin-Dead-Fault"), "agent");
    assert_eq!(header(&letter, "Myelin-Dead-Stream"), "small");
    assert_eq!(header(&letter, "Myelin-Msg-Id"), "a-1", "what was asked for with it is part of it");

    // Who waits gets the error, and no letter is written; so does who asks for a receipt on its own.
    let told = served.bus.request_message(&message, PATIENCE).await;
    let told: Result<Value, RequestError> = told.map(|reply| json_of(&reply.body));
    assert_eq!(told.unwrap()["error"]["code"], "too_large");
    let refused = served.bus.publish_durable(&message, &Default::default()).await.unwrap_err();
    assert!(!refused.is_retryable() && !refused.may_have_happened(), "{refused}");
    assert_eq!(served.bus.stream_info(&name(DEAD_LETTERS)).await.unwrap().messages, 1);

    // What fits is stored.
    served.bus.publish(&subject("small.a"), Body::from("8 bytes!")).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while served.bus.stream_info(&name("small")).await.unwrap().messages == 0 {
        assert!(tokio::time::Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.close().await;
}

#[tokio::test]
async fn what_asks_for_something_unreadable_is_a_letter_if_nobody_waits_to_be_told() {
    let served = Served::open().await;
    served.stream("orders", json!({ "subjects": ["orders.>"] })).await;
    let mut message = Message::new(subject("orders.new"), Body::from("1"));
    message.meta = Some(Box::new(Meta { headers: vec![("Myelin-TTL".into(), Bytes::from_static(b"soon"))], envelope: None }));
    served.bus.publish_message(message.clone()).await.unwrap();
    let letter = letter(&served.bus, 1).await;
    assert_eq!((header(&letter, "Myelin-Dead-Reason"), header(&letter, "Myelin-TTL")), ("malformed".to_owned(), "soon".to_owned()));
    assert!(header(&letter, "Myelin-Dead-Attempts").contains("Myelin-TTL"), "the letter names what cannot be read");

    let told = served.bus.request_message(&message, PATIENCE).await.unwrap();
    assert_eq!(json_of(&told.body)["error"]["code"], "invalid");
    assert_eq!(served.bus.stream_info(&name(DEAD_LETTERS)).await.unwrap().messages, 1);
    assert_eq!(served.bus.stream_info(&name("orders")).await.unwrap().messages, 0);
    served.close().await;
}
