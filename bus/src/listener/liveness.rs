//! When a silent client is asked, and when it is given up. Takes the time as an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The silence of one client.
#[derive(Debug)]
pub(super) struct Liveness {
    interval: Duration,
    missed_max: u32,
    heard: Instant,
    asked: u32,
}

/// What to do at a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing before this time.
    Later(Instant),
    /// Ask now, and check again at this time.
    Ask(Instant),
    /// The client is gone.
    Stale,
}

impl Liveness {
    pub(super) fn new(interval: Duration, missed_max: u32, now: Instant) -> Self {
        Self { interval, missed_max, heard: now, asked: 0 }
    }

    /// Anything a client sends shows that it is there.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = 0;
    }

    pub(super) fn check(&mut self, now: Instant) -> Check {
        let due = self.heard + self.interval * (self.asked + 1);
        if now < due {
            return Check::Later(due);
        }
        if self.asked == self.missed_max {
            return Check::Stale;
        }
        self.asked += 1;
        Check::Ask(due + self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(120);

    #[test]
    fn a_client_is_asked_twice_and_given_up_at_the_third_interval() {
        let start = Instant::now();
        let mut liveness = Liveness::new(INTERVAL, 2, start);
        assert_eq!(liveness.check(start), Check::Later(start + INTERVAL));
        assert_eq!(liveness.check(start + INTERVAL), Check::Ask(start + INTERVAL * 2));
        assert_eq!(liveness.check(start + INTERVAL * 2), Check::Ask(start + INTERVAL * 3));
        assert_eq!(liveness.check(start + INTERVAL * 3), Check::Stale);
    }

    #[test]
    fn whatever_a_client_sends_starts_the_count_again() {
        let start = Instant::now();
        let mut liveness = Liveness::new(INTERVAL, 2, start);
        assert_eq!(liveness.check(start + INTERVAL), Check::Ask(start + INTERVAL * 2));
        let heard = start + INTERVAL * 3 / 2;
        liveness.hear(heard);
        assert_eq!(liveness.check(start + INTERVAL * 2), Check::Later(heard + INTERVAL));
        assert_eq!(liveness.check(heard + INTERVAL), Check::Ask(heard + INTERVAL * 2));
    }
}
