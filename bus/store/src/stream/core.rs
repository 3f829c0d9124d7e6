//! The state of one stream. No clock, no disk: what happens is told with the time, what has to be written is returned.
//!
//! Invariants:
//! - sequences rise by one per message and are never used twice;
//! - a message leaves for one reason only: a limit, its own expiry, a delete, a purge, or everybody who has to is done with it;
//! - what a consumer is given was durable before.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use myelin_wire::Subject;

use super::dedup::Dedup;
use super::ranges::Ranges;
use super::{Entry, Index};
use crate::config::{ConsumerConfig, Name, OnFull, Retention, StreamConfig};
use crate::consumer::{Attempt, ConsumerState, Lease, Outcome, Settled};
use crate::log::{Place, SegmentId};

/// Everything known of a stream but the content of its messages.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: StreamConfig,
    pub(crate) index: Index,
    pub(super) dedup: Dedup,
    /// Sequences that were deleted or purged while their segment still has them.
    pub(super) deleted: Ranges,
    pub(super) consumers: BTreeMap<u32, ConsumerState>,
    pub(super) keys: HashMap<Name, u32>,
    pub(super) next_key: u32,
    pub(super) last_sequence: u64,
    /// Highest sequence whose record is durable.
    pub(super) visible: u64,
    /// Latest time a message with an id was stored in a segment: it keeps the segment for the window.
    pub(super) last_id_ms: HashMap<SegmentId, u64>,
    pub(crate) counts: Counts,
}

/// What went without being read to its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By a limit of count or bytes.
    pub(crate) evicted: u64,
    /// By age or TTL.
    pub(crate) expired: u64,
    /// By delete and purge.
    pub(crate) removed: u64,
}

/// A message that may be stored.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) sequence: u64,
    /// How many of the oldest have to go for it.
    pub(crate) evictions: u64,
}

/// The message is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deduplicated {
    pub(crate) sequence: u64,
}

/// Why a message is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full {
        messages: u64,
        bytes: u64,
    },
    /// The last sequence on the subject is another than the publisher expected.
    WrongLastSequence {
        last: u64,
    },
}

