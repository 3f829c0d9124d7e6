//! Which messages have expired that become dead letters, found by reading what is stored once.
//!
//! The server keeps such messages for a grace beyond their time ([`GRACE`]), and has no list of them: whoever sweeps reads each message's header
//! on the way by, and remembers when it is due. Any number of processes may sweep the same stream; a letter is stored once, and a delete that
//! finds nothing is none.
//!
//! What the server tells of a consumer is how far it was given messages and up to where all of them are settled, not which ones between. Hence:
//! - what was never delivered is unread, and what a work queue still has is not settled;
//! - of what was delivered, the first message behind the ack floor is not settled, nor is one that a worker gave back. Others between wait for the
//!   floor to move, until half of the grace is over: then they are taken for not settled, for a letter too many is better than a message lost;
//! - what was delivered may be in a worker's hands until `ack_wait` after it expired.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::datetime::DateTime;
use futures_util::future::try_join_all;
use hashbrown::{HashMap, HashSet};
use myelin_store::{Attempt, ConsumerConfig, Name, Retention, Stored, StreamConfig, Unsettled};
use tokio::time::Instant;

use super::super::error::StreamError;
use super::settings::{GRACE, own_consumer, own_stream};
use super::{JetStream, attempts, info, manage, read};

/// Between two looks which streams there are. One that was made is swept from then on.
const LIST_INTERVAL: Duration = Duration::from_secs(5);

/// Every so many looks, those that were not swept are asked whether they want to be now: once a minute.
const LOOKS_OF_ALL: u64 = 12;

/// Messages that are remembered of a stream: those that expire first. The rest is read again when there is room for it.
const DUE_MAX: usize = 65_536;

/// Messages that are read in one round at most, and those that are judged.
const READ_MAX: usize = 16_384;
const JUDGED_MAX: usize = 1_024;

/// Until a message is looked at again of which it cannot be told whether it is settled.
const AGAIN: Duration = Duration::from_secs(1);

/// All that is swept.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    streams: HashMap<Name, Sweep>,
    listed: Option<Instant>,
    looks: u64,
    /// Streams that are not swept.
    others: HashSet<Name>,
}

/// One stream.
#[derive(Debug)]
struct Sweep {
    config: StreamConfig,
    /// Tells a stream from a later one of its name.
    made: DateTime,
    /// The next message to read.
    next: u64,
    /// When each is due, in milliseconds since 1970, and its sequence.
    due: BTreeSet<(u64, u64)>,
    /// The first message that was not remembered for want of room.
    passed_over: Option<u64>,
    /// What was handed out to become letters, as it is in `due`.
    moving: Vec<(u64, u64)>,
}

/// How far a consumer is.
struct Reader {
    config: ConsumerConfig,
    delivered: u64,
    floor: u64,
    /// The first message that it was given and has not settled.
    first_pending: Option<u64>,
}

/// What a message is to one consumer.
enum State {
    Settled,
    Unread,
    Given(Vec<Attempt>),
    Unknown,
}

/// What becomes of a message that is due.
enum Verdict {
    Move(Unsettled),
    Later { at_ms: u64 },
}

impl JetStream {
    /// Streams whose expired messages become dead letters.
    pub(crate) async fn swept(&self) -> Result<Vec<StreamConfig>, StreamError> {
        let mut sweeps = self.0.sweeps.lock().await;
        if sweeps.listed.is_none_or(|listed| listed.elapsed() >= LIST_INTERVAL) {
            sweeps.list(self).await?;
            sweeps.listed = Some(Instant::now());
        }
        Ok(sweeps.streams.values().map(|sweep| sweep.config.clone()).collect())
    }

