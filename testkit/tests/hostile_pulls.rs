//! A consumer that does not answer as it should costs a durable pipeline nothing that was accepted, nobody else's time, and no more memory than a
//! consumer may have.

use myelin_testkit::Sidecar;
use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Consumers that vanish use up deliveries, which is not what is judged here.
const MANY_DELIVERIES: &str = "deliveries_max = 1000\n";

#[test]
fn that_never_answers_a_ping() {
    let arena = Arena::open();
    let mut taken = u64::MAX;
    let served = arena.served_while(|| taken = hostile::mute_consumer(&arena, 500, Duration::from_secs(1)));
    assert_eq!(taken, 0, "it is asked for five seconds, and gets nothing before it has answered");
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}

#[test]
fn that_is_given_up_and_served_at_most_once() {
    let arena = Arena::with(Sidecar::builder().section("limits", "handshake = \"500ms\""));
    let mut taken = 0;
    let served = arena.served_while(|| taken = hostile::mute_consumer(&arena, 500, Duration::from_secs(2)));
    assert!(taken > 0, "it gets its share in the end");
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}

#[test]
fn that_answers_once_and_never_again() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::hung_consumer(&arena, 500, Duration::from_secs(1)));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}

#[test]
fn that_answers_before_it_has_read() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::early_pongs(&arena, 1000, 64 << 10, Duration::from_secs(2)));
    // Of 64 MB: 1 MiB that waits for it, 2 MiB on the way to the disk, what was stored last, buffers.
    served.check(NEIGHBOURS_WAIT_MAX, 24 << 20);
}

#[test]
fn that_answers_what_nobody_asked() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::foreign_pongs(&arena, 500, Duration::from_secs(1)));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}

#[test]
fn that_vanishes_before_it_answers_two_hundred_times() {
    let arena = Arena::with_jobs(Sidecar::builder(), MANY_DELIVERIES);
    let served = arena.served_while(|| hostile::vanishing_consumers(&arena, 200));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}
