//! A bus with a link to other machines does what every bus does: here between two machines that share one real server.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod linked;

use linked::machine;
use myelin_bus::conformance::Fixture;
use myelin_bus::streams::{StreamServer, StreamServerMetrics};
use myelin_testkit::NatsServer;

async fn two_machines() -> Fixture {
    let server = NatsServer::start();
    let (first, second) = (machine(&server).await, machine(&server).await);
    let sweeper = StreamServer::start(&first, StreamServerMetrics::default()).await.unwrap();
    let url = server.url();
    Fixture::new(first, second, &url, (sweeper, server))
}

myelin_bus::conformance_tests!(two_machines, skips: [
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
