//! A caller that stops reading under many replies, and then vanishes, costs its queue and delays no other caller (D2).

use myelin_testkit::Sidecar;
use myelin_testkit::hostile::{self, Arena, RouterRoute};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn under_the_replies_of_a_rep() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::deaf_caller_of_rep(&arena, 30_000, Duration::from_secs(3)));
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
}

#[test]
fn under_the_replies_of_a_router() {
    let route = RouterRoute::new();
    let arena = Arena::with(Sidecar::builder().routes(&route.toml()));
    let mut slowest = Duration::MAX;
    let served = arena.served_while(|| slowest = hostile::deaf_caller_of_router(&route, 30_000, Duration::from_secs(2)));
    assert!(slowest <= served.allowed(NEIGHBOURS_WAIT_MAX), "another caller of the agent waited {slowest:?}");
    served.check(NEIGHBOURS_WAIT_MAX, 32 << 20);
}
