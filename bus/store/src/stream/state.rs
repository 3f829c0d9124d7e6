//! A stream's core together with its log: each verb changes the one and writes to the other, or does neither.
//!
//! Synchronous, with the time as an argument. Whoever owns it takes the batch, writes it without holding the state, and gives it back.

use std::collections::BTreeMap;
use std::io;

use myelin_wire::{Filter, Subject};
use tracing::debug;

use super::core::{Deduplicated, Refused};
use super::replay::{message_bytes, write_log_part};
use super::{Core, Entry};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::{ATTEMPT_TEXT_BYTES_MAX, Lease, Outcome, Settled, millis};
use crate::error::StoreError;
use crate::log::{Batch, Class, Mark, MarkFile, NoRoom, Place, Segment, SegmentId, SegmentSummary, Tail, Want};
use crate::record::{AckRecord, AttemptRecord, DeliveredRecord, Kind, MessageRecord, Salt, Writer, cut, write_consumer, write_stream};

/// A message that is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage<'a> {
    pub(crate) subject: &'a Subject,
    /// Empty: none.
    pub(crate) id: &'a str,
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
    /// 0: none.
    pub(crate) expires_ms: u64,
    /// 0: at once.
    pub(crate) due_ms: u64,
    pub(crate) expected_last: Option<u64>,
}

/// Where a message is, or was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) is_duplicate: bool,
    /// Durable when this record is.
    pub(crate) lsn: u64,
}

/// One stream, in memory and on disk.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) tail: Tail,
    /// All segments but the last, which the tail has.
    sealed: BTreeMap<SegmentId, (Segment, SegmentSummary)>,
    current: SegmentSummary,
    /// Sealed segments that said they go; gone when the record is durable.
    leaving: Vec<(u64, Segment)>,
    /// The newest segment that begins with a snapshot: what is older is needed for its messages only.
    snapshot_segment: Option<SegmentId>,
    torn: Vec<(u64, u64)>,
    mark: Mark,
    mark_file: MarkFile,
    durable_lsn: u64,
    written_lsn: u64,
    is_mark_unsynced: bool,
    /// The last message and the last record before the end of the batch that was taken.
    taken_sequence: u64,
    taken_lsn: u64,
}

impl State {
    /// Goes on where a log ended.
    pub(crate) fn new(
        core: Core,
        tail: Tail,
        sealed: BTreeMap<SegmentId, (Segment, SegmentSummary)>,
        torn: Vec<(u64, u64)>,
        mark_file: MarkFile,
    ) -> Self {
        let current = fresh_summary(tail.current().id, tail.next_lsn() - 1);
        let durable_lsn = tail.next_lsn() - 2;
        let mark = Mark { lsn: durable_lsn, sequence: core.last_sequence() };
        let mut state = Self {
            core,
            tail,
            sealed,
            current,
            leaving: Vec::new(),
            snapshot_segment: None,
            torn,
            mark,
            mark_file,
            durable_lsn,
            taken_sequence: mark.sequence,
            taken_lsn: mark.lsn,
            written_lsn: mark.lsn,
            is_mark_unsynced: false,
        };
        state.snapshot(0);
        state
    }

    /// Stores a message, or finds that it is stored. The caller waits for the record to be durable.
    pub(crate) fn publish(&mut self, message: &NewMessage<'_>, now_ms: u64) -> Result<Stored, StoreError> {
        let record = |sequence| MessageRecord {
            sequence,
            stored_ms: now_ms,
            expires_ms: message.expires_ms,
            due_ms: message.due_ms,
            subject: message.subject.as_str(),
            id: message.id,
            headers: message.headers,
            payload: message.payload,
        };
        let front = record(self.core.last_sequence() + 1).front();
        let bytes = message_bytes(front.len(), message.payload.len());
        let prepared = match self.core.prepare(message.subject, message.id, message.expected_last, bytes, now_ms) {
            Ok(Ok(prepared)) => prepared,
            // Its record may be on its way to the disk: what is durable includes everything before the next record.
            Ok(Err(Deduplicated { sequence })) => return Ok(Stored { sequence, is_duplicate: true, lsn: self.tail.next_lsn() - 1 }),
            Err(Refused::Full { messages, bytes }) => return Err(StoreError::StreamFull { messages, bytes }),
            Err(Refused::WrongLastSequence { last }) => return Err(StoreError::WrongLastSequence { last }),
        };
        let place = self.put(Class::Publish, Kind::Message, &[&front, message.payload])?;
        let entry =
            Entry { subject: message.subject.clone(), place, stored_ms: now_ms, expires_ms: message.expires_ms, due_ms: message.due_ms };
        self.core.store(&prepared, entry, message.id);
        if self.current.last_sequence == 0 {
            self.current.first_sequence = prepared.sequence;
        }
        self.current.last_sequence = prepared.sequence;
        Ok(Stored { sequence: prepared.sequence, is_duplicate: false, lsn: place.lsn })
    }