impl Core {
    pub(crate) fn new(config: StreamConfig) -> Self {
        Self {
            config,
            index: Index::default(),
            dedup: Dedup::default(),
            deleted: Ranges::default(),
            consumers: BTreeMap::new(),
            keys: HashMap::new(),
            next_key: 1,
            last_sequence: 0,
            visible: 0,
            last_id_ms: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// Whether a message of this many bytes can be stored now. Changes nothing but what time alone changes.
    pub(crate) fn prepare(
        &mut self,
        subject: &Subject,
        id: &str,
        expected_last: Option<u64>,
        record_bytes: u64,
        now_ms: u64,
    ) -> Result<Result<Prepared, Deduplicated>, Refused> {
        self.dedup.expire(now_ms.saturating_sub(crate::consumer::millis(self.config.dedup_window)));
        if !id.is_empty()
            && let Some(sequence) = self.dedup.find(id)
        {
            return Ok(Err(Deduplicated { sequence }));
        }
        let last = self.index.last_on(subject.as_str());
        if expected_last.is_some_and(|expected| expected != last) {
            return Err(Refused::WrongLastSequence { last });
        }
        let evictions = self.evictions_for(record_bytes)?;
        Ok(Ok(Prepared { sequence: self.last_sequence + 1, evictions }))
    }

    fn evictions_for(&self, record_bytes: u64) -> Result<u64, Refused> {
        let (messages, bytes) = (self.index.len(), self.index.bytes());
        let over = |messages: u64, bytes: u64| messages + 1 > self.config.messages_max || bytes + record_bytes > self.config.bytes_max;
        if !over(messages, bytes) {
            return Ok(0);
        }
        // One message is always admitted into an empty stream that drops: else none of that size ever could be.
        if self.config.on_full == OnFull::Reject {
            return Err(Refused::Full { messages, bytes });
        }
        let (mut evictions, mut left) = (0, bytes);
        for (_, entry) in self.index.range(0..=u64::MAX) {
            if !over(messages - evictions, left) {
                break;
            }
            evictions += 1;
            left -= entry.place.bytes as u64;
        }
        Ok(evictions)
    }

    /// The record of a prepared message has its place.
    pub(crate) fn store(&mut self, prepared: &Prepared, entry: Entry, id: &str) {
        debug_assert_eq!(prepared.sequence, self.last_sequence + 1, "nothing was stored since it was prepared");
        for _ in 0..prepared.evictions {
            if let Some((sequence, _)) = self.index.first() {
                self.counts.evicted += 1;
                self.drop_message(sequence);
            }
        }
        self.insert(prepared.sequence, entry, id);
    }

    /// A message is there, now or since long.
    pub(super) fn insert(&mut self, sequence: u64, entry: Entry, id: &str) {
        self.last_sequence = self.last_sequence.max(sequence);
        if !id.is_empty() {
            self.dedup.insert(id, sequence, entry.stored_ms);
            self.last_id_ms.insert(entry.place.segment, entry.stored_ms);
        }
        self.index.insert(sequence, entry);
    }

    /// Records up to this message are durable.
    pub(crate) fn show(&mut self, sequence: u64) {
        let shown = self.visible + 1..=sequence;
        self.visible = self.visible.max(sequence);
        if self.config.retention == Retention::Interest {
            let unwanted: Vec<_> =
                self.index.range(shown).filter(|(_, entry)| !self.is_wanted(&entry.subject)).map(|(sequence, _)| sequence).collect();
            unwanted.into_iter().for_each(|sequence| self.drop_message(sequence));
        }
    }

    fn is_wanted(&self, subject: &Subject) -> bool {
        self.consumers.values().any(|consumer| consumer.config.wants(subject))
    }

    /// Takes a message out, whatever consumers thought of it.
    pub(super) fn drop_message(&mut self, sequence: u64) {
        if self.index.remove(sequence).is_some() {
            for consumer in self.consumers.values_mut() {
                consumer.forget(sequence);
            }
        }
    }

    /// A message or all on some subjects go by the operator's wish.
    pub(crate) fn delete(&mut self, sequence: u64) -> bool {
        let exists = self.index.get(sequence).is_some();
        if exists {
            self.counts.removed += 1;
            self.deleted.insert(sequence);
            self.drop_message(sequence);
        }
        exists
    }

    /// Sequences up to `last` on subjects that `wanted` accepts.
    pub(crate) fn purgeable(&self, wanted: impl Fn(&Subject) -> bool, last: u64) -> Vec<u64> {
        let mut sequences = self.index.on_subjects(wanted);
        sequences.retain(|sequence| *sequence <= last);
        sequences
    }

    /// Messages whose time is over. `None` of them if the operator wants them as dead letters: then they wait to be moved.
    pub(crate) fn expired(&self, now_ms: u64, max: usize) -> Vec<u64> {
        let mut expired = Vec::new();
        let by_age = self.config.age_max.map(|age| now_ms.saturating_sub(crate::consumer::millis(age)));
        if let Some(before_ms) = by_age {
            let old = self.index.range(0..=self.visible).take_while(|(_, entry)| entry.stored_ms <= before_ms);
            expired.extend(old.map(|(sequence, _)| sequence).take(max));
        }
        expired.extend(self.index.expired_by_ttl(now_ms).take(max - expired.len()));
        expired.sort_unstable();
        expired.dedup();
        expired
    }

    /// An expired message goes.
    pub(crate) fn expire(&mut self, sequence: u64) {
        if self.index.get(sequence).is_some() {
            self.counts.expired += 1;
            self.drop_message(sequence);
        }
    }

    /// When the next message expires.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        let by_ttl = self.index.next_expiry().map(|(at_ms, _)| at_ms);
        let by_age = self
            .config
            .age_max
            .and_then(|age| self.index.first().map(|(_, entry)| entry.stored_ms.saturating_add(crate::consumer::millis(age))));
        by_ttl.into_iter().chain(by_age).min()
    }

    pub(crate) fn key_of(&self, consumer: &Name) -> Option<u32> {
        self.keys.get(consumer).copied()
    }

    pub(crate) fn consumer(&self, key: u32) -> Option<&ConsumerState> {
        self.consumers.get(&key)
    }

    pub(crate) fn consumer_mut(&mut self, key: u32) -> Option<&mut ConsumerState> {
        self.consumers.get_mut(&key)
    }

    pub(crate) fn consumers(&self) -> impl Iterator<Item = (u32, &ConsumerState)> {
        self.consumers.iter().map(|(key, consumer)| (*key, consumer))
    }

    /// The key that the next new consumer gets.
    pub(crate) fn next_key(&self) -> u32 {
        self.next_key
    }

    /// Makes a consumer or changes one. A new one begins with the oldest message.
    pub(crate) fn put_consumer(&mut self, key: u32, config: ConsumerConfig) {
        self.next_key = self.next_key.max(key + 1);
        self.keys.insert(config.name.clone(), key);
        match self.consumers.get_mut(&key) {
            Some(consumer) => consumer.config = config,
            None => {
                self.consumers.insert(key, ConsumerState::new(config, 0));
            }
        }
    }

    /// Removes a consumer. What only it still needed goes with it, as retention says.
    pub(crate) fn delete_consumer(&mut self, key: u32) {
        if let Some(consumer) = self.consumers.remove(&key) {
            self.keys.remove(&consumer.config.name);
            if self.config.retention == Retention::Interest {
                let done: Vec<_> =
                    self.index.range(0..=self.visible).map(|(sequence, _)| sequence).filter(|it| self.is_done_with(*it)).collect();
                done.into_iter().for_each(|sequence| self.drop_message(sequence));
            }
        }
    }

    /// A filter of another consumer that shares a subject with this one's, on a work queue, where each message has one consumer.
    pub(crate) fn overlapping(&self, config: &ConsumerConfig) -> Option<&Name> {
        if self.config.retention != Retention::WorkQueue {
            return None;
        }
        let overlap = |other: &&ConsumerState| {
            other.config.name != config.name
                && match (&other.config.filter, &config.filter) {
                    (Some(one), Some(two)) => super::overlap(one.as_str(), two.as_str()),
                    _ => true,
                }
        };
        self.consumers.values().find(overlap).map(|other| &other.config.name)
    }

    pub(crate) fn lease(&mut self, key: u32, max: usize, now_ms: u64) -> Vec<Lease> {
        let (index, visible) = (&self.index, self.visible);
        self.consumers.get_mut(&key).map(|consumer| consumer.lease(index, visible, max, now_ms)).unwrap_or_default()
    }

    /// A consumer is done with a message, and so may be the stream.
    pub(crate) fn settle(&mut self, key: u32, sequence: u64) -> Settled {
        let settled = self.consumers.get_mut(&key).map_or(Settled::Stale, |consumer| consumer.settle(sequence));
        if settled == Settled::Done && self.config.retention != Retention::Limits && self.is_done_with(sequence) {
            self.drop_message(sequence);
        }
        settled
    }

    /// Whether every consumer that wants a message is done with it.
    pub(super) fn is_done_with(&self, sequence: u64) -> bool {
        let Some(entry) = self.index.get(sequence) else { return true };
        let mut wanting = self.consumers.values().filter(|consumer| consumer.config.wants(&entry.subject)).peekable();
        // On a work queue somebody has to have done it; without interest nobody has to.
        let by_nobody = self.config.retention == Retention::Interest;
        if wanting.peek().is_none() { by_nobody } else { wanting.all(|consumer| consumer.is_done_with(sequence)) }
    }

    /// A delivery ended without an ack.
    pub(crate) fn fail(&mut self, key: u32, sequence: u64, outcome: Outcome, at_ms: u64, error: &str, not_before_ms: u64) {
        if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.fail(sequence, Attempt { at_ms, outcome, error: error.into() }, not_before_ms);
        }
    }

