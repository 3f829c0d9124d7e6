//! What has left the queue and is not in the socket yet.

use std::io::IoSlice;

use bytes::{Buf, BytesMut};

use super::Seal;
use super::queue::{RETAINED_BYTES_MAX, RETAINED_ENTRIES_MAX};
use super::segments::Segments;

/// Slices in one vectored write; Linux takes 1,024, beyond 64 the gain is not measurable.
const SLICES_MAX: usize = 64;

/// Room for what sealing adds to the few small messages of an ordinary write.
const SEAL_ROOM: usize = 256;

/// Bytes on their way into the socket.
#[derive(Debug, Default)]
pub(super) struct Wire {
    pub(super) buffer: BytesMut,
    pub(super) segments: Segments,
    pub(super) messages: usize,
    /// What `buffer` and `segments` hold; counted along, for there may be thousands of segments and it is asked after every write.
    pub(super) remaining: usize,
    sealed: bool,
}

impl Wire {
    pub(super) fn remaining(&self) -> usize {
        self.remaining
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Seals what was committed, once. Segments begin and end with whole messages, so each is sealed by itself. At most what one commit holds is in
    /// memory twice.
    pub(super) fn seal(&mut self, seal: &dyn Seal) {
        if self.sealed {
            return;
        }
        self.sealed = true;
        let mut out = BytesMut::with_capacity(self.remaining + self.remaining / 8 + SEAL_ROOM);
        seal.seal(&self.buffer, &mut out);
        for segment in self.segments.iter() {
            seal.seal(segment, &mut out);
        }
        self.segments.clear();
        self.remaining = out.len();
        self.buffer = out;
    }

    /// Calls `write` with what is left, oldest first, as few times as it takes bytes for.
    pub(super) fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        if self.segments.is_empty() {
            return write(&[IoSlice::new(&self.buffer)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut used = 0;
        if !self.buffer.is_empty() {
            slices[0] = IoSlice::new(&self.buffer);
            used = 1;
        }
        for segment in self.segments.iter().take(SLICES_MAX - used) {
            slices[used] = IoSlice::new(segment);
            used += 1;
        }
        write(&slices[..used])
    }

    /// Forgets the first `written` bytes.
    pub(super) fn advance(&mut self, written: usize) {
        self.remaining -= written;
        let from_buffer = written.min(self.buffer.len());
        self.buffer.advance(from_buffer);
        let beyond = self.segments.skip(written - from_buffer);
        debug_assert_eq!(beyond, 0, "the socket takes no more than it was given");
    }

    /// Makes what is left hold no memory but its own, because the socket takes no more of it for now.
    pub(super) fn own(&mut self) {
        self.segments.own();
    }

    /// Makes an emptied wire ready for the next commit.
    pub(super) fn recycle(&mut self) {
        self.messages = 0;
        self.sealed = false;
        self.buffer.clear();
        // An advanced buffer does not say how much it holds; asking for room brings what it has to the front.
        if self.buffer.try_reclaim(RETAINED_BYTES_MAX + 1) {
            self.buffer = BytesMut::new();
        }
        self.segments.release(RETAINED_ENTRIES_MAX);
    }
}