    /// Messages for a worker; see [`ConsumerState::lease`](crate::consumer::ConsumerState::lease).
    pub(crate) fn lease(&mut self, key: u32, max: usize, now_ms: u64) -> Result<Vec<Lease>, StoreError> {
        // The room comes first: a delivery that cannot be noted does not happen.
        self.room(Class::State, 12 + 8 * max)?;
        let leases = self.core.lease(key, max, now_ms);
        if !leases.is_empty() {
            let sequences = leases.iter().map(|lease| lease.sequence).collect();
            let record = DeliveredRecord { consumer: key, at_ms: now_ms, sequences };
            self.put(Class::State, Kind::Delivered, &[&record.body()])?;
        }
        Ok(leases)
    }

    /// A consumer is done with these. Tells how many it still had, and the record to wait for.
    pub(crate) fn ack(&mut self, key: u32, sequences: &[u64]) -> Result<(usize, u64), StoreError> {
        let pending = |sequence: &u64| self.core.consumer(key).is_some_and(|consumer| consumer.is_pending(*sequence));
        let had: Vec<u64> = sequences.iter().copied().filter(pending).collect();
        if had.is_empty() {
            return Ok((0, self.tail.next_lsn() - 1));
        }
        let record = AckRecord { consumer: key, sequences: had };
        let place = self.put(Class::State, Kind::Ack, &[&record.body()])?;
        for sequence in &record.sequences {
            self.core.settle(key, *sequence);
        }
        Ok((record.sequences.len(), place.lsn))
    }

    /// A delivery ended without an ack. `delivery` `None`: whichever it was. The message comes again after `delay_ms`, or its backoff.
    pub(crate) fn fail(
        &mut self,
        key: u32,
        sequence: u64,
        delivery: u32,
        outcome: Outcome,
        error: &str,
        delay_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<Settled, StoreError> {
        let Some(consumer) = self.core.consumer(key).filter(|consumer| consumer.is_leased(sequence, delivery)) else {
            return Ok(Settled::Stale);
        };
        // Silence has waited for its backoff already; a worker that died is no reason to let the message wait.
        let backoff_ms = match outcome {
            Outcome::Nak => millis(consumer.config.backoff_after(delivery)),
            _ => 0,
        };
        let not_before_ms = now_ms.saturating_add(delay_ms.unwrap_or(backoff_ms));
        let error = cut(error, ATTEMPT_TEXT_BYTES_MAX);
        let record = AttemptRecord { consumer: key, sequence, at_ms: now_ms, not_before_ms, outcome: outcome as u8, text: error.into() };
        self.put(Class::State, Kind::Attempt, &[&record.body()])?;
        self.core.fail(key, sequence, outcome, now_ms, error, not_before_ms);
        Ok(Settled::Done)
    }

    /// The worker needs `ack_wait` once more.
    pub(crate) fn extend(&mut self, key: u32, sequence: u64, delivery: u32, now_ms: u64) -> Settled {
        self.core.consumer_mut(key).map_or(Settled::Stale, |consumer| consumer.extend(sequence, delivery, now_ms))
    }

    /// Deletes one message. Tells whether it was there, and the record to wait for.
    pub(crate) fn delete(&mut self, sequence: u64) -> Result<(bool, u64), StoreError> {
        if self.core.index.get(sequence).is_none() {
            return Ok((false, self.tail.next_lsn() - 1));
        }
        let place = self.put(Class::State, Kind::Delete, &[&sequence.to_le_bytes()])?;
        Ok((self.core.delete(sequence), place.lsn))
    }

    /// Deletes what is there on subjects of the filter, or everything.
    pub(crate) fn purge(&mut self, filter: Option<&Filter>) -> Result<(u64, u64), StoreError> {
        let last = self.core.last_sequence();
        let gone = self.core.purgeable(|subject| filter.is_none_or(|filter| filter.matches(subject)), last);
        let mut body = Writer::default();
        body.u64(last).text(filter.map_or("", Filter::as_str));
        let place = self.put(Class::State, Kind::Purge, &[&body.0])?;
        let count = gone.into_iter().filter(|sequence| self.core.delete(*sequence)).count();
        Ok((count as u64, place.lsn))
    }

    pub(crate) fn put_consumer(&mut self, config: ConsumerConfig) -> Result<(u32, u64), StoreError> {
        if let Some(other) = self.core.overlapping(&config) {
            return Err(StoreError::Overlap { other: other.clone() });
        }
        let key = self.core.key_of(&config.name).unwrap_or(self.core.next_key());
        if self.core.consumer(key).is_some_and(|consumer| consumer.config == config) {
            return Ok((key, self.tail.next_lsn() - 1));
        }
        let mut body = Writer::default();
        body.u32(key);
        write_consumer(&mut body, &config);
        let place = self.put(Class::State, Kind::ConsumerPut, &[&body.0])?;
        self.core.put_consumer(key, config);
        Ok((key, place.lsn))
    }

    pub(crate) fn delete_consumer(&mut self, key: u32) -> Result<(bool, u64), StoreError> {
        if self.core.consumer(key).is_none() {
            return Ok((false, self.tail.next_lsn() - 1));
        }
        let place = self.put(Class::State, Kind::ConsumerDelete, &[&key.to_le_bytes()])?;
        self.core.delete_consumer(key);
        Ok((true, place.lsn))
    }

    pub(crate) fn put_config(&mut self, config: StreamConfig) -> Result<u64, StoreError> {
        let mut body = Writer::default();
        write_stream(&mut body, &config);
        let place = self.put(Class::State, Kind::Config, &[&body.0])?;
        self.core.config = config;
        Ok(place.lsn)
    }

    /// What time alone does: silent workers lose their messages, old messages go. Does as much as there is room to note.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        let overdue: Vec<_> = self.core.consumers().map(|(key, consumer)| (key, consumer.overdue(now_ms))).collect();
        for (key, sequences) in overdue {
            for sequence in sequences {
                let Some(delivery) = self.delivery_of(key, sequence) else { continue };
                let failed = self.fail(key, sequence, delivery, Outcome::AckWaitExpired, "", None, now_ms);
                if failed.is_err() {
                    return;
                }
            }
        }
        if !self.core.config.dead_letter_expired {
            for sequence in self.core.expired(now_ms, EXPIRED_AT_ONCE) {
                self.core.expire(sequence);
            }
        }
    }

