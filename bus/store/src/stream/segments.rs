//! The segments of an open stream: which there are, when the next one begins, which may go.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use tracing::debug;

use super::State;
use super::replay::{Missing, write_log_part};
use crate::error::StoreError;
use crate::log::{Class, NoRoom, Place, Segment, SegmentId, SegmentSummary, Want};
use crate::record::{Kind, Salt, Writer};

/// What is known of a stream's files.
#[derive(Debug)]
pub(crate) struct Segments {
    /// All segments but the last, which the tail has.
    sealed: BTreeMap<SegmentId, (Segment, SegmentSummary)>,
    current: SegmentSummary,
    /// Sealed segments that said they go; gone when the record is durable.
    leaving: VecDeque<Leaving>,
    /// The newest segment that begins with a snapshot: what is older is needed for its messages only.
    snapshot_segment: Option<SegmentId>,
    /// Records that were torn before and lost before, which later snapshots repeat.
    pub(super) torn: Vec<(u64, u64)>,
    pub(super) lost: Vec<Missing>,
}

/// A segment whose file goes when a record is durable.
#[derive(Debug)]
struct Leaving {
    lsn: u64,
    segment: Segment,
    /// Sequences of the messages in it, which are remembered to be gone until then: the note may not survive, and a later snapshot may.
    sequences: RangeInclusive<u64>,
}

impl Segments {
    /// Those that were read, and a fresh one that begins with record `first_lsn`.
    pub(crate) fn new(sealed: Vec<(Segment, SegmentSummary)>, fresh: SegmentId, first_lsn: u64) -> Self {
        Self {
            sealed: sealed.into_iter().map(|(segment, summary)| (segment.id, (segment, summary))).collect(),
            current: fresh_summary(fresh, first_lsn),
            leaving: VecDeque::new(),
            snapshot_segment: None,
            torn: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// A message was put into the current segment.
    pub(super) fn has_message(&mut self, sequence: u64) {
        if self.current.last_sequence == 0 {
            self.current.first_sequence = sequence;
        }
        self.current.last_sequence = sequence;
    }

    pub(super) fn write_log_part(&self, body: &mut Writer) {
        let living: Vec<_> = self.sealed.values().map(|(_, summary)| *summary).collect();
        write_log_part(body, &living, &self.torn, &self.lost);
    }
}

impl State {
    pub(super) fn room(&mut self, class: Class, body_bytes: usize) -> Result<bool, StoreError> {
        self.tail.room_for(class, body_bytes).map_err(|no_room| match no_room {
            NoRoom::Soon => StoreError::Busy,
            NoRoom::Full => StoreError::StorageFull,
        })
    }

    /// Puts a record down, if there is room for it.
    pub(super) fn put(&mut self, class: Class, kind: Kind, body: &[&[u8]]) -> Result<Place, StoreError> {
        let body_bytes = body.iter().map(|part| part.len()).sum();
        if self.room(class, body_bytes)? {
            self.rotate(body_bytes);
        }
        let place = self.tail.put(kind, body);
        self.segments.current.last_lsn = place.lsn;
        Ok(place)
    }

    /// Goes on in the next segment, which begins with what is known now: nothing may have changed yet whose record is still to come.
    pub(super) fn rotate(&mut self, body_bytes: usize) {
        let sealed = (self.tail.current().clone(), self.segments.current);
        self.segments.sealed.insert(sealed.0.id, sealed);
        let first_lsn = self.tail.next_lsn();
        self.tail.rotate();
        self.segments.current = fresh_summary(self.tail.current().id, first_lsn);
        self.snapshot(body_bytes);
    }

    pub(super) fn snapshot(&mut self, body_bytes: usize) {
        let mut body = Writer::default();
        self.segments.write_log_part(&mut body);
        self.core.write_snapshot(&mut body);
        if let Some(place) = self.tail.put_snapshot(&body.0, body_bytes) {
            debug!(lsn = place.lsn, bytes = place.bytes, "snapshot");
            self.segments.current.last_lsn = place.lsn;
            self.segments.snapshot_segment = Some(place.segment);
        }
    }

    /// Notes which segments go, and returns those whose note is durable: their files can be removed.
    pub(crate) fn collect(&mut self, now_ms: u64) -> Vec<Segment> {
        if self.has_dead_segment()
            && let Some(covered) = self.segments.snapshot_segment
        {
            let older = self.segments.sealed.range(..covered).map(|(id, _)| *id);
            let removable: Vec<_> = older.filter(|id| self.core.is_removable(*id, now_ms)).collect();
            for id in removable {
                if !self.note_removal(id) {
                    break;
                }
            }
        }
        let durable = self.durable_lsn();
        let mut gone = Vec::new();
        while let Some(left) = self.segments.leaving.pop_front_if(|leaving| leaving.lsn <= durable) {
            self.core.segment_removed(left.segment.id, left.sequences);
            gone.push(left.segment);
        }
        gone
    }

    fn note_removal(&mut self, id: SegmentId) -> bool {
        let Some(summary) = self.segments.sealed.get(&id).map(|(_, summary)| *summary) else { return true };
        let mut body = Writer::default();
        summary.write(&mut body);
        let Ok(place) = self.put(Class::State, Kind::SegmentRemoved, &[&body.0]) else { return false };
        // Nobody else may come and make it durable: on a full disk, all wait for the space.
        self.tail.await_batch();
        if let Some((segment, _)) = self.segments.sealed.remove(&id) {
            let sequences = summary.first_sequence..=summary.last_sequence;
            self.segments.leaving.push_back(Leaving { lsn: place.lsn, segment, sequences });
        }
        true
    }

    /// Whether no message is left in some sealed segment.
    fn has_dead_segment(&self) -> bool {
        let living = self.core.index.segments() - usize::from(self.core.index.live_in(self.tail.current().id) > 0);
        self.segments.sealed.len() > living
    }

    /// Whether there is something to look after though nothing happens.
    pub(crate) fn wants_rounds(&self) -> bool {
        self.is_mark_unsynced() || self.tail.wanted().is_some() || !self.segments.leaving.is_empty() || self.has_dead_segment()
    }

    pub(crate) fn wanted(&self) -> Option<Want> {
        self.tail.wanted()
    }

    /// Takes a segment that was wanted.
    pub(crate) fn give(&mut self, segment: Segment) {
        // Nothing was ever written to the one that it replaces.
        if let Some(unused) = self.tail.give(segment) {
            self.segments.leaving.push_front(Leaving { lsn: 0, segment: unused, sequences: RangeInclusive::new(1, 0) });
        }
    }

    /// A segment for reading.
    pub(crate) fn segment(&self, id: SegmentId) -> Option<Segment> {
        if self.tail.current().id == id {
            return Some(self.tail.current().clone());
        }
        self.segments.sealed.get(&id).map(|(segment, _)| segment.clone())
    }

    pub(crate) fn salt(&self) -> Salt {
        self.tail.salt()
    }

    /// Bytes of all files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments.sealed.values().map(|(segment, _)| segment.capacity).sum::<u64>() + self.tail.current().capacity
    }
}

fn fresh_summary(id: SegmentId, first_lsn: u64) -> SegmentSummary {
    SegmentSummary { id, first_lsn, last_lsn: first_lsn, first_sequence: 1, last_sequence: 0 }
}
