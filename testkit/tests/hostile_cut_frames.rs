//! A frame that is cut off is never delivered, at any type of socket, and its sender's end is noticed at once (D5).

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn truncated_frames_and_handshakes() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::cut_frames(&arena));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}
