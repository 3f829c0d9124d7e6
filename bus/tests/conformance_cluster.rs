//! Every case of the behaviour suite holds on three NATS servers that keep each stream three times.
//!
//! The servers are started once and shared by all cases, which have names of their own.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::OnceLock;

use myelin_bus::conformance::Fixture;
use myelin_bus::streams::{StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, NatsConfig};
use myelin_testkit::NatsCluster;

/// Cases at once: enough to wait for each other's waits, few enough for three servers on a small machine.
const AT_ONCE: usize = 8;

static URLS: OnceLock<Vec<String>> = OnceLock::new();

async fn on_the_cluster() -> Fixture {
    let urls = URLS.get().expect("the cluster is started first");
    // Both over one server: the others hear of a new subscription a moment later, which nobody is told.
    let mut config = NatsConfig::new([urls[0].as_str()]);
    config.replicas = 3;
    let (first, second) = (Bus::connect_with(&config).await.unwrap(), Bus::connect_with(&config).await.unwrap());
    let sweeper = StreamServer::start(&first, StreamServerMetrics::default()).await.unwrap();
    Fixture::new(first, second, &urls[0], sweeper)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_holds_on_a_cluster() {
    let cluster = NatsCluster::start();
    URLS.set(cluster.urls()).unwrap();
    myelin_bus::conformance_in_one!(on_the_cluster, at_once: AT_ONCE, skips: [
        block_makes_the_publisher_wait,
        what_left_is_counted,
        the_receipt_names_the_stream,
        what_no_stream_can_take_is_a_letter,
        who_is_too_late_is_told,
        a_late_nak_ends_nobody_elses_delivery,
        a_worker_whose_connection_ends_is_noticed,
        a_waiting_worker_that_goes_takes_no_message_along,
        what_is_evicted_unread_is_a_letter_where_that_is_wanted,
    ])
    .await;
    drop(cluster);
}
