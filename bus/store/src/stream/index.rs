//! Which messages there are, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use hashbrown::HashMap;
use myelin_wire::Subject;

use crate::log::{Place, SegmentId};

/// One stored message, without its content.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) subject: Subject,
    pub(crate) place: Place,
    pub(crate) stored_ms: u64,
    /// 0: never, but for the stream's own limit.
    pub(crate) expires_ms: u64,
    /// 0: at once.
    pub(crate) due_ms: u64,
}

/// What is known of a subject while messages of it are stored.
#[derive(Debug, Clone)]
struct OnSubject {
    /// One text for all messages of the subject.
    subject: Subject,
    sequences: BTreeSet<u64>,
}

/// The messages of a stream by sequence.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<u64, Entry>,
    subjects: HashMap<Box<str>, OnSubject>,
    expiry: BTreeSet<(u64, u64)>,
    live: HashMap<SegmentId, u64>,
    bytes: u64,
}

impl Index {
    pub(crate) fn insert(&mut self, sequence: u64, mut entry: Entry) {
        let on_subject = self
            .subjects
            .entry_ref(entry.subject.as_str())
            .or_insert_with(|| OnSubject { subject: entry.subject.clone(), sequences: BTreeSet::new() });
        on_subject.sequences.insert(sequence);
        entry.subject = on_subject.subject.clone();
        if entry.expires_ms != 0 {
            self.expiry.insert((entry.expires_ms, sequence));
        }
        *self.live.entry(entry.place.segment).or_default() += 1;
        self.bytes += entry.place.bytes as u64;
        self.entries.insert(sequence, entry);
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let entry = self.entries.remove(&sequence)?;
        if let Some(on_subject) = self.subjects.get_mut(entry.subject.as_str()) {
            on_subject.sequences.remove(&sequence);
            if on_subject.sequences.is_empty() {
                self.subjects.remove(entry.subject.as_str());
            }
        }
        if entry.expires_ms != 0 {
            self.expiry.remove(&(entry.expires_ms, sequence));
        }
        if let Some(live) = self.live.get_mut(&entry.place.segment) {
            *live -= 1;
            if *live == 0 {
                self.live.remove(&entry.place.segment);
            }
        }
        self.bytes -= entry.place.bytes as u64;
        Some(entry)
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(&sequence)
    }

    pub(crate) fn range(&self, sequences: RangeInclusive<u64>) -> impl Iterator<Item = (u64, &Entry)> {
        // A tree panics on a range that ends before it begins.
        let entries = if sequences.is_empty() { None } else { Some(self.entries.range(sequences)) };
        entries.into_iter().flatten().map(|(sequence, entry)| (*sequence, entry))
    }

    pub(crate) fn first(&self) -> Option<(u64, &Entry)> {
        self.entries.first_key_value().map(|(sequence, entry)| (*sequence, entry))
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Bytes of all records of messages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Highest sequence on a subject, 0 if nothing is stored on it.
    pub(crate) fn last_on(&self, subject: &str) -> u64 {
        self.subjects.get(subject).and_then(|on_subject| on_subject.sequences.last()).copied().unwrap_or(0)
    }

    pub(crate) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// Sequences on subjects that `wanted` accepts, in no order.
    pub(crate) fn on_subjects(&self, wanted: impl Fn(&Subject) -> bool) -> Vec<u64> {
        self.subjects
            .values()
            .filter(|on_subject| wanted(&on_subject.subject))
            .flat_map(|on_subject| on_subject.sequences.iter().copied())
            .collect()
    }

    /// The message that expires next by its own time.
    pub(crate) fn next_expiry(&self) -> Option<(u64, u64)> {
        self.expiry.first().copied()
    }

    /// Messages whose own time is over, in the order in which it ended.
    pub(crate) fn expired_by_ttl(&self, now_ms: u64) -> impl Iterator<Item = u64> {
        self.expiry.iter().take_while(move |(at_ms, _)| *at_ms <= now_ms).map(|(_, sequence)| *sequence)
    }

    /// Segments with messages that are still there.
    pub(crate) fn segments(&self) -> usize {
        self.live.len()
    }

    /// Messages in a segment that are still there.
    pub(crate) fn live_in(&self, segment: SegmentId) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }
}
