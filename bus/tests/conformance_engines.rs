//! Every engine runs every case of the behaviour suite.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use myelin_bus::conformance::Fixture;
use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{Durability, StoreConfig, StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, EmbeddedConfig};
use myelin_testkit::NatsServer;
use tempfile::TempDir;

/// A bus with a store in this process, and where others reach it.
struct Served {
    bus: Bus,
    url: String,
    keeps: (StreamServer, Listener, TempDir),
}

async fn serve() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
    let listener = Listener::bind(bus.clone(), config).await.unwrap();
    Served { bus, url: format!("nats://{}", listener.local_addr()), keeps: (server, listener, directory) }
}

/// The store is in this process, as for whoever links the crate.
async fn embedded() -> Fixture {
    let Served { bus, url, keeps } = serve().await;
    Fixture::new(bus.clone(), bus, &url, keeps)
}

/// As in this process, with streams whose acks mean the least.
async fn in_memory() -> Fixture {
    embedded().await.durability(Durability::Memory)
}

/// The store is behind a connection, as for the CLI and for agents that attach to a sidecar.
async fn attached() -> Fixture {
    let Served { bus, url, keeps } = serve().await;
    let (first, second) = (Bus::connect(&url).await.unwrap(), Bus::connect(&url).await.unwrap());
    Fixture::new(first, second, &url, (bus, keeps))
}

mod in_this_process {
    myelin_bus::conformance_tests!(super::embedded);
}

mod with_streams_in_memory {
    myelin_bus::conformance_tests!(super::in_memory);
}

mod behind_a_connection {
    myelin_bus::conformance_tests!(super::attached, skips: [block_makes_the_publisher_wait]);
}

/// The streams are a NATS server's, as for a fleet on more than one machine.
async fn over_nats() -> Fixture {
    let server = NatsServer::start();
    let url = server.url();
    let (first, second) = (Bus::connect(&url).await.unwrap(), Bus::connect(&url).await.unwrap());
    // As a sidecar: somebody has to move what expires.
    let sweeper = StreamServer::start(&first, StreamServerMetrics::default()).await.unwrap();
    Fixture::new(first, second, &url, (sweeper, server))
}

mod over_a_nats_server {
    myelin_bus::conformance_tests!(super::over_nats, skips: [
        block_makes_the_publisher_wait,
        what_left_is_counted,
        the_receipt_names_the_stream,
        what_no_stream_can_take_is_a_letter,
        who_is_too_late_is_told,
        a_late_nak_ends_nobody_elses_delivery,
        a_worker_whose_connection_ends_is_noticed,
        a_waiting_worker_that_goes_takes_no_message_along,
        what_is_evicted_unread_is_a_letter_where_that_is_wanted,
    ]);
}
