//! How long an entry lives.

use std::time::Duration;

use crate::limits;

/// Time to live of an entry, counted from the write (or the touch) by the clock of the store.
///
/// The default is that of the [`Space`](crate::Space). Living for ever has to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ttl(Asked);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Asked {
    #[default]
    Default,
    Forever,
    After(Duration),
}

impl Ttl {
    /// What the space has for entries that name none.
    pub const DEFAULT: Self = Self(Asked::Default);
    /// Until somebody deletes it.
    pub const FOREVER: Self = Self(Asked::Forever);

    /// As long as this; less than 1 ms is taken as that, more than a hundred years as a hundred years, a part of a millisecond as a whole one.
    pub fn after(duration: Duration) -> Self {
        Self(Asked::After(whole_millis(duration)))
    }

    /// This, or a time for who names none.
    pub(crate) fn or(self, default: Duration) -> Self {
        match self.0 {
            Asked::Default => Self::after(default),
            Asked::Forever | Asked::After(_) => self,
        }
    }

    /// What the store is told: `None` is for ever.
    pub(crate) fn resolve(self, default: Self) -> Option<Duration> {
        match (self.0, default.0) {
            (Asked::After(duration), _) | (Asked::Default, Asked::After(duration)) => Some(duration),
            (Asked::Default, Asked::Default) => Some(limits::TTL_DEFAULT),
            (Asked::Forever, _) | (Asked::Default, Asked::Forever) => None,
        }
    }
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self::after(duration)
    }
}

/// Within the limits, and a whole number of milliseconds, which is what stores count.
pub(crate) fn whole_millis(duration: Duration) -> Duration {
    let duration = duration.clamp(limits::TTL_MIN, limits::TTL_MAX);
    match duration.subsec_nanos() % 1_000_000 {
        0 => duration,
        over => duration + Duration::from_nanos(u64::from(1_000_000 - over)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_whole_milliseconds_within_limits() {
        for (asked, given) in [
            (Duration::ZERO, Duration::from_millis(1)),
            (Duration::from_nanos(1), Duration::from_millis(1)),
            (Duration::from_micros(1500), Duration::from_millis(2)),
            (Duration::from_millis(7), Duration::from_millis(7)),
            (Duration::MAX, limits::TTL_MAX),
        ] {
            assert_eq!(Ttl::after(asked).resolve(Ttl::FOREVER), Some(given), "{asked:?}");
        }
    }

    #[test]
    fn for_ever_is_never_a_default_by_accident() {
        assert_eq!(Ttl::default().resolve(Ttl::default()), Some(limits::TTL_DEFAULT));
        assert_eq!(Ttl::default().resolve(Ttl::FOREVER), None);
        assert_eq!(Ttl::FOREVER.resolve(Ttl::DEFAULT), None);
        assert_eq!(Ttl::DEFAULT.or(Duration::from_secs(1)), Ttl::after(Duration::from_secs(1)));
        assert_eq!(Ttl::FOREVER.or(Duration::from_secs(1)), Ttl::FOREVER);
    }
}
