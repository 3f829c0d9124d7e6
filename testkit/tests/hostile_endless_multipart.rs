//! A message without a last frame ends at the bounds of a message: 1,024 frames, 8 MiB.

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn never_ending_multipart() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::endless_messages(&arena));
    // Two places at once, while the one before is still being torn down: 8 MiB and a read buffer that grew to it, each.
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
    served.check_no_strangers();
}

#[test]
fn messages_that_lack_their_last_byte() {
    let arena = Arena::open();
    let mut closed = 0;
    let peers = arena.every_place().len();
    let served = arena.served_while(|| closed = hostile::unfinished_messages(&arena, peers, 4 << 20));
    assert_eq!(closed, 0, "44 MiB are within what all may leave incomplete");
    served.check(NEIGHBOURS_WAIT_MAX, (3 * 44) << 20);
}
