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
use crate::config::{Name, OnFull, Retention, StreamConfig};
use crate::consumer::ConsumerState;
use crate::log::{Place, SegmentId};

/// Everything known of a stream but the content of its messages.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: StreamConfig,
    pub(crate) index: Index,
    pub(super) dedup: Dedup,
    /// Sequences of messages that left, for whichever reason, while their segment still has them: what a snapshot says of these needs no
    /// knowledge of when a limit changed or which consumer was there.
    pub(super) gone: Ranges,
    pub(super) consumers: BTreeMap<u32, ConsumerState>,
    pub(super) keys: HashMap<Name, u32>,
    pub(super) next_key: u32,
    pub(super) last_sequence: u64,
    /// Highest sequence whose record is durable.
    pub(super) visible: u64,
    /// Latest time a message with an id was stored in a segment: it keeps the segment for the window.
    pub(super) last_id_ms: HashMap<SegmentId, u64>,
    pub(crate) counts: Counts,
    /// Whether every consumer is known. While a log is read whose beginning is missing, a message that those known are done with may be needed
    /// by one whose record is among the missing ones.
    pub(super) knows_all: bool,
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
    /// All up to this one have to go for it; 0: none.
    pub(crate) evicts_to: u64,
    /// Nobody is interested in it, on a stream that goes by that.
    pub(crate) is_unwanted: bool,
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
    /// All up to this one would go for it, and somebody is to be told of them first.
    MustMove {
        to: u64,
    },
}

impl Core {
    pub(crate) fn new(config: StreamConfig) -> Self {
        Self {
            config,
            index: Index::default(),
            dedup: Dedup::default(),
            gone: Ranges::default(),
            consumers: BTreeMap::new(),
            keys: HashMap::new(),
            next_key: 1,
            last_sequence: 0,
            visible: 0,
            last_id_ms: HashMap::new(),
            counts: Counts::default(),
            knows_all: true,
        }
    }

    /// Whether a message of this many bytes can be stored now, and what goes for it. Changes nothing but what time alone changes.
    pub(crate) fn prepare(
        &mut self,
        subject: &Subject,
        id: &str,
        expected_last: Option<u64>,
        record_bytes: u64,
        may_evict_to: u64,
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
        let is_unwanted =
            self.config.retention == Retention::Interest && !self.consumers.values().any(|consumer| consumer.config.wants(subject));
        let evicts_to = if is_unwanted { 0 } else { self.evictions_for(record_bytes)? };
        if self.config.dead_letter_evicted && evicts_to > may_evict_to {
            return Err(Refused::MustMove { to: evicts_to });
        }
        Ok(Ok(Prepared { sequence: self.last_sequence + 1, evicts_to, is_unwanted }))
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
        let (mut evictions, mut left, mut evicts_to) = (0, bytes, 0);
        for (sequence, entry) in self.index.range(0..=u64::MAX) {
            if !over(messages - evictions, left) {
                break;
            }
            evictions += 1;
            left -= entry.place.bytes as u64;
            evicts_to = sequence;
        }
        Ok(evicts_to)
    }

    /// The record of a prepared message has its place.
    pub(crate) fn store(&mut self, prepared: &Prepared, entry: Entry, id: &str) {
        debug_assert_eq!(prepared.sequence, self.last_sequence + 1, "nothing was stored since it was prepared");
        if !prepared.is_unwanted {
            self.consumers.values_mut().for_each(|consumer| consumer.arrived(&entry.subject));
        }
        self.insert(prepared, entry, id);
    }

    /// A message is there, now or since long.
    pub(super) fn insert(&mut self, message: &Prepared, entry: Entry, id: &str) {
        while let Some((oldest, _)) = self.index.first().filter(|(oldest, _)| *oldest <= message.evicts_to) {
            self.counts.evicted += 1;
            self.drop_message(oldest);
        }
        self.last_sequence = self.last_sequence.max(message.sequence);
        if !id.is_empty() {
            self.dedup.insert(id, message.sequence, entry.stored_ms);
            let latest_ms = self.last_id_ms.entry(entry.place.segment).or_default();
            *latest_ms = (*latest_ms).max(entry.stored_ms);
        }
        if message.is_unwanted {
            self.gone.insert(message.sequence);
        } else {
            self.index.insert(message.sequence, entry);
        }
    }

    /// Records up to this message were written.
    pub(crate) fn show(&mut self, sequence: u64) {
        self.visible = self.visible.max(sequence);
    }

    /// Takes a message out, whatever consumers thought of it.
    pub(super) fn drop_message(&mut self, sequence: u64) {
        if let Some(entry) = self.index.remove(sequence) {
            self.gone.insert(sequence);
            self.consumers.values_mut().for_each(|consumer| consumer.forget(sequence, &entry.subject));
        }
    }

    /// A message or all on some subjects go by the operator's wish.
    pub(crate) fn delete(&mut self, sequence: u64) -> bool {
        let exists = self.index.get(sequence).is_some();
        if exists {
            self.counts.removed += 1;
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
            self.gone.remove(*sequences.start(), *sequences.end());
        }
    }

    #[cfg(test)]
    pub(crate) fn find_id(&self, id: &str) -> Option<u64> {
        self.dedup.find(id)
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