    fn delivery_of(&self, key: u32, sequence: u64) -> Option<u32> {
        let in_hand = self.core.consumer(key)?.in_hand();
        in_hand.into_iter().find(|(found, _)| *found == sequence).map(|(_, delivery)| delivery)
    }

    /// When `tick` has something to do.
    pub(crate) fn next_event_ms(&self) -> Option<u64> {
        let consumers = self.core.consumers().filter_map(|(_, consumer)| consumer.next_event_ms());
        let expiry = if self.core.config.dead_letter_expired { None } else { self.core.next_expiry_ms() };
        consumers.chain(expiry).min()
    }

    fn room(&mut self, class: Class, body_bytes: usize) -> Result<bool, StoreError> {
        self.tail.room_for(class, body_bytes).map_err(|no_room| match no_room {
            NoRoom::Soon => StoreError::Busy,
            NoRoom::Full => StoreError::StorageFull,
        })
    }

    fn put(&mut self, class: Class, kind: Kind, body: &[&[u8]]) -> Result<Place, StoreError> {
        let body_bytes = body.iter().map(|part| part.len()).sum();
        if self.room(class, body_bytes)? {
            let sealed = (self.tail.current().clone(), self.current);
            self.sealed.insert(sealed.0.id, sealed);
            let first_lsn = self.tail.next_lsn();
            self.tail.rotate();
            self.current = fresh_summary(self.tail.current().id, first_lsn);
            self.snapshot(body_bytes);
        }
        let place = self.tail.put(kind, body);
        self.current.last_lsn = place.lsn;
        Ok(place)
    }

    fn snapshot(&mut self, body_bytes: usize) {
        let living: Vec<_> = self.sealed.values().map(|(_, summary)| *summary).collect();
        let mut body = Writer::default();
        write_log_part(&mut body, &living, &self.torn);
        self.core.write_snapshot(&mut body);
        if let Some(place) = self.tail.put_snapshot(&body.0, body_bytes) {
            debug!(lsn = place.lsn, bytes = place.bytes, "snapshot");
            self.current.last_lsn = place.lsn;
            self.snapshot_segment = Some(place.segment);
        }
    }

