//! How long a task may publish before it lets the others of its thread run: those that it has woken wait for it.
//!
//! Counted per thread and not by tokio's budget of a task, which is 128. A worker that has run out of tasks, and finds that one has only yielded,
//! wakes another worker before it goes on: a system call of about 4 µs, and a second one to sleep again. After every 128 messages that was a
//! seventh of a publisher's time.

use std::cell::Cell;

/// Messages published one by one, each once per receiver: below 100 µs of work.
const TURN_MESSAGES: usize = 768;

/// A message of a batch is less work.
const OF_A_BATCH: usize = 8;

thread_local! {
    static PUBLISHED: Cell<usize> = const { Cell::new(0) };
}

/// Counts work of this thread: a batch that was handed to so many receivers.
pub(crate) fn count(messages: usize, receivers: usize) {
    // A message that nobody gets is work as well.
    let work = messages.div_ceil(OF_A_BATCH).saturating_mul(receivers.max(1));
    PUBLISHED.set(PUBLISHED.get().saturating_add(work));
}

/// Whether it is time to yield; if so, the next turn begins.
pub(crate) fn is_over() -> bool {
    let over = PUBLISHED.get() >= TURN_MESSAGES;
    if over {
        PUBLISHED.set(0);
    }
    over
}
