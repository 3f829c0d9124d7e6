//! A stream's core together with its log: each verb changes the one and writes to the other, or does neither.
//!
//! Synchronous, with the time as an argument. Whoever owns it takes the batch, writes it without holding the state, and gives it back.

use bytes::Bytes;
use myelin_wire::{Filter, Subject};

use super::commit::Commits;
use super::core::{Deduplicated, Refused};
use super::recent::{RECENT_BYTES_MAX, Recent};
use super::segments::Segments;
use super::{Core, Entry};
use crate::config::{ConsumerConfig, StreamConfig};
use crate::consumer::{ATTEMPT_TEXT_BYTES_MAX, Attempt, Lease, Most, Outcome, Settled, millis};
use crate::error::StoreError;
use crate::handle;
use crate::log::{Class, MarkFile, Tail};
use crate::record::{
    AckRecord, AttemptRecord, DeliveredRecord, Kind, MessageRecord, Writer, cut, record_bytes, write_consumer, write_stream,
};

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

/// A delivery that ended without an ack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed<'a> {
    pub(crate) key: u32,
    pub(crate) sequence: u64,
    pub(crate) delivery: u32,
    pub(crate) outcome: Outcome,
    pub(crate) error: &'a str,
    /// How long the message waits; `None`: as its backoff says.
    pub(crate) delay_ms: Option<u64>,
}

/// One stream, in memory and on disk.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) core: Core,
    pub(crate) tail: Tail,
    pub(super) segments: Segments,
    pub(super) commits: Commits,
    /// `tick` has nothing to do before this.
    pub(super) next_event_ms: u64,
    pub(crate) recent: Recent,
}

impl State {
    /// Goes on where a log ended, in a fresh segment.
    pub(crate) fn new(core: Core, tail: Tail, segments: Segments, mark_file: MarkFile) -> Self {
        let commits = Commits::new(&core, &tail, mark_file);
        let mut state = Self { core, tail, segments, commits, next_event_ms: 0, recent: Recent::default() };
        state.snapshot(0);
        state
    }

    /// Stores a message, or finds that it is stored. The caller waits for the record to be durable.
    #[cfg(test)]
    pub(crate) fn publish(&mut self, message: &NewMessage<'_>, now_ms: u64) -> Result<Stored, StoreError> {
        self.publish_over(message, 0, now_ms)
    }

    /// As `publish`. Everything up to `may_evict_to` may go for it without a word, where others have to be moved first.
    pub(crate) fn publish_over(&mut self, message: &NewMessage<'_>, may_evict_to: u64, now_ms: u64) -> Result<Stored, StoreError> {
        let id = cut(message.id, ID_BYTES_MAX);
        let mut record = MessageRecord {
            sequence: self.core.last_sequence() + 1,
            stored_ms: now_ms,
            expires_ms: message.expires_ms,
            due_ms: message.due_ms,
            evicts_to: 0,
            is_unwanted: false,
            subject: message.subject.as_str(),
            id,
            headers: message.headers,
            payload: message.payload,
        };
        let bytes = record_bytes(record.front_bytes() + message.payload.len()) as u64;
        let prepared = match self.core.prepare(message.subject, id, message.expected_last, bytes, may_evict_to, now_ms) {
            Ok(Ok(prepared)) => prepared,
            // Its record may be on its way to the disk: what is durable includes everything before the next record.
            Ok(Err(Deduplicated { sequence })) => return Ok(Stored { sequence, is_duplicate: true, lsn: self.last_lsn() }),
            Err(Refused::Full { messages, bytes }) => return Err(StoreError::StreamFull { messages, bytes }),
            Err(Refused::WrongLastSequence { last }) => return Err(StoreError::WrongLastSequence { last }),
            // What is on its way to the disk cannot be read yet.
            Err(Refused::MustMove { to }) if to > self.core.visible() => return Err(StoreError::Busy),
            Err(Refused::MustMove { to }) => return Err(StoreError::MustMove { to }),
        };
        (record.evicts_to, record.is_unwanted) = (prepared.evicts_to, prepared.is_unwanted);
        let front = record.front();
        let place = self.put(Class::Publish, Kind::Message, &[&front, message.payload])?;
        let entry =
            Entry { subject: message.subject.clone(), place, stored_ms: now_ms, expires_ms: message.expires_ms, due_ms: message.due_ms };
        self.note_expiry(&entry);
        if !prepared.is_unwanted {
            self.remember(&record);
        }
        self.core.store(&prepared, entry, id);
        self.segments.has_message(prepared.sequence);
        Ok(Stored { sequence: prepared.sequence, is_duplicate: false, lsn: place.lsn })
    }

    /// Keeps a message for the workers that are about to be given it.
    fn remember(&mut self, record: &MessageRecord<'_>) {
        let is_read = self.core.consumers().next().is_some();
        if !is_read || record.payload.len() + record.headers.len() > RECENT_BYTES_MAX {
            return;
        }
        let Ok(subject) = Subject::new(record.subject) else { return };
        // Copied: what the publisher gave may be a small piece of something large.
        let headers = Bytes::copy_from_slice(record.headers);
        let payload = Bytes::copy_from_slice(record.payload);
        self.recent.push(handle::Stored {
            sequence: record.sequence,
            subject,
            stored_ms: record.stored_ms,
            expires_ms: (record.expires_ms != 0).then_some(record.expires_ms),
            id: (!record.id.is_empty()).then(|| record.id.into()),
            headers,
            payload,
        });
    }

