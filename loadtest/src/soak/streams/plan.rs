//! Which streams there are, what limits them, and how much disk that may take.

use std::time::Duration;

use myelin_bus::Bus;
use myelin_bus::streams::{ConsumerConfig, DEAD_LETTER_SUBJECTS, DEAD_LETTERS, Name, OnFull, Retention, StreamConfig};
use myelin_bus::wire::Filter;

use crate::failure::{Doing, Outcome};

const MIB: u64 = 1 << 20;
/// A record of the longest payload, with its subject and fields, and the headers of a dead letter.
const RECORD_BYTES_MAX: u64 = 4 << 10;
/// Space comes and goes in segments of at most this size: the oldest, of which one message may be left; the one that is written; the next one,
/// allocated ahead; and one whose removal is under way.
const SEGMENT_BYTES: u64 = 16 * MIB;
const SEGMENTS: u64 = 4;
/// Deliveries, acks and attempts lie between the messages they are about, in the same segments.
const BOOKKEEPING: f64 = 1.25;
/// The reserve of the store, and a mark and a description per stream.
const RESERVE_BYTES: u64 = 17 * MIB;

pub(super) const WORK: &str = "work";
/// Deliveries before a message that is given back each time becomes a dead letter.
const DELIVERIES_MAX: u32 = 3;

/// The streams of a run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) streams: Vec<StreamConfig>,
}

impl Default for Plan {
    fn default() -> Self {
        let limited = |name: &str, messages_max, bytes_max, age_max: Option<u64>| {
            let mut config = StreamConfig::new(name_of(name), vec![filter(&format!("soak.{name}"))]);
            (config.messages_max, config.bytes_max) = (messages_max, bytes_max);
            config.age_max = age_max.map(Duration::from_secs);
            config.on_full = OnFull::DropOldest;
            config
        };
        let mut work = limited(WORK, 5_000, 32 * MIB, None);
        (work.retention, work.on_full) = (Retention::WorkQueue, OnFull::Reject);
        let mut letters = limited(DEAD_LETTERS, 1_000, 32 * MIB, None);
        letters.subjects = vec![filter(DEAD_LETTER_SUBJECTS)];
        let streams = vec![
            limited("by-count", 5_000, 32 * MIB, None),
            limited("by-bytes", 1 << 20, 4 * MIB, None),
            limited("by-age", 1 << 20, 32 * MIB, Some(15)),
            work,
            letters,
        ];
        Self { streams }
    }
}

impl Plan {
    pub(super) async fn make(&self, bus: &Bus) -> Outcome<()> {
        for config in &self.streams {
            bus.ensure_stream(config).await.doing(|| format!("making the stream {}", config.name))?;
        }
        Ok(())
    }

    /// Streams that the load publishes into: all but the dead letters'.
    pub(super) fn published(&self) -> impl Iterator<Item = &Name> {
        self.streams.iter().map(|config| &config.name).filter(|name| name.as_str() != DEAD_LETTERS)
    }

    /// What the limits let the streams take on the disk, everything counted.
    pub(super) fn disk_bytes_max(&self) -> u64 {
        let stream = |config: &StreamConfig| {
            let live = config.bytes_max.min(config.messages_max.saturating_mul(RECORD_BYTES_MAX));
            (live as f64 * BOOKKEEPING) as u64 + SEGMENTS * SEGMENT_BYTES
        };
        self.streams.iter().map(stream).sum::<u64>() + RESERVE_BYTES
    }

    pub(super) fn consumer(stream: &Name) -> ConsumerConfig {
        let mut config = ConsumerConfig::new(name_of("soak"));
        config.deliveries_max = if stream.as_str() == WORK { DELIVERIES_MAX } else { 100 };
        config
    }
}

/// What becomes of a message of the work queue, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Acked,
    /// Given back once, acked then.
    AckedLater,
    /// Given back until it is a dead letter.
    GivenBack,
    /// Terminated.
    Terminated,
}

impl Fate {
    pub(super) fn of(number: u64) -> Self {
        if number % 97 == 5 {
            Self::GivenBack
        } else if number % 101 == 7 {
            Self::Terminated
        } else if number % 13 == 3 {
            Self::AckedLater
        } else {
            Self::Acked
        }
    }

    pub(super) fn is_death(self) -> bool {
        matches!(self, Self::GivenBack | Self::Terminated)
    }
}

fn name_of(text: &str) -> Name {
    Name::new(text).expect("a valid constant")
}

fn filter(text: &str) -> Filter {
    Filter::new(text).expect("a valid constant")
}
