//! Builds the state of a stream out of its records.

use myelin_wire::{Filter, Subject};

use super::{Core, Entry};
use crate::config::{OnFull, Retention};
use crate::consumer::Outcome;
use crate::log::{SegmentSummary, Step};
use crate::record::{
    AckRecord, AttemptRecord, DeliveredRecord, Kind, Malformed, MessageRecord, Reader, Writer, read_consumer, read_stream, record_bytes,
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
    /// Record numbers that were torn at an earlier start and never acknowledged.
    pub(crate) torn: Vec<(u64, u64)>,
    /// Records whose checksum fits and whose content makes no sense.
    pub(crate) malformed: Vec<u64>,
}

/// What a snapshot says of the log itself, before what it says of the stream.
pub(crate) fn write_log_part(body: &mut Writer, living: &[SegmentSummary], torn: &[(u64, u64)]) {
    body.u32(living.len() as u32);
    living.iter().for_each(|summary| summary.write(body));
    body.u32(torn.len() as u32);
    for (first, last) in torn {
        body.u64(*first).u64(*last);
    }
}

impl Replay {
    pub(crate) fn new(core: Core) -> Self {
        Self { core, living: None, snapshot_lsn: 0, removed: Vec::new(), torn: Vec::new(), malformed: Vec::new() }
    }

    pub(crate) fn step(&mut self, step: Step<'_>) {
        if self.apply(step).is_err() {
            self.malformed.push(step.place.lsn);
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
                core.make_room_again(step.place.bytes as u64);
                core.insert(message.sequence, Entry { subject, place: step.place, stored_ms, expires_ms, due_ms }, message.id);
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
                for sequence in record.sequences {
                    core.settle(record.consumer, sequence);
                }
            }
            Kind::Attempt => {
                let record = AttemptRecord::parse(step.body)?;
                let outcome = Outcome::from_byte(record.outcome).ok_or(Malformed)?;
                // An attempt of a message that is gone would wait for ever.
                if core.index.get(record.sequence).is_some() {
                    core.fail(record.consumer, record.sequence, outcome, record.at_ms, &record.text, record.not_before_ms);
                }
            }
            Kind::SegmentRemoved => {
                let summary = SegmentSummary::read(&mut reader)?;
                core.segment_removed(summary.id, summary.first_sequence..=summary.last_sequence);
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
        self.core.apply_snapshot(reader)?;
        (self.living, self.torn, self.snapshot_lsn) = (Some(living), torn, lsn);
        Ok(())
    }
}

impl Core {
    /// Evicts what was evicted when this message came.
    fn make_room_again(&mut self, bytes: u64) {
        if self.config.on_full == OnFull::Reject {
            return;
        }
        while self.index.len() + 1 > self.config.messages_max || self.index.bytes() + bytes > self.config.bytes_max {
            let Some((oldest, _)) = self.index.first() else { return };
            self.counts.evicted += 1;
            self.drop_message(oldest);
        }
    }

    /// Lets go of what a snapshot says that its consumers are done with, where that is what retention goes by.
    pub(super) fn drop_what_is_done(&mut self) {
        if self.config.retention == Retention::Limits {
            return;
        }
        let done: Vec<_> =
            self.index.range(0..=u64::MAX).map(|(sequence, _)| sequence).filter(|sequence| self.is_done_with(*sequence)).collect();
        done.into_iter().for_each(|sequence| self.drop_message(sequence));
    }

    /// The log was read to its end: everything in it is durable, and no worker of before has anything.
    pub(crate) fn resume(&mut self, last_sequence: u64, now_ms: u64) {
        self.last_sequence = self.last_sequence.max(last_sequence);
        self.visible = self.last_sequence;
        let keys: Vec<_> = self.consumers.keys().copied().collect();
        for key in keys {
            let in_hand = self.consumers.get(&key).map(crate::consumer::ConsumerState::in_hand).unwrap_or_default();
            for (sequence, _) in in_hand {
                self.fail(key, sequence, Outcome::Restart, now_ms, "", now_ms);
            }
        }
    }
}

/// Bytes of the record of a message with this front and payload.
pub(crate) fn message_bytes(front: usize, payload: usize) -> u64 {
    record_bytes(front + payload) as u64
}
