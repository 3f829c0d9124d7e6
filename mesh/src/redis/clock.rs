//! What time it is at a node, without asking it each time.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer of the node counts. Clocks drift by far less than a millisecond in it; a clock that is set is noticed after it.
const FRESH: Duration = Duration::from_secs(10);

/// The clock of a node.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Sample>>);

#[derive(Debug, Clone, Copy)]
struct Sample {
    time_us: u64,
    /// When the question was sent: before the node read its clock. So the node's time is never estimated too early, and an entry is never taken to
    /// live longer than it does.
    asked: Instant,
}

impl Clock {
    /// What the node answered, in microseconds since 1970, to a question that was sent at `asked`.
    pub(super) fn learn(&self, time_us: u64, asked: Instant) {
        *self.0.lock() = Some(Sample { time_us, asked });
    }

    /// Milliseconds since 1970 at the node; `None`: it has to be asked.
    pub(super) fn now(&self, now: Instant) -> Option<u64> {
        let sample = (*self.0.lock())?;
        let passed = now.saturating_duration_since(sample.asked);
        // Rounded once, at the end: milliseconds that are rounded twice are one too early now and then.
        (passed < FRESH).then(|| (sample.time_us + u64::try_from(passed.as_micros()).unwrap_or(u64::MAX / 2)) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_at_the_node_as_it_does_here_until_it_has_to_be_asked_again() {
        let clock = Clock::default();
        assert_eq!(clock.now(Instant::now()), None);
        clock.learn(1_000_900, Instant::now());
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.now(Instant::now()), Some(1_250));
        tokio::time::advance(Duration::from_micros(100)).await;
        assert_eq!(clock.now(Instant::now()), Some(1_251), "it was a tenth of a millisecond before the next one when it was asked");
        tokio::time::advance(FRESH).await;
        assert_eq!(clock.now(Instant::now()), None);
    }
}
