//! A bus over a connection that nobody holds any more ends its connection, and with it whatever the other side keeps for its workers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod nats_support;

use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig, ListenerMetrics};
use myelin_bus::streams::{ConsumerConfig, Name, StoreConfig, StreamConfig, StreamServer, StreamServerMetrics};
use myelin_bus::wire::Filter;
use myelin_bus::{Bus, EmbeddedConfig};
use nats_support::until;

/// The inbox of its workers kept a bus alive that had the inbox: a process that made and dropped such buses had a connection more each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_bus_ends_its_connection_also_after_it_asked_for_messages() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let _server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let metrics = ListenerMetrics::default();
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), metrics: metrics.clone(), ..ListenerConfig::default() };
    let listener = Listener::bind(bus.clone(), config).await.unwrap();
    let name = |name: &str| Name::new(name).unwrap();
    bus.ensure_stream(&StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()])).await.unwrap();

    let client = Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap();
    let worker = client.ensure_consumer(&name("orders"), &ConsumerConfig::new(name("workers"))).await.unwrap();
    assert!(worker.fetch(1, Duration::ZERO).await.unwrap().is_empty());
    assert_eq!(metrics.connections(), 1);
    drop((worker, client));
    until("the connection is gone", || metrics.connections() == 0).await;
}
