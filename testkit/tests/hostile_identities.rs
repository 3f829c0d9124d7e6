//! Callers that announce one identity get their own replies or none, and odd identities harm nobody.

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn duplicate_identities() {
    let arena = Arena::open();
    let mut answered = 0;
    let served = arena.served_while(|| {
        answered = hostile::same_identity(&arena, 8, 5);
        hostile::odd_identities(&arena);
    });
    assert!(answered >= 5, "one of each round, at least: {answered}");
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
}