    /// Whether a segment holds nothing that anybody needs.
    pub(crate) fn is_removable(&self, segment: SegmentId, now_ms: u64) -> bool {
        let window_ms = crate::consumer::millis(self.config.dedup_window);
        let ids_are_old = self.last_id_ms.get(&segment).is_none_or(|stored_ms| stored_ms.saturating_add(window_ms) < now_ms);
        self.index.live_in(segment) == 0 && ids_are_old
    }

    /// A segment is gone, and with it the need to remember what was deleted in it.
    pub(crate) fn segment_removed(&mut self, segment: SegmentId, sequences: std::ops::RangeInclusive<u64>) {
        self.last_id_ms.remove(&segment);
        if !sequences.is_empty() {
            self.deleted.remove(*sequences.start(), *sequences.end());
        }
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    pub(crate) fn visible(&self) -> u64 {
        self.visible
    }

    pub(crate) fn ids(&self) -> (usize, u64) {
        (self.dedup.len(), self.dedup.forgotten)
    }

    /// Where a message is, if it is there and durable.
    pub(crate) fn place_of(&self, sequence: u64) -> Option<(Place, &Entry)> {
        let entry = self.index.get(sequence).filter(|_| sequence <= self.visible)?;
        Some((entry.place, entry))
    }
}
