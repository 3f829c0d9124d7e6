//! The pieces of a queue that are not copied behind each other, oldest first.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Pieces up to this size are copied once they have to wait. Each may be a small part of the read buffer it came in, which lives as long as it does:
/// a queue's bounds would count bytes and not memory. Larger ones are most of their buffer.
const COPY_TO_WAIT_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Segments {
    list: VecDeque<Segment>,
    /// How many of the list are borrowed.
    borrowed: usize,
}

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// Part of a buffer that may be much larger.
    is_borrowed: bool,
}

impl Segments {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a piece that fills its buffer.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.list.push_back(Segment { bytes, is_borrowed: false });
    }

    /// Adds a piece of whose buffer nothing is known.
    pub(super) fn lend(&mut self, bytes: Bytes) {
        let is_borrowed = bytes.len() <= COPY_TO_WAIT_BYTES_MAX;
        self.borrowed += usize::from(is_borrowed);
        self.list.push_back(Segment { bytes, is_borrowed });
    }

    /// Copies what is borrowed, because it has to wait. What has waited before costs nothing: borrowed pieces are the newest of a queue.
    pub(super) fn own(&mut self) {
        for segment in self.list.iter_mut().rev() {
            if self.borrowed == 0 {
                return;
            }
            if std::mem::take(&mut segment.is_borrowed) {
                segment.bytes = Bytes::copy_from_slice(&segment.bytes);
                self.borrowed -= 1;
            }
        }
    }

    /// What it holds, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|segment| &segment.bytes[..])
    }

    /// Forgets the oldest `bytes`, and returns how many more that is than there are.
    pub(super) fn skip(&mut self, mut bytes: usize) -> usize {
        while bytes > 0 {
            let Some(front) = self.list.front_mut() else { return bytes };
            if front.bytes.len() > bytes {
                front.bytes.advance(bytes);
                return 0;
            }
            bytes -= front.bytes.len();
            self.pop();
        }
        0
    }

    /// Moves the oldest `bytes` to the end of `other`; there are that many.
    pub(super) fn hand_over(&mut self, mut bytes: usize, other: &mut Self) {
        while bytes > 0 {
            let front = self.list.front_mut().expect("segments hold every waiting byte");
            let part = if front.bytes.len() > bytes {
                Segment { bytes: front.bytes.split_to(bytes), is_borrowed: front.is_borrowed }
            } else {
                self.pop().expect("the front was just seen")
            };
            bytes -= part.bytes.len();
            other.borrowed += usize::from(part.is_borrowed);
            other.list.push_back(part);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.borrowed = 0;
    }

    /// Gives the list's memory back if it is empty and has room for more than `entries_max`.
    pub(super) fn release(&mut self, entries_max: usize) {
        if self.list.is_empty() && self.capacity() > entries_max {
            self.list = VecDeque::new();
        }
    }

    /// Pieces for which the list has memory.
    pub(super) fn capacity(&self) -> usize {
        self.list.capacity()
    }

    fn pop(&mut self) -> Option<Segment> {
        let front = self.list.pop_front()?;
        self.borrowed -= usize::from(front.is_borrowed);
        Some(front)
    }
}
