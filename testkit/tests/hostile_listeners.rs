//! Agents that bind and answer the sidecar's connection with anything but ZeroMQ lose that connection; it comes back, and finds them when they
//! behave (D1 and D5 where we connect).

use myelin_testkit::Sidecar;
use myelin_testkit::hostile::{Arena, Listeners};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

#[test]
fn listeners_that_answer_with_something_else() {
    let listeners = Listeners::bind();
    let arena = Arena::with(Sidecar::builder().routes(&listeners.toml()));
    let served = arena.served_while(|| listeners.misbehave(&arena, 3));
    served.check(NEIGHBOURS_WAIT_MAX, 8 << 20);
    served.check_no_strangers();
}
