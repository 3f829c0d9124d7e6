//! When to PING a silent peer and when to give it up. Synchronous: the connection's task brings the clock.

use std::time::Duration;

use tokio::time::Instant;

use super::HeartbeatConfig;

/// The liveness of one peer.
///
/// Every byte from the peer counts as a sign of life. While we do not read, the peer's silence is ours: the clock stands still.
#[derive(Debug)]
pub(super) struct Heartbeat {
    config: Option<HeartbeatConfig>,
    /// When our next PING is due, if it stays silent.
    ping_due: Option<Instant>,
    unanswered: u32,
    /// When the promise of the peer's last PING runs out; any further byte fulfils it.
    expiry: Option<Instant>,
    suspended: Option<Instant>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a PING.
    Ping,
    /// The peer answered none of our PINGs.
    Missed,
    /// The peer broke the promise of its own PING.
    Expired,
}

impl Heartbeat {
    /// `config` is `None` for peers that know no PING.
    pub(super) fn new(config: Option<HeartbeatConfig>, now: Instant) -> Self {
        let ping_due = config.map(|config| now + config.interval);
        Self { config, ping_due, unanswered: 0, expiry: None, suspended: None }
    }

    /// Bytes came.
    pub(super) fn on_input(&mut self, now: Instant) {
        self.unanswered = 0;
        self.expiry = None;
        self.ping_due = self.config.map(|config| now + config.interval);
    }

    /// A PING came: the peer promises to be heard of within `ttl`.
    pub(super) fn on_ping(&mut self, ttl: Option<Duration>, now: Instant) {
        self.expiry = ttl.map(|ttl| now + ttl);
    }

    /// We stop reading.
    pub(super) fn suspend(&mut self, now: Instant) {
        self.suspended.get_or_insert(now);
    }

    /// We read again: every deadline moves by the time we were deaf.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(since) = self.suspended.take() {
            let deaf = now.saturating_duration_since(since);
            self.ping_due = self.ping_due.map(|due| due + deaf);
            self.expiry = self.expiry.map(|expiry| expiry + deaf);
        }
    }

    /// When [`on_timer`](Self::on_timer) has something to say at the earliest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.suspended {
            Some(_) => None,
            None => [self.ping_due, self.expiry].into_iter().flatten().min(),
        }
    }

    pub(super) fn on_timer(&mut self, now: Instant) -> Due {
        if self.suspended.is_some() {
            return Due::Nothing;
        }
        if self.expiry.is_some_and(|expiry| expiry <= now) {
            return Due::Expired;
        }
        let (Some(config), Some(due)) = (self.config, self.ping_due) else { return Due::Nothing };
        if due > now {
            return Due::Nothing;
        }
        if self.unanswered >= config.missed_max {
            return Due::Missed;
        }
        self.unanswered += 1;
        self.ping_due = Some(now + config.interval);
        Due::Ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const CONFIG: HeartbeatConfig = HeartbeatConfig { interval: Duration::from_secs(10), missed_max: 3 };

    #[test]
    fn a_silent_peer_gets_three_pings_and_is_given_up_after_the_fourth_interval() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(CONFIG), start);
        let due = |heartbeat: &mut Heartbeat, seconds| heartbeat.on_timer(start + SECOND * seconds);
        assert_eq!(due(&mut heartbeat, 9), Due::Nothing);
        for seconds in [10, 20, 30] {
            assert_eq!(due(&mut heartbeat, seconds), Due::Ping);
            assert_eq!(due(&mut heartbeat, seconds + 1), Due::Nothing);
        }
        assert_eq!(due(&mut heartbeat, 40), Due::Missed);
    }

    #[test]
    fn any_input_starts_over() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(CONFIG), start);
        assert_eq!(heartbeat.on_timer(start + SECOND * 10), Due::Ping);
        heartbeat.on_input(start + SECOND * 11);
        assert_eq!(heartbeat.deadline(), Some(start + SECOND * 21));
        assert_eq!(heartbeat.on_timer(start + SECOND * 20), Due::Nothing);
    }

    #[test]
    fn the_promise_of_a_ping_is_kept_by_any_input_and_broken_by_silence() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(None, start);
        assert_eq!(heartbeat.deadline(), None);
        heartbeat.on_ping(Some(SECOND * 5), start);
        assert_eq!(heartbeat.on_timer(start + SECOND * 4), Due::Nothing);
        heartbeat.on_input(start + SECOND * 4);
        assert_eq!(heartbeat.on_timer(start + SECOND * 60), Due::Nothing);
        heartbeat.on_ping(Some(SECOND * 5), start + SECOND * 60);
        assert_eq!(heartbeat.on_timer(start + SECOND * 65), Due::Expired);
    }

    #[test]
    fn while_we_do_not_read_silence_proves_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(Some(CONFIG), start);
        heartbeat.on_ping(Some(SECOND * 5), start);
        heartbeat.suspend(start + SECOND);
        assert_eq!(heartbeat.deadline(), None);
        assert_eq!(heartbeat.on_timer(start + SECOND * 100), Due::Nothing);
        heartbeat.resume(start + SECOND * 101);
        assert_eq!(heartbeat.deadline(), Some(start + SECOND * 105));
        assert_eq!(heartbeat.on_timer(start + SECOND * 105), Due::Expired);
    }
}