    /// Notes which segments go, and returns those whose note is durable: their files can be removed.
    pub(crate) fn collect(&mut self, now_ms: u64) -> Vec<Segment> {
        let covered = self.snapshot_segment;
        let removable: Vec<_> = self
            .sealed
            .iter()
            .filter(|(id, _)| covered.is_some_and(|covered| **id < covered) && self.core.is_removable(**id, now_ms))
            .map(|(id, _)| *id)
            .collect();
        for id in removable {
            let Some(summary) = self.sealed.get(&id).map(|(_, summary)| *summary) else { continue };
            let mut body = Writer::default();
            summary.write(&mut body);
            let Ok(place) = self.put(Class::State, Kind::SegmentRemoved, &[&body.0]) else { break };
            self.core.segment_removed(id, summary.first_sequence..=summary.last_sequence);
            if let Some((segment, _)) = self.sealed.remove(&id) {
                self.leaving.push((place.lsn, segment));
            }
        }
        let durable = self.durable_lsn;
        let (gone, leaving) = std::mem::take(&mut self.leaving).into_iter().partition(|(lsn, _)| *lsn <= durable);
        self.leaving = leaving;
        let gone: Vec<(u64, Segment)> = gone;
        gone.into_iter().map(|(_, segment)| segment).collect()
    }

    pub(crate) fn wanted(&self) -> Option<Want> {
        self.tail.wanted()
    }

    /// Takes what is to be written.
    pub(crate) fn begin_commit(&mut self) -> Batch {
        (self.taken_sequence, self.taken_lsn) = (self.core.last_sequence(), self.tail.next_lsn() - 1);
        self.tail.take_batch()
    }

    /// What was taken is written, and synced where that is asked for.
    pub(crate) fn end_commit(&mut self, batch: Batch, is_durable: bool) -> io::Result<()> {
        self.written_lsn = self.written_lsn.max(self.taken_lsn);
        if is_durable {
            self.durable_lsn = self.durable_lsn.max(self.taken_lsn);
            self.mark = Mark { lsn: self.durable_lsn, sequence: self.taken_sequence };
            self.mark_file.write(self.mark)?;
            self.is_mark_unsynced = true;
        } else {
            self.tail.give_back(batch.into_unsynced());
        }
        // Written is enough to be shown: what the end of the process leaves is read at the next start, and synced then.
        self.core.show(self.taken_sequence);
        Ok(())
    }

    /// Number of the last record that is durable.
    pub(crate) fn durable_lsn(&self) -> u64 {
        self.durable_lsn
    }

    /// Number of the last record that was written.
    pub(crate) fn written_lsn(&self) -> u64 {
        self.written_lsn
    }

    pub(crate) fn is_mark_unsynced(&self) -> bool {
        self.is_mark_unsynced
    }

    pub(crate) fn sync_mark(&mut self) -> io::Result<()> {
        self.mark_file.sync()?;
        self.is_mark_unsynced = false;
        Ok(())
    }

    /// Whether there is something to look after though nothing happens.
    pub(crate) fn wants_rounds(&self) -> bool {
        self.is_mark_unsynced || self.tail.wanted().is_some() || !self.sealed.is_empty()
    }

    /// Takes a segment that was wanted.
    pub(crate) fn give(&mut self, segment: Segment) -> io::Result<()> {
        // One from the reserve that was not used is noted to go like any other.
        if let Some(unused) = self.tail.give(segment) {
            self.leaving.push((0, unused));
        }
        Ok(())
    }

    /// A segment for reading.
    pub(crate) fn segment(&self, id: SegmentId) -> Option<Segment> {
        if self.tail.current().id == id {
            return Some(self.tail.current().clone());
        }
        self.sealed.get(&id).map(|(segment, _)| segment.clone())
    }

    pub(crate) fn salt(&self) -> Salt {
        self.tail.salt()
    }

    pub(crate) fn segments(&self) -> usize {
        self.sealed.len() + 1
    }

    /// Bytes of all files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.sealed.values().map(|(segment, _)| segment.capacity).sum::<u64>() + self.tail.current().capacity
    }
}

/// Most messages that expire in one go, so that nobody waits long for the state.
const EXPIRED_AT_ONCE: usize = 4096;

fn fresh_summary(id: SegmentId, first_lsn: u64) -> SegmentSummary {
    SegmentSummary { id, first_lsn, last_lsn: first_lsn, first_sequence: 1, last_sequence: 0 }
}
