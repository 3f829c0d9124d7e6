//! A subscriber that does not read costs its queue; the one beside it gets every message of a paced flow (D3).

use myelin_testkit::hostile::{self, Arena, StalledSubscriber};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_stalled_sub_beside_a_healthy_one() {
    let arena = Arena::open();
    // More than the queue of a peer and the kernel's buffers hold.
    let plan = StalledSubscriber { rate: 2000, bytes: 8192, span: Duration::from_secs(2) };
    let served = arena.served_while(|| assert_eq!(hostile::stalled_subscriber(&arena, plan), 4000));
    served.check(NEIGHBOURS_WAIT_MAX, 24 << 20);
}
