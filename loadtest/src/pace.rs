//! Open-loop pacing: when each message is *meant* to leave, whatever happened to the ones before it.
//!
//! A sender that falls behind does not stretch the schedule; it sends what is due in one go and the wait shows up in
//! the latency of exactly those messages (no coordinated omission).

use std::time::Duration;

/// A schedule of equal gaps that starts at zero. Synchronous: it is told the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    per_second: u64,
    total: u64,
}

impl Pace {
    /// `per_second` messages for `length`.
    pub(crate) fn new(per_second: u64, length: Duration) -> Self {
        let total = u128::from(per_second) * length.as_nanos() / 1_000_000_000;
        Self { per_second: per_second.max(1), total: u64::try_from(total).unwrap_or(u64::MAX) }
    }

    /// How many messages the whole schedule has.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// How many messages should have left by `elapsed`.
    pub(crate) fn due(&self, elapsed: Duration) -> u64 {
        let due = elapsed.as_nanos() * u128::from(self.per_second) / 1_000_000_000 + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }

    /// When message `index` is meant to leave, in nanoseconds from the start.
    pub(crate) fn intended_nanos(&self, index: u64) -> u64 {
        u64::try_from(u128::from(index) * 1_000_000_000 / u128::from(self.per_second)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_sender_finds_everything_due_with_its_original_times() {
        let pace = Pace::new(1_000, Duration::from_secs(2));
        assert_eq!(pace.total(), 2_000);
        assert_eq!(pace.due(Duration::ZERO), 1);
        assert_eq!(pace.due(Duration::from_millis(10)), 11);
        assert_eq!(pace.due(Duration::from_secs(99)), 2_000);
        assert_eq!(pace.intended_nanos(10), 10_000_000);
    }

    #[test]
    fn no_message_is_due_before_its_time() {
        let pace = Pace::new(200_000, Duration::from_secs(1));
        for index in 1..1_000 {
            let before = Duration::from_nanos(pace.intended_nanos(index) - 1);
            assert!(pace.due(before) <= index, "message {index} was due early");
        }
    }
}
