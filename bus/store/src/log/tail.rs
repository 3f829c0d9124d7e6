//! The end of a log, where records are put.
//!
//! Cost of one record: its bytes are copied once, into the batch; one allocation per batch, not per record; no syscall here. The batch is one
//! write per segment and one sync.

use std::mem;
use std::sync::Arc;

use super::segment::SegmentHead;
use super::{BATCH_BYTES_MAX, Batch, FORMAT_VERSION, Place, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment, SegmentId};
use crate::disk::File;
use crate::record::{self, BODY_BYTES_MAX, Kind, Salt, record_bytes};

/// What a record is for, which decides whether it may use the last space there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Takes space for as long as it is stored.
    Publish,
    /// Acks, deletes and the like: without them no space would ever come back.
    State,
}

/// Why a record cannot be put down now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Room is being made: after the next batch, or when a segment is there.
    Soon,
    /// The disk is full.
    Full,
}

/// A segment that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) id: SegmentId,
    pub(crate) bytes: u64,
    /// Whether one of the reserve would do, if there is no space for another.
    pub(crate) reserve_will_do: bool,
}

/// The end of a log.
#[derive(Debug)]
pub(crate) struct Tail {
    salt: Salt,
    next_lsn: u64,
    current: Segment,
    used: u64,
    spare: Option<Segment>,
    want: Option<Want>,
    /// Size of the last snapshot: the next segment must have room for one.
    snapshot_bytes: u64,
    /// The last attempt to make a segment found the disk full.
    is_full: bool,
    /// It found nothing in the reserve either.
    is_reserve_gone: bool,
    batch: Batch,
    /// Of a batch that is written, for the next one.
    buffer: Vec<u8>,
}

impl Tail {
    /// Goes on behind record `next_lsn - 1`, in a fresh segment.
    pub(crate) fn new(salt: Salt, next_lsn: u64, fresh: Segment) -> Self {
        let mut tail = Self {
            salt,
            next_lsn,
            current: fresh,
            used: 0,
            spare: None,
            want: None,
            snapshot_bytes: 0,
            is_full: false,
            is_reserve_gone: false,
            batch: Batch::default(),
            buffer: Vec::new(),
        };
        tail.begin_segment();
        tail
    }

    pub(crate) fn salt(&self) -> Salt {
        self.salt
    }

    /// The segment that is written.
    pub(crate) fn current(&self) -> &Segment {
        &self.current
    }

    /// Number of the next record.
    pub(crate) fn next_lsn(&self) -> u64 {
        self.next_lsn
    }

    /// Makes sure that a record with a body of `body_bytes` fits, and tells whether that takes another segment. After `Ok(true)` the caller
    /// calls [`rotate`](Self::rotate) and then appends.
    pub(crate) fn room_for(&mut self, class: Class, body_bytes: usize) -> Result<bool, NoRoom> {
        let bytes = record_bytes(body_bytes) as u64;
        if self.batch.has_records() && self.batch.bytes() as u64 + bytes > BATCH_BYTES_MAX as u64 {
            return Err(NoRoom::Soon);
        }
        if self.fits(&self.current, self.used, class, bytes) {
            // Half of it is gone: time to have the next one ready, if the disk can give it.
            if self.used + bytes > self.current.capacity / 2 && self.spare.is_none() && !self.is_full {
                self.want(bytes, class);
            }
            return Ok(false);
        }
        if self.spare.as_ref().is_some_and(|spare| self.fits(spare, head_bytes(), class, bytes)) {
            return Ok(true);
        }
        self.want(bytes, class);
        // Whoever frees space waits for the reserve; whoever takes it need not.
        if self.is_full && (class == Class::Publish || self.is_reserve_gone) { Err(NoRoom::Full) } else { Err(NoRoom::Soon) }
    }

    fn fits(&self, segment: &Segment, used: u64, class: Class, bytes: u64) -> bool {
        used + bytes <= segment.capacity && (class == Class::State || !segment.is_reserve)
    }