    /// These expired, and somebody was told.
    pub(crate) fn expire(&mut self, sequences: &[u64]) -> Result<(usize, u64), StoreError> {
        let there: Vec<u64> = sequences.iter().copied().filter(|sequence| self.core.index.get(*sequence).is_some()).collect();
        if there.is_empty() {
            return Ok((0, self.last_lsn()));
        }
        let mut body = Writer::default();
        there.iter().for_each(|sequence| {
            body.u64(*sequence);
        });
        let place = self.put(Class::State, Kind::Expired, &[&body.0])?;
        there.iter().for_each(|sequence| self.core.expire(*sequence));
        Ok((there.len(), place.lsn))
    }

    /// Messages for a worker; see [`ConsumerState::lease`](crate::consumer::ConsumerState::lease).
    pub(crate) fn lease(&mut self, key: u32, most: Most, now_ms: u64) -> Result<Vec<Lease>, StoreError> {
        // No more than that can be in flight; the room below is asked for as many.
        let max = most.messages.min(self.core.consumer(key).map_or(0, |consumer| consumer.config.in_flight_max));
        // The room comes first: a delivery that cannot be noted does not happen. So does the next segment, whose snapshot would have it already.
        if self.room(Class::State, 12 + 8 * max)? {
            self.rotate(12 + 8 * max);
        }
        let leases = self.core.lease(key, Most { messages: max, ..most }, now_ms);
        if !leases.is_empty() {
            let sequences = leases.iter().map(|lease| lease.sequence).collect();
            let record = DeliveredRecord { consumer: key, at_ms: now_ms, sequences };
            self.put(Class::State, Kind::Delivered, &[&record.body()])?;
            self.note_deadline(key);
        }
        Ok(leases)
    }

    /// A consumer is done with these. Tells how many it still had, and the record to wait for.
    pub(crate) fn ack(&mut self, key: u32, sequences: &[u64]) -> Result<(usize, u64), StoreError> {
        let pending = |sequence: &u64| self.core.consumer(key).is_some_and(|consumer| consumer.is_pending(*sequence));
        let had: Vec<u64> = sequences.iter().copied().filter(pending).collect();
        if had.is_empty() {
            return Ok((0, self.last_lsn()));
        }
        let record = AckRecord { consumer: key, sequences: had };
        let place = self.put(Class::State, Kind::Ack, &[&record.body()])?;
        for sequence in &record.sequences {
            self.core.settle(key, *sequence);
        }
        Ok((record.sequences.len(), place.lsn))
    }

    /// A delivery ended without an ack; the message comes again.
    pub(crate) fn fail(&mut self, failed: &Failed<'_>, now_ms: u64) -> Result<Settled, StoreError> {
        let Failed { key, sequence, delivery, outcome, .. } = *failed;
        let Some(consumer) = self.core.consumer(key).filter(|consumer| consumer.is_leased(sequence, delivery)) else {
            return Ok(Settled::Stale);
        };
        // Silence has waited for its backoff already; a worker that died is no reason to let the message wait.
        let backoff_ms = match outcome {
            Outcome::Nak => millis(consumer.config.backoff_after(delivery)),
            _ => 0,
        };
        let not_before_ms = now_ms.saturating_add(failed.delay_ms.unwrap_or(backoff_ms));
        let error = cut(failed.error, ATTEMPT_TEXT_BYTES_MAX);
        let record = AttemptRecord { consumer: key, sequence, at_ms: now_ms, not_before_ms, outcome: outcome as u8, text: error.into() };
        self.put(Class::State, Kind::Attempt, &[&record.body()])?;
        self.core.fail(key, sequence, Attempt { at_ms: now_ms, outcome, error: record.text }, not_before_ms);
        Ok(Settled::Done)
    }

    /// The worker needs `ack_wait` once more.
    pub(crate) fn extend(&mut self, key: u32, sequence: u64, delivery: u32, now_ms: u64) -> Settled {
        self.core.consumer_mut(key).map_or(Settled::Stale, |consumer| consumer.extend(sequence, delivery, now_ms))
    }

    /// Deletes one message. Tells whether it was there, and the record to wait for.
    pub(crate) fn delete(&mut self, sequence: u64) -> Result<(bool, u64), StoreError> {
        if self.core.index.get(sequence).is_none() {
            return Ok((false, self.last_lsn()));
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
        let key = self.core.key_of(&config.name).unwrap_or_else(|| self.core.next_key());
        if self.core.consumer(key).is_some_and(|consumer| consumer.config == config) {
            return Ok((key, self.last_lsn()));
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
            return Ok((false, self.last_lsn()));
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
        // A shorter age may have ended already.
        self.next_event_ms = 0;
        Ok(place.lsn)
    }
}

/// Longest id that a record keeps; what is beyond does not count while the stream is open either.
const ID_BYTES_MAX: usize = 255;
