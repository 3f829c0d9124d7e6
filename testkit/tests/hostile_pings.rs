//! A peer that sends PING every 200 ms keeps its connection and has each answered, at any type of socket (D4).

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn ping_every_200_ms_at_every_place() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::pings(&arena, Duration::from_millis(200), Duration::from_secs(2)));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}