    fn want(&mut self, bytes: u64, class: Class) {
        let usual = (self.current.capacity * 2).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let bytes = usual.max((head_bytes() + bytes + 2 * self.snapshot_bytes).next_multiple_of(4096));
        let reserve_will_do = class == Class::State;
        // An unused one from the reserve goes back to it and leaves its number unused.
        let id = self.spare.as_ref().map_or(self.current.id, |spare| spare.id).next();
        let want = self.want.get_or_insert(Want { id, bytes, reserve_will_do });
        want.bytes = want.bytes.max(bytes);
        want.reserve_will_do |= reserve_will_do;
    }

    /// The segment that is wanted, if one is.
    pub(crate) fn wanted(&self) -> Option<Want> {
        self.want
    }

    /// Takes a segment that was wanted; what it replaces is not used any more.
    pub(crate) fn give(&mut self, segment: Segment) -> Option<Segment> {
        debug_assert!(segment.id > self.current.id, "segments are numbered upwards");
        self.is_full = segment.is_reserve;
        self.is_reserve_gone = false;
        // The reserve helps those who free space; for the others a real segment is still wanted.
        self.want = None;
        self.spare.replace(segment)
    }

    /// There was no space for the wanted segment. It stays wanted.
    pub(crate) fn refuse(&mut self, want: Want) {
        self.is_full = true;
        self.is_reserve_gone = want.reserve_will_do;
    }

    /// Whether the disk was full when it was last asked.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Goes on in the next segment. Its first record is written here.
    pub(crate) fn rotate(&mut self) {
        if let Some(spare) = self.spare.take() {
            self.current = spare;
            self.used = 0;
            self.begin_segment();
        }
    }

    fn begin_segment(&mut self) {
        let head = SegmentHead { version: FORMAT_VERSION, id: self.current.id, salt: self.salt };
        self.put(Kind::Segment, &[&head.body()]);
    }

    /// Puts a snapshot at the beginning of a segment, if it leaves room for a record with a body of `body_bytes`. Where it does not fit, older
    /// segments are kept a while longer.
    pub(crate) fn put_snapshot(&mut self, snapshot: &[u8], body_bytes: usize) -> Option<Place> {
        let bytes = record_bytes(snapshot.len()) as u64;
        self.snapshot_bytes = bytes;
        let fits = snapshot.len() <= BODY_BYTES_MAX && self.used + bytes + record_bytes(body_bytes) as u64 <= self.current.capacity;
        fits.then(|| self.put(Kind::Snapshot, &[snapshot]))
    }

    /// Puts a record where [`room_for`](Self::room_for) found room for it.
    pub(crate) fn put(&mut self, kind: Kind, body: &[&[u8]]) -> Place {
        let lsn = self.next_lsn;
        self.next_lsn += 1;
        let (segment, offset) = (self.current.id, self.used);
        let bytes = self.batch.put(&self.current, offset, |into| record::write(into, self.salt, kind, lsn, body));
        debug_assert!(offset + bytes as u64 <= self.current.capacity, "room was made before");
        self.used += bytes as u64;
        Place { segment, offset, bytes, lsn }
    }

    /// Somebody waits for what was put so far.
    pub(crate) fn await_batch(&mut self) {
        self.batch.is_awaited = true;
    }

    pub(crate) fn has_batch(&self) -> bool {
        self.batch.has_records()
    }

    pub(crate) fn batch_bytes(&self) -> usize {
        self.batch.bytes()
    }

    pub(crate) fn is_batch_awaited(&self) -> bool {
        self.batch.is_awaited
    }

    pub(crate) fn take_batch(&mut self) -> Batch {
        let next = Batch::with_buffer(mem::take(&mut self.buffer));
        mem::replace(&mut self.batch, next)
    }

    /// A batch that was taken is written.
    pub(crate) fn written(&mut self, batch: &mut Batch) {
        let buffer = batch.take_buffer();
        if buffer.capacity() > 0 {
            self.buffer = buffer;
        }
    }

    /// A batch was written and not synced; the next one that is synced syncs its files too.
    pub(crate) fn give_back(&mut self, unsynced: Vec<Arc<File>>) {
        self.batch.sync_as_well(unsynced);
    }
}

/// Bytes of the first record of a segment.
fn head_bytes() -> u64 {
    record_bytes(SegmentHead::BODY_BYTES) as u64
}
