//! Waiting until messages flow from a publisher to a subscriber, without losing count of what follows.

use crate::wait::PATIENCE;
use crate::zmtp::Peer;
use std::time::{Duration, Instant};

/// Sends `probe` until it arrives, then reads the rest of the probes away.
///
/// Subscriptions of one connection take effect in the order they are sent: when a probe of the last one arrives,
/// all before it, and all cancellations, are in effect.
///
/// # Panics
/// When no probe arrives, or something else does.
#[track_caller]
pub fn open(publisher: &mut Peer, subscriber: &mut Peer, probe: &str) {
    let begin = Instant::now();
    let mut round = 0_u32;
    loop {
        let text = format!("{probe}{round}");
        publisher.send(&[&text]);
        // Whatever arrives belongs to an earlier round, or to this one: then all earlier ones have been read.
        while let Ok(frames) = subscriber.try_message(Duration::from_millis(20)) {
            let got = String::from_utf8_lossy(&frames[0]).into_owned();
            assert!(got.starts_with(probe), "{got:?} instead of a probe");
            if got == text {
                return;
            }
        }
        assert!(begin.elapsed() < PATIENCE, "no {probe:?} in {PATIENCE:?}");
        round += 1;
    }
}