    /// Messages that expired and that no worker has.
    pub(crate) async fn expired(&self, stream: &Name, max: usize) -> Result<Vec<Unsettled>, StreamError> {
        let mut sweeps = self.0.sweeps.lock().await;
        let Some(sweep) = sweeps.streams.get_mut(stream) else { return Ok(Vec::new()) };
        sweep.read(self).await?;
        sweep.moving.clear();
        let now_ms = Attempt::now_ms();
        let due: Vec<(u64, u64)> = sweep.due.range(..=(now_ms, u64::MAX)).take(JUDGED_MAX).copied().collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let readers = readers(self, stream).await?;
        let mut found = Vec::new();
        for entry @ (_, sequence) in due {
            let Some(stored) = read::get(self, stream, sequence).await? else {
                // Settled by everybody, or deleted.
                sweep.due.remove(&entry);
                continue;
            };
            match judge(self, &sweep.config, &readers, &stored, now_ms).await? {
                Verdict::Move(unsettled) => {
                    sweep.moving.push(entry);
                    found.push(unsettled);
                }
                Verdict::Later { at_ms } => {
                    sweep.due.remove(&entry);
                    sweep.due.insert((at_ms, sequence));
                }
            }
            if found.len() >= max {
                break;
            }
        }
        Ok(found)
    }

    /// Lets go of messages that became letters, or that nobody wanted.
    pub(crate) async fn expire(&self, stream: &Name, sequences: &[u64]) -> Result<(), StreamError> {
        let mut sweeps = self.0.sweeps.lock().await;
        try_join_all(sequences.iter().map(|sequence| manage::remove(self, stream, *sequence))).await?;
        if let Some(sweep) = sweeps.streams.get_mut(stream) {
            for entry in std::mem::take(&mut sweep.moving) {
                if sequences.contains(&entry.1) {
                    sweep.due.remove(&entry);
                }
            }
        }
        Ok(())
    }
}

