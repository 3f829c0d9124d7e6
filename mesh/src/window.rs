//! Sliding windows: the latest entries of a list, bounded by count and by age.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ttl::whole_millis;
use crate::{Key, Value, limits};

/// A window of a namespace, and how far back it goes.
///
/// Each append trims the window by both bounds in the same atomic step; each read leaves out what is past them. A window that nobody appends to
/// for its age is gone. Whoever uses a window states its bounds: an append trims by its own, and a read shows no more than its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    key: Key,
    options: WindowOptions,
}

/// How far back a window goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowOptions {
    /// Most entries; default 100, at least 1, at most 10,000.
    pub entries_max: u32,
    /// Oldest age of an entry, by the clock of the store; default 1 h, 1 ms to 100 years, whole milliseconds.
    pub age_max: Duration,
}

/// Where an entry stands in its window. Later entries of one window have greater positions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub(crate) time_ms: u64,
    pub(crate) sequence: u64,
}

/// One entry of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WindowEntry {
    /// Its place, to go on from.
    pub position: Position,
    /// What was appended.
    pub value: Value,
}

/// Which entries of a window are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent(pub(crate) Range);

/// The ways to ask. `limit` is at least 1 and at most [`limits::RECENT_ENTRIES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// The newest.
    Last { limit: usize },
    /// The oldest of those from this time (milliseconds since 1970, by the store's clock) on.
    Since { time_ms: u64, limit: usize },
    /// The oldest of those behind this place.
    After { position: Position, limit: usize },
}

/// Entries of a window, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WindowPage {
    /// Oldest first, also when the newest were asked for.
    pub entries: Vec<WindowEntry>,
    /// There are more that were asked for. Of the newest, the older ones did not fit into one answer (4 MiB as stored, 16 MiB decoded). Of those
    /// since a time or behind a place, the newer ones are missing, for that reason or because of the limit; they come when asked for after the
    /// last of these.
    pub more: bool,
}

/// A text is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position is two numbers with a hyphen between them")]
pub struct PositionParseError;

impl Window {
    /// A window with the default bounds: 100 entries, 1 h.
    pub fn new(key: Key) -> Self {
        Self { key, options: WindowOptions::default() }
    }

    /// At most so many entries: at least 1, at most 10,000; what is outside is taken as the nearest.
    #[must_use]
    pub fn entries_max(mut self, entries: u32) -> Self {
        self.options.entries_max = entries.clamp(1, limits::WINDOW_ENTRIES_CEILING);
        self
    }

    /// No entry older than this: 1 ms to 100 years; what is outside is taken as the nearest, a part of a millisecond as a whole one.
    #[must_use]
    pub fn age_max(mut self, age: Duration) -> Self {
        self.options.age_max = whole_millis(age);
        self
    }

    /// Its name.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Its bounds.
    pub fn options(&self) -> WindowOptions {
        self.options
    }
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self { entries_max: limits::WINDOW_ENTRIES_DEFAULT, age_max: limits::WINDOW_AGE_DEFAULT }
    }
}

impl Recent {
    /// The newest, at most so many (1 to 1,024; what is outside is taken as the nearest).
    pub fn last(entries: usize) -> Self {
        Self(Range::Last { limit: within(entries) })
    }

    /// Those appended at this time or later, by the clock of the store; the oldest of them first.
    pub fn since(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = u64::try_from(whole_up(since_epoch)).unwrap_or(u64::MAX);
        Self(Range::Since { time_ms, limit: limits::RECENT_ENTRIES_MAX })
    }

    /// Those behind a place; the oldest of them first. This is how a reader goes on without reading anything twice. The entry at the place need
    /// not exist any more.
    pub fn after(position: Position) -> Self {
        Self(Range::After { position, limit: limits::RECENT_ENTRIES_MAX })
    }

    /// At most so many of them (1 to 1,024; what is outside is taken as the nearest).
    #[must_use]
    pub fn limit(self, entries: usize) -> Self {
        let limit = within(entries);
        Self(match self.0 {
            Range::Last { .. } => Range::Last { limit },
            Range::Since { time_ms, .. } => Range::Since { time_ms, limit },
            Range::After { position, .. } => Range::After { position, limit },
        })
    }
}

fn within(entries: usize) -> usize {
    entries.clamp(1, limits::RECENT_ENTRIES_MAX)
}

/// Milliseconds, rounded up: an entry that was appended in the millisecond before has to stay out.
fn whole_up(duration: Duration) -> u128 {
    duration.as_nanos().div_ceil(1_000_000)
}

impl Position {
    /// Before every entry.
    pub const START: Self = Self { time_ms: 0, sequence: 0 };

    /// Behind every entry.
    pub(crate) const END: Self = Self { time_ms: u64::MAX, sequence: u64::MAX };

    /// The first place that is greater.
    pub(crate) fn next(self) -> Self {
        match self.sequence.checked_add(1) {
            Some(sequence) => Self { sequence, ..self },
            None => Self { time_ms: self.time_ms.saturating_add(1), sequence: 0 },
        }
    }

    /// When the entry was appended, by the clock of the store.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.time_ms)
    }
}

impl WindowEntry {
    /// When it was appended, by the clock of the store.
    pub fn time(&self) -> SystemTime {
        self.position.time()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time_ms, self.sequence)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Position {
    type Err = PositionParseError;

    fn from_str(text: &str) -> Result<Self, PositionParseError> {
        let number = |text: &str| match text.as_bytes() {
            [b'0'..=b'9', ..] => text.parse().map_err(|_| PositionParseError),
            _ => Err(PositionParseError),
        };
        let (time, sequence) = text.split_once('-').ok_or(PositionParseError)?;
        Ok(Self { time_ms: number(time)?, sequence: number(sequence)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_within_the_limits() {
        let window = Window::new(Key::new("w").unwrap()).entries_max(0).age_max(Duration::ZERO);
        assert_eq!(window.options(), WindowOptions { entries_max: 1, age_max: Duration::from_millis(1) });
        assert_eq!(window.entries_max(u32::MAX).options().entries_max, 10_000);
        assert_eq!(Recent::last(0), Recent::last(1));
        assert_eq!(Recent::last(usize::MAX), Recent::last(1024));
        assert_eq!(Recent::after(Position::START).limit(5), Recent(Range::After { position: Position::START, limit: 5 }));
    }

    #[test]
    fn a_time_within_a_millisecond_leaves_that_millisecond_out() {
        let since = |time| Recent::since(time).0;
        let limit = limits::RECENT_ENTRIES_MAX;
        assert_eq!(since(UNIX_EPOCH + Duration::from_millis(7)), Range::Since { time_ms: 7, limit });
        assert_eq!(since(UNIX_EPOCH + Duration::from_micros(7001)), Range::Since { time_ms: 8, limit });
        assert_eq!(since(UNIX_EPOCH - Duration::from_secs(1)), Range::Since { time_ms: 0, limit });
    }

    #[test]
    fn the_text_of_a_position_is_read_again() {
        let position = Position { time_ms: 1_700_000_000_000, sequence: 3 };
        assert_eq!(position.to_string(), "1700000000000-3");
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "1", "-1", "1-", "+1-2", "1-2-3", "1- 2", "99999999999999999999-1"] {
            assert_eq!(text.parse::<Position>(), Err(PositionParseError), "{text:?}");
        }
    }
}
