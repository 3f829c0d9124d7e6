//! A clock that stands still while the whole run does: whoever stops the load and the sidecar together (SIGSTOP) stops their patience too.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the clock is told that the process runs.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// A tick that comes later than this was a pause, and not a busy machine.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// For so long after a pause, what looks like a failure may be its echo: handshakes and timeouts that it cut.
const DOUBT: Duration = Duration::from_secs(15);

/// The clock; [`Awake::tick`] drives it.
#[derive(Debug)]
pub(crate) struct Awake {
    born: Instant,
    /// Since `born`, in milliseconds: when the last tick was.
    ticked_ms: AtomicU64,
    /// Time of all pauses.
    asleep_ms: AtomicU64,
    pauses: AtomicU32,
    /// Awake time at the end of the last pause, in milliseconds; the maximum when there was none.
    woke_ms: AtomicU64,
}

impl Awake {
    pub(crate) fn new(now: Instant) -> Self {
        let zero = || AtomicU64::new(0);
        Self { born: now, ticked_ms: zero(), asleep_ms: zero(), pauses: AtomicU32::new(0), woke_ms: AtomicU64::new(u64::MAX) }
    }

    /// Says that the process runs; to be called every [`TICK`].
    pub(crate) fn tick(&self, now: Instant) {
        let now_ms = self.since_birth_ms(now);
        let gap = now_ms.saturating_sub(self.ticked_ms.swap(now_ms, Ordering::Relaxed));
        if Duration::from_millis(gap) >= PAUSE_MIN {
            self.asleep_ms.fetch_add(gap, Ordering::Relaxed);
            self.pauses.fetch_add(1, Ordering::Relaxed);
            self.woke_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// How long the process has run, pauses not counted; as of the last tick.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms())
    }

    /// Whether a failure at `now` may come from a pause, noticed already or not.
    pub(crate) fn in_doubt(&self, now: Instant) -> bool {
        let woke = self.woke_ms.load(Ordering::Relaxed);
        self.is_waking(now) || (woke != u64::MAX && Duration::from_millis(self.now_ms().saturating_sub(woke)) < DOUBT)
    }

    /// Whether a pause may just have ended that no tick has noticed yet.
    pub(crate) fn is_waking(&self, now: Instant) -> bool {
        let unnoticed = self.since_birth_ms(now).saturating_sub(self.ticked_ms.load(Ordering::Relaxed));
        Duration::from_millis(unnoticed) >= PAUSE_MIN / 2
    }

    /// How many pauses there were, and how long they were together.
    pub(crate) fn pauses(&self) -> (u32, Duration) {
        (self.pauses.load(Ordering::Relaxed), Duration::from_millis(self.asleep_ms.load(Ordering::Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        self.ticked_ms.load(Ordering::Relaxed).saturating_sub(self.asleep_ms.load(Ordering::Relaxed))
    }

    fn since_birth_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_takes_no_time_and_leaves_doubt_for_a_while() {
        let born = Instant::now();
        let awake = Awake::new(born);
        let at = |ms: u64| born + Duration::from_millis(ms);
        awake.tick(at(100));
        assert_eq!(awake.now(), Duration::from_millis(100));
        assert!(!awake.in_doubt(at(150)));
        assert!(awake.in_doubt(at(90_050)), "nobody has noticed the pause yet");
        awake.tick(at(90_100));
        assert_eq!(awake.now(), Duration::from_millis(100));
        assert_eq!(awake.pauses(), (1, Duration::from_secs(90)));
        assert!(awake.in_doubt(at(90_150)));
        for tick in 1..=160 {
            awake.tick(at(90_100 + tick * 100));
        }
        assert_eq!(awake.now(), Duration::from_millis(16_100));
        assert!(!awake.in_doubt(at(106_150)));
    }
}
