//! What of polls is configured, and the times that follow from the one bound.

use std::time::Duration;

use super::masks::Masks;
use super::pattern::PollPattern;

/// How old an answer may be unless configured otherwise: agents' own pollers give up after five seconds.
pub const BOUND_DEFAULT: Duration = Duration::from_secs(5);

/// Shorter than that, and an agent that sleeps 0.1 s after each request would do little but answer checks.
pub const BOUND_MIN: Duration = Duration::from_secs(1);

/// Longer than that, and nobody would call it health.
pub const BOUND_MAX: Duration = Duration::from_secs(60);

/// Largest request that may be a poll: 1 KiB, fifty times the usual one.
pub(super) const POLL_BYTES_MAX: usize = 1024;

/// Largest answer that is kept: 64 KiB, a hundred times the usual one.
pub(super) const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// How polls are dealt with.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthConfig {
    /// How old what is answered here may be, from the moment its agent was asked; default [`BOUND_DEFAULT`], taken as [`BOUND_MIN`] to [`BOUND_MAX`].
    pub bound: Duration,
    /// Which requests are polls.
    pub polls: Vec<PollPattern>,
    /// What of two answers may differ.
    pub masks: Masks,
}

impl Default for HealthConfig {
    fn default() -> Self {
        let polls = ["action=ping", "action=health", "action=health_check"];
        Self {
            bound: BOUND_DEFAULT,
            polls: polls.into_iter().map(|text| text.parse().expect("a valid constant")).collect(),
            masks: Masks::default(),
        }
    }
}

/// The times of one bound.
///
/// An answer is at most `silent + renew` old when its lease is renewed next, which leaves a tenth of the bound or more for the network and for
/// busy machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// How old an answer may be.
    pub(super) bound: Duration,
    /// How often a lease is renewed.
    pub(super) renew: Duration,
    /// How often an agent is asked by the sidecar beside it.
    pub(super) check: Duration,
    /// How long an agent's last answer counts; by then the next one has to be here.
    pub(super) silent: Duration,
}

impl Timing {
    pub(super) fn new(bound: Duration) -> Self {
        let bound = bound.clamp(BOUND_MIN, BOUND_MAX);
        Self { bound, renew: (bound * 2 / 5).min(Duration::from_secs(2)), check: bound * 3 / 10, silent: bound / 2 }
    }

    /// After so long without a word, the other side of a lease is gone.
    pub(super) fn forgotten(&self) -> Duration {
        self.bound * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_bound_there_is_room_between_the_last_answer_and_it() {
        for bound in [Duration::ZERO, BOUND_MIN, BOUND_DEFAULT, BOUND_MAX, BOUND_MAX * 2] {
            let timing = Timing::new(bound);
            assert!(timing.check < timing.silent, "{timing:?}");
            assert!(timing.silent + timing.renew <= timing.bound * 9 / 10, "{timing:?}");
        }
    }
}
