//! Builds the state of a stream out of its records.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use myelin_wire::{Filter, Subject};
use tracing::warn;

use super::core::Prepared;
use super::{Core, Entry};
use crate::config::Retention;
use crate::consumer::{Attempt, ConsumerState, Outcome};
use crate::log::{SegmentId, SegmentSummary, Step};
use crate::record::{
    AckRecord, AttemptRecord, DeliveredRecord, Kind, Malformed, MessageRecord, Reader, Writer, read_consumer, read_stream,
};

/// What is known while a log is read.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) core: Core,
    /// Segments of the newest snapshot, those that went later taken out.
    pub(crate) living: Option<Vec<SegmentSummary>>,
    /// Number of the newest snapshot.
    pub(crate) snapshot_lsn: u64,
    pub(crate) removed: Vec<SegmentSummary>,
    next_lsn: u64,
    /// Segments that there are.
    seen: BTreeSet<SegmentId>,
    /// Record numbers that were torn at an earlier start and never acknowledged.
    pub(crate) torn: Vec<(u64, u64)>,
    /// What was found to be missing at an earlier start.
    pub(crate) lost: Vec<Missing>,
}

/// Records that are missing, and the sequences of the messages among them: at most these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    /// The last is below the first if no message is missing.
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
}

/// What a snapshot says of the log itself, before what it says of the stream.
pub(crate) fn write_log_part(body: &mut Writer, living: &[SegmentSummary], torn: &[(u64, u64)], lost: &[Missing]) {
    body.u32(living.len() as u32);
    living.iter().for_each(|summary| summary.write(body));
    body.u32(torn.len() as u32);
    for (first, last) in torn {
        body.u64(*first).u64(*last);
    }
    body.u32(lost.len() as u32);
    for gap in lost {
        body.u64(gap.first_lsn).u64(gap.last_lsn).u64(gap.first_sequence).u64(gap.last_sequence).u64(gap.segment.0).u64(gap.offset);
    }
}

fn read_missing(reader: &mut Reader<'_>) -> Result<Missing, Malformed> {
    Ok(Missing {
        first_lsn: reader.u64()?,
        last_lsn: reader.u64()?,
        first_sequence: reader.u64()?,
        last_sequence: reader.u64()?,
        segment: SegmentId(reader.u64()?),
        offset: reader.u64()?,
    })
}

