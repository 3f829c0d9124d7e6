//! Waiting for states.

use std::time::{Duration, Instant};

/// How long a test waits for a state that must come: 15 s, far above what a loaded machine of two cores needs.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Pause between two looks at a state.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks at a state until it is `Some`, and returns it.
///
/// # Panics
/// When `deadline` has passed, naming `what`.
#[track_caller]
pub fn eventually<T>(what: &str, deadline: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(begin.elapsed() < deadline, "{what}: not within {deadline:?}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Looks at a state for the whole of `span`, for promises that something does *not* happen.
///
/// # Panics
/// As soon as the state does not hold, naming `what`.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        assert!(holds(), "{what}: no longer true after {:?}", begin.elapsed());
        std::thread::sleep(LOOK_AGAIN);
    }
}
