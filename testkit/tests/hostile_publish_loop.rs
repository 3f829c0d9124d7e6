//! Publishers that never pause starve nobody: other connections of the same route and of others are served meanwhile (D6).

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn a_tight_publish_loop() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::publish_loop(&arena, Duration::from_secs(2), 10_000));
    served.check(NEIGHBOURS_WAIT_MAX, 48 << 20);
    served.check_no_strangers();
}
