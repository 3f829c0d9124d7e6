//! HTTP, TLS, other mechanisms and random bytes end their own connection by their first bytes, not by a deadline.

use myelin_testkit::hostile::{self, Arena, Noise};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn http_tls_and_other_protocols() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::foreign_protocols(&arena));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}

#[test]
fn a_mechanism_that_is_announced_and_another_that_is_spoken() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::wrong_mechanisms(&arena));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}

#[test]
fn random_bytes() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::noise(&arena, Noise { connections: 20, seed: 0x6d79_656c_696e }));
    served.check(NEIGHBOURS_WAIT_MAX, 16 << 20);
}
