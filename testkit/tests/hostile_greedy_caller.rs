//! A caller that asks without end fills its share of the queue before a busy agent: others are answered in turn, and memory is bounded by what
//! waits, not by what was read along with it.

use myelin_testkit::hostile::{self, Arena, GreedyCaller, Served};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

/// The agent serves 500 requests per second, so that 8 MiB of them wait as soon as they are there.
#[track_caller]
fn greedy(bytes: usize) -> (Served, Vec<Duration>) {
    let arena = Arena::open();
    let plan = GreedyCaller { bytes, work: Duration::from_millis(2), span: Duration::from_secs(3) };
    let mut latencies = Vec::new();
    let served = arena.served_while(|| latencies = hostile::greedy_caller(&arena, plan));
    (served, latencies)
}

#[test]
fn of_small_requests() {
    let (served, latencies) = greedy(1024);
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
    assert!(latencies.iter().all(|latency| *latency <= served.allowed(NEIGHBOURS_WAIT_MAX)), "{latencies:?}");
}

#[test]
fn of_large_requests() {
    let (served, latencies) = greedy(100 << 10);
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
    assert!(latencies.iter().all(|latency| *latency <= served.allowed(NEIGHBOURS_WAIT_MAX)), "{latencies:?}");
}

#[test]
fn of_as_many_requests_as_may_wait() {
    let (served, latencies) = greedy(16);
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
    assert!(latencies.iter().all(|latency| *latency <= served.allowed(NEIGHBOURS_WAIT_MAX)), "{latencies:?}");
}
