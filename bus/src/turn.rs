//! How long a task may publish before it lets the others of its thread run: those that it has woken wait for it.
//!
//! Counted per thread and not by tokio's budget of a task, which is 128. A worker that has run out of tasks, and finds that one has only yielded,
//! wakes another worker before it goes on: a system call of about 4 µs, and a second one to sleep again. After every 128 messages that was a
//! seventh of a publisher's time.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Messages published one by one, each once per receiver: below 100 µs of work.
const TURN_MESSAGES: usize = 768;

/// A message of a batch is less work.
const OF_A_BATCH: usize = 8;

/// A publisher that takes its time between messages has a turn of this long: who waits for it does not wait for 768 slow messages.
const TURN_TIME: Duration = Duration::from_micros(150);

/// The clock is looked at once in so many messages: a look costs as much as a tenth of a message.
const LOOK_MESSAGES: usize = 32;

thread_local! {
    static PUBLISHED: Cell<usize> = const { Cell::new(0) };
    /// How many messages make the next look, and when the first one was.
    static LOOK: Cell<(usize, Option<Instant>)> = const { Cell::new((LOOK_MESSAGES, None)) };
}

/// Counts work of this thread: a batch that was handed to so many receivers.
pub(crate) fn count(messages: usize, receivers: usize) {
    // A message that nobody gets is work as well.
    let work = messages.div_ceil(OF_A_BATCH).saturating_mul(receivers.max(1));
    PUBLISHED.set(PUBLISHED.get().saturating_add(work));
}

/// Whether it is time to yield; if so, the next turn begins.
pub(crate) fn is_over() -> bool {
    let published = PUBLISHED.get();
    let over = published >= TURN_MESSAGES || is_long(published);
    if over {
        PUBLISHED.set(0);
        LOOK.set((LOOK_MESSAGES, None));
    }
    over
}

fn is_long(published: usize) -> bool {
    let (next, since) = LOOK.get();
    if published < next {
        return false;
    }
    let now = Instant::now();
    LOOK.set((published + LOOK_MESSAGES, since.or(Some(now))));
    since.is_some_and(|since| now.duration_since(since) >= TURN_TIME)
}
