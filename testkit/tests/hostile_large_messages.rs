//! Messages of 1 MiB to peers that do not read are bounded by their bytes, not by their count (D7).

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn one_mebibyte_each_to_stalled_peers() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::large_messages(&arena, 64, Duration::from_secs(3)));
    // SUB, PULL, REP and DEALER: a queue of 8 MiB each, twice where a route's own queue is behind it, and a message under way. A durable pipeline has
    // less in its hands: 1 MiB for its consumer, 2 MiB on the way to the disk.
    served.check(NEIGHBOURS_WAIT_MAX, 96 << 20);
}
