//! Connections that never finish their handshake keep no healthy agent out: it connects in less than 100 ms.

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn three_hundred_half_open_connections() {
    let arena = Arena::open();
    let mut slowest = Duration::MAX;
    let served = arena.served_while(|| slowest = hostile::half_open(&arena, 300));
    assert!(slowest < served.allowed(Duration::from_millis(100)), "a healthy agent took {slowest:?} to connect");
    served.check(NEIGHBOURS_WAIT_MAX, 16 << 20);
}
