//! `[health]`, and the thinning of a topic.

use std::time::Duration;

use myelin_bridge_zmq::health::{HealthConfig, Masks, PollPattern};

use super::settings::Settings;

pub(super) const POLLS_EXPECTED: &str = "a list of polls, such as [\"action=ping\"] for JSON objects with that member, or ['\"ping\"'], with quotes of its own, for exactly that text";
pub(super) const MEMBERS_EXPECTED: &str = "a list of names of JSON members, such as [\"timestamp\"]";
pub(super) const TOLERANCES_EXPECTED: &str = "a list of names of JSON members with a number above zero, such as [\"cpu_percent=5\"]";

/// Longest name of a member.
const MEMBER_BYTES_MAX: usize = 255;

/// What of health polls is configured.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// Whether polls of agents of other machines are answered here.
    pub(crate) enabled: bool,
    /// How.
    pub(crate) config: HealthConfig,
}

/// What of a topic's messages need not be passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Thinning {
    /// Those that say what was said before.
    pub(crate) on_change: bool,
    /// One of these all the same, when the last that was passed on is so old.
    pub(crate) at_most_every: Option<Duration>,
}

impl Health {
    pub(super) fn new(settings: &Settings) -> Self {
        let volatile = settings.texts("health.volatile");
        let tolerances = settings.texts("health.tolerance");
        let masks = Masks::new(volatile.iter().map(String::as_str), tolerances.iter().filter_map(|text| tolerance(text)));
        let polls = settings.texts("health.polls").iter().filter_map(|text| text.parse().ok()).collect();
        let config = HealthConfig { bound: settings.duration("health.bound"), polls, masks };
        Self { enabled: settings.bool("health.enabled"), config }
    }
}

pub(super) fn is_poll(text: &str) -> bool {
    text.parse::<PollPattern>().is_ok()
}

pub(super) fn is_member(text: &str) -> bool {
    !text.is_empty() && text.len() <= MEMBER_BYTES_MAX && !text.contains(char::is_control)
}

pub(super) fn is_tolerance(text: &str) -> bool {
    tolerance(text).is_some()
}

fn tolerance(text: &str) -> Option<(&str, f64)> {
    let (name, by) = text.rsplit_once('=')?;
    let by: f64 = by.trim().parse().ok()?;
    let name = name.trim();
    (is_member(name) && by.is_finite() && by > 0.0).then_some((name, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_bridge() {
        let health = Health::new(&Settings::defaults());
        assert!(health.enabled);
        assert_eq!(health.config, HealthConfig::default());
    }

    #[test]
    fn a_tolerance_is_a_name_and_a_number_above_zero() {
        assert_eq!(tolerance("cpu_percent = 2.5"), Some(("cpu_percent", 2.5)));
        assert_eq!(tolerance("a=b=1"), Some(("a=b", 1.0)));
        for wrong in ["", "a", "a=", "=1", "a=0", "a=-1", "a=nan", "a=inf"] {
            assert!(!is_tolerance(wrong), "{wrong}");
        }
    }
}
