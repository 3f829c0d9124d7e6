//! A hundred thousand prefixes from one subscriber are bounded, and what it subscribed to first stays in effect.

use myelin_testkit::hostile::{self, Arena};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn subscription_floods() {
    let arena = Arena::open();
    let served = arena.served_while(|| hostile::subscriptions(&arena, 100_000));
    served.check(NEIGHBOURS_WAIT_MAX, 16 << 20);
    served.check_no_strangers();
}
