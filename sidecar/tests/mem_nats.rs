//! Any NATS client has memory: what docs/memory.md says, byte for byte, spoken by async-nats and read by another MessagePack library than ours.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use myelin_testkit::{PATIENCE, Sidecar};
use rmpv::Value;

async fn connect(sidecar: &Sidecar) -> Client {
    async_nats::connect(sidecar.nats_url()).await.expect("connected")
}

/// Sends these bytes and reads the answer.
async fn ask(client: &Client, verb: &str, body: &[u8]) -> Value {
    let reply = client.request(format!("$MYELIN.API.MEM.{verb}"), body.to_vec().into());
    let reply = tokio::time::timeout(PATIENCE, reply).await.expect("in time").expect("an answer");
    read(&reply.payload)
}

fn read(mut bytes: &[u8]) -> Value {
    let value = rmpv::decode::read_value(&mut bytes).expect("MessagePack");
    assert!(bytes.is_empty(), "nothing behind it");
    value
}

/// The field of a map by its name.
fn field<'a>(map: &'a Value, name: &str) -> &'a Value {
    let fields = map.as_map().expect("a map");
    fields.iter().find(|(key, _)| key.as_str() == Some(name)).map_or(&Value::Nil, |(_, value)| value)
}

fn text<'a>(map: &'a Value, name: &str) -> &'a str {
    field(map, name).as_str().unwrap_or_else(|| panic!("no text in {name}: {map}"))
}

/// {"space": "s", "key": "k", "value": b"\x00\xff", "ttl_ms": 60000}
const SET: &[u8] = b"\x84\xa5space\xa1s\xa3key\xa1k\xa5value\xc4\x02\x00\xff\xa6ttl_ms\xcd\xea\x60";
/// {"space": "s", "key": "k"}
const GET: &[u8] = b"\x82\xa5space\xa1s\xa3key\xa1k";

#[tokio::test]
async fn a_plain_client_sets_and_gets_by_the_documented_bytes() {
    let sidecar = Sidecar::start();
    let client = connect(&sidecar).await;
    assert!(field(&ask(&client, "GET", GET).await, "entry").is_nil());
    let revision = text(&ask(&client, "SET", SET).await, "revision").to_owned();
    assert_eq!(revision.len(), 32);
    let got = ask(&client, "GET", GET).await;
    let entry = field(&got, "entry");
    assert_eq!(field(entry, "value"), &Value::Binary(vec![0, 255]), "bytes, and no array of numbers");
    assert_eq!((text(entry, "revision"), text(entry, "content_type")), (revision.as_str(), "application/octet-stream"));
    assert!((1..=60_000).contains(&field(entry, "ttl_ms").as_u64().expect("a time")));

    // {"space": "s", "key": "k", "expected": nil, "value": "x"}: there is something.
    let conflict = ask(&client, "CAS", b"\x84\xa5space\xa1s\xa3key\xa1k\xa8expected\xc0\xa5value\xa1x").await;
    let error = field(&conflict, "error");
    assert_eq!((text(error, "code"), text(error, "current")), ("conflict", revision.as_str()));
    assert_eq!((field(error, "retryable"), field(error, "may_have_happened")), (&Value::Boolean(false), &Value::Boolean(false)));
    // {"space": "s", "key": "k", "tll_ms": 1}: a misspelt field is no field.
    let error = ask(&client, "GET", b"\x83\xa5space\xa1s\xa3key\xa1k\xa6tll_ms\x01").await;
    assert_eq!(text(field(&error, "error"), "code"), "invalid");
    // {"space": "s", "window": "w", "values": [{"value": "a"}, {"value": "b"}]}, then {"space": "s", "window": "w", "last": 1}
    let appended = ask(&client, "APPEND", b"\x83\xa5space\xa1s\xa6window\xa1w\xa6values\x92\x81\xa5value\xa1a\x81\xa5value\xa1b").await;
    assert_eq!(field(&appended, "positions").as_array().map(Vec::len), Some(2));
    let recent = ask(&client, "RECENT", b"\x83\xa5space\xa1s\xa6window\xa1w\xa4last\x01").await;
    let entries = field(&recent, "entries").as_array().expect("a list");
    assert_eq!((entries.len(), field(&entries[0], "value")), (1, &Value::Binary(b"b".to_vec())));
}

#[tokio::test]
async fn a_plain_client_watches_and_one_that_is_gone_is_let_go_of() {
    let sidecar = Sidecar::start();
    let client = connect(&sidecar).await;
    let mut told = client.subscribe("$MYELIN.API.MEM.EVENTS.w1").await.expect("subscribed");
    client.flush().await.expect("flushed");
    // {"space": "s", "id": "w1"}
    let watching = ask(&client, "WATCH", b"\x82\xa5space\xa1s\xa2id\xa2w1").await;
    assert_eq!(text(&watching, "subject"), "$MYELIN.API.MEM.EVENTS.w1");
    assert_eq!(
        text(field(&ask(&client, "WATCH", b"\x82\xa5space\xa1s\xa2id\xa2w1").await, "error"), "code"),
        "invalid",
        "the id is in use"
    );
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if seen == ["live"] {
            ask(&client, "SET", SET).await;
        }
        let message = tokio::time::timeout(PATIENCE, told.next()).await.expect("in time").expect("an event");
        for event in field(&read(&message.payload), "events").as_array().expect("a list") {
            seen.push(text(event, "event").to_owned());
        }
        client.publish(message.reply.expect("who waits for the answer"), "".into()).await.expect("answered");
    }
    assert_eq!(seen, ["live", "put"]);
    assert_eq!(sidecar.metric("myelin_memory_watches"), Some(1.0));
    told.unsubscribe().await.expect("unsubscribed");
    client.flush().await.expect("flushed");
    ask(&client, "SET", SET).await;
    let gone = async {
        while sidecar.metric("myelin_memory_watches") != Some(0.0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the watch is let go of");
}