impl Replay {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core,
            living: None,
            snapshot_lsn: 0,
            removed: Vec::new(),
            next_lsn: 1,
            seen: BTreeSet::new(),
            torn: Vec::new(),
            lost: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, step: Step<'_>) {
        // Whatever is missing, a consumer may have been made in it.
        self.core.knows_all &= step.place.lsn == self.next_lsn;
        self.next_lsn = step.place.lsn + 1;
        if step.kind == Kind::Segment {
            self.seen.insert(step.place.segment);
        }
        if self.apply(step).is_err() {
            warn!(lsn = step.place.lsn, kind = ?step.kind, "a record whose checksum fits makes no sense, and is passed over");
        }
    }

    fn apply(&mut self, step: Step<'_>) -> Result<(), Malformed> {
        let core = &mut self.core;
        let mut reader = Reader(step.body);
        match step.kind {
            Kind::Segment => {}
            Kind::Snapshot => self.snapshot(step.place.lsn, &mut reader)?,
            Kind::Message => {
                let message = MessageRecord::parse(step.body)?;
                let subject = Subject::new(message.subject).map_err(|_| Malformed)?;
                let (stored_ms, expires_ms, due_ms) = (message.stored_ms, message.expires_ms, message.due_ms);
                let id = if cfg!(myelin_mutant = "forget_ids") { "" } else { message.id };
                let stored = Prepared { sequence: message.sequence, evicts_to: message.evicts_to, is_unwanted: message.is_unwanted };
                core.insert(&stored, Entry { subject, place: step.place, stored_ms, expires_ms, due_ms }, id);
            }
            Kind::Delete => {
                while !reader.0.is_empty() {
                    core.delete(reader.u64()?);
                }
            }
            Kind::Purge => {
                let last = reader.u64()?;
                let filter = reader.text()?;
                let filter = if filter.is_empty() { None } else { Some(Filter::new(filter).map_err(|_| Malformed)?) };
                let gone = core.purgeable(|subject| filter.as_ref().is_none_or(|filter| filter.matches(subject)), last);
                gone.into_iter().for_each(|sequence| {
                    core.delete(sequence);
                });
            }
            Kind::ConsumerPut => {
                let key = reader.u32()?;
                core.put_consumer(key, read_consumer(&mut reader)?);
            }
            Kind::ConsumerDelete => core.delete_consumer(reader.u32()?),
            Kind::Delivered => {
                let record = DeliveredRecord::parse(step.body)?;
                let (index, consumers) = (&core.index, &mut core.consumers);
                if let Some(consumer) = consumers.get_mut(&record.consumer) {
                    consumer.deliver_again(index, &record.sequences, record.at_ms);
                }
            }
            Kind::Ack => {
                let record = AckRecord::parse(step.body)?;
                let is_known = !cfg!(myelin_mutant = "forget_acks");
                for sequence in record.sequences.into_iter().filter(|_| is_known) {
                    core.catch_up(record.consumer, sequence);
                    core.settle(record.consumer, sequence);
                }
            }
            Kind::Attempt => {
                let record = AttemptRecord::parse(step.body)?;
                let outcome = Outcome::from_byte(record.outcome).ok_or(Malformed)?;
                core.catch_up(record.consumer, record.sequence);
                // An attempt of a message that is gone would wait for ever.
                if core.consumer(record.consumer).is_some_and(|consumer| consumer.is_pending(record.sequence)) {
                    let attempt = Attempt { at_ms: record.at_ms, outcome, error: record.text };
                    core.fail(record.consumer, record.sequence, attempt, record.not_before_ms);
                }
            }
            Kind::Expired => {
                while !reader.0.is_empty() {
                    core.expire(reader.u64()?);
                }
            }
            Kind::SegmentRemoved => {
                let summary = SegmentSummary::read(&mut reader)?;
                core.drop_segment(summary.id, summary.first_sequence..=summary.last_sequence);
                // A file that is still there, because the end came first, goes again later; until then what was in it stays gone.
                if !self.seen.contains(&summary.id) {
                    core.segment_removed(summary.id, summary.first_sequence..=summary.last_sequence);
                }
                self.removed.push(summary);
            }
            Kind::Config => core.config = read_stream(&mut reader)?,
        }
        Ok(())
    }

    fn snapshot(&mut self, lsn: u64, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut living = Vec::new();
        for _ in 0..reader.u32()? {
            living.push(SegmentSummary::read(reader)?);
        }
        let mut torn = Vec::new();
        for _ in 0..reader.u32()? {
            torn.push((reader.u64()?, reader.u64()?));
        }
        let mut lost = Vec::new();
        for _ in 0..reader.u32()? {
            lost.push(read_missing(reader)?);
        }
        self.core.apply_snapshot(reader)?;
        (self.living, self.torn, self.lost, self.snapshot_lsn) = (Some(living), torn, lost, lsn);
        Ok(())
    }
}

impl Core {
    fn catch_up(&mut self, key: u32, sequence: u64) {
        if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.catch_up(&self.index, sequence);
        }
    }

    /// Whatever of a segment is still in the index was gone when the segment went.
    fn drop_segment(&mut self, segment: SegmentId, sequences: RangeInclusive<u64>) {
        let left: Vec<_> =
            self.index.range(sequences).filter(|(_, entry)| entry.place.segment == segment).map(|(sequence, _)| sequence).collect();
        left.into_iter().for_each(|sequence| self.drop_message(sequence));
    }

    /// The log was read to its end: everything in it is durable, and no worker of before has anything.
    pub(crate) fn resume(&mut self, last_sequence: u64, is_damaged: bool, now_ms: u64) {
        // A consumer whose record was lost may be made again and finds what was there; on a work queue no other could have wanted it.
        let may_be_needed = is_damaged && self.config.retention == Retention::Interest;
        if !self.knows_all && !may_be_needed {
            self.drop_what_is_done();
        }
        self.knows_all = true;
        // What a consumer was given and power took, where a stream does not wait for the disk, is not given to another message: it would be
        // behind that consumer.
        let seen = self.consumers.values().map(ConsumerState::cursor).max().unwrap_or(0);
        self.last_sequence = self.last_sequence.max(last_sequence).max(seen);
        self.visible = self.last_sequence;
        let keys: Vec<_> = self.consumers.keys().copied().collect();
        for key in keys {
            let in_hand = self.consumers.get(&key).map(ConsumerState::in_hand).unwrap_or_default();
            for (sequence, _) in in_hand {
                self.fail(key, sequence, Attempt { at_ms: now_ms, outcome: Outcome::Restart, error: "".into() }, now_ms);
            }
        }
        let index = &self.index;
        self.consumers.values_mut().for_each(|consumer| consumer.count_unread(index));
    }
}
