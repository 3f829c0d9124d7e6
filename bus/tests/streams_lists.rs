//! However many streams and consumers there are, no answer is larger than a bus carries, and whoever follows the pages misses nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{ConsumerConfig, Durability, Name, StoreConfig, StreamConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn lists_are_told_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
    let listener = Listener::bind(bus.clone(), config).await.unwrap();
    let client = Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap();
    let name = |text: &str| Name::new(text).unwrap();
    let stream = |text: &str| {
        let mut config = StreamConfig::new(name(text), vec![Filter::new(&format!("{text}.>")).unwrap()]);
        config.durability = Durability::Memory;
        config
    };
    for text in ["c", "a", "b"] {
        bus.ensure_stream(&stream(text)).await.unwrap();
    }
    let consumers: Vec<String> = (0..300).map(|number| format!("consumer-{number:03}")).collect();
    for consumer in consumers.iter().rev() {
        bus.ensure_consumer(&name("b"), &ConsumerConfig::new(name(consumer))).await.unwrap();
    }
    let ask = async |verb: &str, asked: Value| {
        let subject = Subject::new(&format!("$MYELIN.API.{verb}")).unwrap();
        let reply = client.request(&subject, Body::from(asked.to_string()), PATIENCE).await.unwrap();
        let Body::Blob(blob) = reply.body else { panic!("frames") };
        serde_json::from_slice::<Value>(&blob).unwrap()
    };

    let page = ask("STREAM.LIST", json!({ "max": 2 })).await;
    let names = |page: &Value, field: &str| {
        page[field].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((names(&page, "streams"), &page["more"], &page["next"]), (vec!["a".into(), "b".into()], &json!(true), &json!("c")));
    let page = ask("STREAM.LIST", json!({ "from": "c" })).await;
    assert_eq!((names(&page, "streams"), &page["more"]), (vec!["c".into()], &json!(false)));

    let page = ask("CONSUMER.LIST.b", json!({})).await;
    assert_eq!((names(&page, "consumers").len(), &page["more"]), (256, &json!(true)));
    let info = ask("STREAM.INFO.b", json!({})).await;
    assert_eq!(info["more_consumers"], true, "told with the stream are the first ones");

    // The client of the other process follows the pages by itself.
    for info in [client.stream_info(&name("b")).await.unwrap(), client.list_streams().await.unwrap().swap_remove(1)] {
        let mut told: Vec<String> = info.consumers.iter().map(|consumer| consumer.config.name.to_string()).collect();
        told.sort();
        assert_eq!(told, consumers);
    }
    let last = client.consumer(&name("b"), &name("consumer-299")).await.unwrap();
    assert_eq!(last.info().await.unwrap().config.name, name("consumer-299"));
    client.drain(PATIENCE).await;
    assert!(server.shutdown(PATIENCE).await);
    bus.drain(PATIENCE).await;
    listener.shutdown(PATIENCE).await;
}
