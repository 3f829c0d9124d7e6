//! A durable pipeline starts while its store is away: its sockets are there, its producers are held back, and what they said is stored and delivered
//! once the store is there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;
mod routes_support;

use std::io::Write as _;
use std::time::Duration;

use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::pipeline::{DurableConfig, Pipeline};
use myelin_bus::listener::{Listener as Server, ListenerConfig};
use myelin_bus::streams::{StoreConfig, StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, EmbeddedConfig};
use tempfile::TempDir;

use front_support::{Raw, hex};
use routes_support::{DEADLINE, any_port, context, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_starts_without_its_store_and_begins_when_it_is_there() {
    let directory = TempDir::new().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let _streams = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
    let server = Server::bind(bus.clone(), config.clone()).await.unwrap();
    let address = server.local_addr();
    let context = RouteContext { bus: Bus::connect(&format!("nats://{address}")).await.unwrap(), ..context() };
    server.shutdown(DEADLINE).await;

    let asked = tokio::time::Instant::now();
    let pipeline = Pipeline::durable(&context, "jobs", DurableConfig::default()).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    let (producers, consumers) = (pipeline.bind_producers(&any_port()).await.unwrap(), pipeline.bind_consumers(&any_port()).await.unwrap());
    let (to, from) = (producers.local_addr(), consumers.local_addr());
    let producing = tokio::task::spawn_blocking(move || {
        let mut push = Raw::shake(to, 1, "PUSH", None).0;
        push.send(&hex("0002 6869"));
        push.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        // A gigabyte is far more than sockets and pipeline may hold: writing must stop.
        let message = [&hex("02 0000000000010000")[..], &[7; 65_536]].concat();
        let taken = (0..16_384).take_while(|_| push.stream.write_all(&message).is_ok()).count();
        assert!(taken < 16_384);
        push
    });
    let _push = producing.await.unwrap();
    let pull = tokio::task::spawn_blocking(move || Raw::shake(from, 0, "PULL", None).0).await.unwrap();
    until("both are there", || pipeline.status().unwrap().consumers == 1).await;
    assert!(pipeline.waiting().messages > 0);

    let _server = Server::bind(bus.clone(), ListenerConfig { address, ..config }).await.unwrap();
    let got = tokio::task::spawn_blocking(move || {
        let mut pull = pull;
        pull.receive(4)
    })
    .await
    .unwrap();
    assert_eq!(got, hex("0002 6869"));
}