impl Sweeps {
    /// Learns which streams there are.
    async fn list(&mut self, engine: &JetStream) -> Result<(), StreamError> {
        let mut names = info::names(engine).await?;
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_OF_ALL) {
            self.others.clear();
        }
        self.others.retain(|name| names.contains(name));
        self.streams.retain(|name, _| names.contains(name));
        names.retain(|name| !self.others.contains(name));
        for name in names {
            let Ok(info) = info::raw(engine, &name).await else {
                // Gone since, or without a leader: the next look finds it.
                continue;
            };
            match own_stream(&info.config).filter(|config| config.dead_letter_expired) {
                Some(config) => self.follow(config, info.created),
                None => {
                    self.streams.remove(&name);
                    self.others.insert(name);
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, config: StreamConfig, made: DateTime) {
        let known = self.streams.remove(&config.name);
        // With another age, everything expires at another time.
        let known = known.filter(|sweep| sweep.made == made && sweep.config.age_max == config.age_max);
        let mut sweep = known.unwrap_or_else(|| Sweep::of(config.clone(), made));
        sweep.config = config;
        self.streams.insert(sweep.config.name.clone(), sweep);
    }
}

impl Sweep {
    fn of(config: StreamConfig, made: DateTime) -> Self {
        Self { config, made, next: 1, due: BTreeSet::new(), passed_over: None, moving: Vec::new() }
    }

    /// Reads on from where it was.
    async fn read(&mut self, engine: &JetStream) -> Result<(), StreamError> {
        if self.due.len() < DUE_MAX / 2
            && let Some(sequence) = self.passed_over.take()
        {
            self.next = self.next.min(sequence);
        }
        let mut read = 0;
        while read < READ_MAX {
            let batch = read::batch(engine, &self.config, self.next).await?;
            let Some(last) = batch.last() else { return Ok(()) };
            self.next = last.sequence + 1;
            read += batch.len();
            for message in batch {
                self.remember(message.expires_ms, message.sequence);
            }
        }
        Ok(())
    }

    fn remember(&mut self, expires_ms: Option<u64>, sequence: u64) {
        let Some(expires_ms) = expires_ms else { return };
        self.due.insert((expires_ms, sequence));
        if self.due.len() > DUE_MAX
            && let Some((_, latest)) = self.due.pop_last()
        {
            self.passed_over = Some(self.passed_over.map_or(latest, |before| before.min(latest)));
        }
    }
}

async fn readers(engine: &JetStream, stream: &Name) -> Result<Vec<Reader>, StreamError> {
    let mut readers = Vec::new();
    for info in info::raw_consumers(engine, stream).await? {
        let Some(config) = own_consumer(&info.name, &info.config) else { continue };
        let floor = info.ack_floor.stream_sequence;
        let first_pending = match info.num_ack_pending {
            0 => None,
            _ => read::next(engine, stream, floor + 1, config.filter.as_ref()).await?.map(|message| message.sequence),
        };
        readers.push(Reader { config, delivered: info.delivered.stream_sequence, floor, first_pending });
    }
    Ok(readers)
}

async fn judge(
    engine: &JetStream,
    stream: &StreamConfig,
    readers: &[Reader],
    stored: &Stored,
    now_ms: u64,
) -> Result<Verdict, StreamError> {
    let expired_ms = stored.expires_ms.unwrap_or(now_ms);
    let after = |duration: Duration| expired_ms.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let (mut consumers, mut later_ms, mut is_wanted) = (Vec::new(), 0, false);
    for reader in readers.iter().filter(|reader| reader.config.wants(&stored.subject)) {
        is_wanted = true;
        // A grace that is over before a worker has to answer is no use to anybody.
        let handed_until_ms = after(reader.config.ack_wait.min(GRACE / 2));
        match state(engine, stream, reader, stored.sequence).await? {
            State::Settled => {}
            State::Given(_) if now_ms < handed_until_ms => later_ms = later_ms.max(handed_until_ms),
            State::Given(attempts) => consumers.push((reader.config.name.clone(), attempts)),
            State::Unknown if now_ms < after(GRACE / 2) => later_ms = later_ms.max(now_ms + AGAIN.as_millis() as u64),
            State::Unread | State::Unknown => consumers.push((reader.config.name.clone(), Vec::new())),
        }
    }
    if later_ms > 0 {
        return Ok(Verdict::Later { at_ms: later_ms });
    }
    Ok(Verdict::Move(Unsettled::new(stored.sequence, consumers, is_wanted)))
}

async fn state(engine: &JetStream, stream: &StreamConfig, reader: &Reader, sequence: u64) -> Result<State, StreamError> {
    if sequence > reader.delivered {
        return Ok(State::Unread);
    }
    let is_queued = stream.retention == Retention::WorkQueue;
    if !is_queued && (sequence <= reader.floor || reader.first_pending.is_none_or(|first| sequence < first)) {
        return Ok(State::Settled);
    }
    let attempts = attempts::known(engine, &stream.name, &reader.config.name, sequence).await?;
    let is_given = is_queued || reader.first_pending == Some(sequence) || !attempts.is_empty();
    Ok(if is_given { State::Given(attempts) } else { State::Unknown })
}

#[cfg(test)]
mod tests {
    use myelin_store::StreamConfig;

    use super::*;
    use crate::wire::Filter;

    #[test]
    fn those_that_expire_first_are_remembered_and_the_rest_is_read_again() {
        let config = StreamConfig::new(Name::new("s").unwrap(), vec![Filter::new("s").unwrap()]);
        let mut sweep = Sweep::of(config, DateTime::UNIX_EPOCH);
        for sequence in 1..=DUE_MAX as u64 + 2 {
            // The later ones expire earlier.
            sweep.remember(Some(1_000_000 - sequence), sequence);
        }
        sweep.remember(None, 99);
        assert_eq!((sweep.due.len(), sweep.passed_over), (DUE_MAX, Some(1)));
        assert!(!sweep.due.contains(&(1_000_000 - 2, 2)) && sweep.due.contains(&(1_000_000 - 3, 3)));
    }
}
