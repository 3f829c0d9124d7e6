//! Frame headers that declare 2^31 to 2^64 - 1 bytes cost their sender the connection, and nobody anything else (D1).

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn declared_lengths_before_and_after_the_handshake() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::declared_lengths(&arena));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}
