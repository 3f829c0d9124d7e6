//! The boxes of the data phase: XSalsa20-Poly1305 as NaCl has it, several boxes per pass.
//!
//! All nonces of one direction begin with the same 16 bytes. What XSalsa20 derives from the key and from them is therefore derived once per
//! connection; a box is left with Salsa20 under its count, which is computed for as many boxes at a time as there are.
//!
//! Keys are wiped when they are dropped. Key streams are not: they tell no more than the message beside them.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::boxes::TAG_BYTES;
use super::salsa20::{self, BLOCKS_MAX, Stream, WORDS, Wanted};
use super::tag;

const BLOCK_BYTES: usize = 64;

/// Words at the front of a box's key stream that key its tag.
const TAG_WORDS: usize = 8;

/// Boxes of one batch: the shortest has one block, those of small messages two.
const BOXES_MAX: usize = 64;

/// One direction of one connection.
pub(super) struct Cipher {
    base: Zeroizing<[u32; WORDS]>,
}

/// A box whose key stream is known.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    count: u64,
    /// Where the box's content begins, for whoever added it.
    at: usize,
    len: usize,
}

/// Key streams of the next few boxes.
pub(in crate::codec) struct Batch {
    wanted: Wanted,
    stream: Stream,
    known: [Known; BOXES_MAX],
    len: usize,
    /// The next box to be taken, and the first block of its key stream.
    next: (usize, usize),
}

impl Batch {
    pub(in crate::codec) const fn new() -> Self {
        Self {
            wanted: Wanted::new(),
            stream: [[0; WORDS]; BLOCKS_MAX],
            known: [Known { count: 0, at: 0, len: 0 }; BOXES_MAX],
            len: 0,
            next: (0, 0),
        }
    }

    /// Whether every box was taken.
    pub(in crate::codec) fn is_empty(&self) -> bool {
        self.next.0 == self.len
    }

    pub(super) fn clear(&mut self) {
        self.wanted.clear();
        self.len = 0;
        self.next = (0, 0);
    }

    /// Adds the box with this count, whose content has `len` bytes; false if there is no room for it.
    pub(super) fn add(&mut self, count: u64, at: usize, len: usize) -> bool {
        let blocks = blocks_of(len);
        if self.len == BOXES_MAX || blocks > self.wanted.room() {
            return false;
        }
        self.wanted.add(count, 0, blocks);
        self.known[self.len] = Known { count, at, len };
        self.len += 1;
        true
    }

    /// The key stream of the next box.
    fn take(&mut self) -> Option<(Known, &[[u32; WORDS]])> {
        let (next, block) = self.next;
        let known = *self.known[..self.len].get(next)?;
        let end = block + blocks_of(known.len);
        self.next = (next + 1, end);
        Some((known, &self.stream[block..end]))
    }
}

impl Cipher {
    /// `key` is what both ends share, `prefix` what the nonces of this direction begin with.
    pub(super) fn new(key: &[u8; 32], prefix: &[u8; 16]) -> Self {
        let key = Zeroizing::new(salsabox::hsalsa20(key, prefix));
        Self { base: Zeroizing::new(salsa20::base(&key)) }
    }

    /// Computes the key streams of what was added to the batch.
    pub(super) fn compute(&self, batch: &mut Batch) {
        salsa20::compute(&self.base, &batch.wanted, &mut batch.stream);
    }

    /// Seals every box of a computed batch where it lies in `bytes`: each content is preceded by its tag. Empties the batch.
    pub(super) fn seal(&self, batch: &mut Batch, bytes: &mut [u8]) {
        self.compute(batch);
        while let Some((Known { at, len, .. }, stream)) = batch.take() {
            let (tag, content) = bytes[at - TAG_BYTES..at + len].split_at_mut(TAG_BYTES);
            let key = tag_key(stream);
            apply(stream, TAG_WORDS, content);
            tag.copy_from_slice(&tag::of(&key, content));
        }
        batch.clear();
    }

    /// Seals one box of any size, and returns its tag.
    pub(super) fn seal_long(&self, batch: &mut Batch, count: u64, content: &mut [u8]) -> [u8; TAG_BYTES] {
        let key = self.first(batch, count, content.len());
        self.apply_long(batch, count, content);
        tag::of(&key, content)
    }

    /// Opens the content of the box with this count where it lies; false, and nothing is changed, if the tag is not its tag. Whether the box is the
    /// next one of the batch or not makes a difference in time only.
    pub(super) fn open(&self, batch: &mut Batch, count: u64, content: &mut [u8], tag: &[u8; TAG_BYTES]) -> bool {
        let valid = |key: &[u8; 32], content: &[u8]| bool::from(tag::of(key, content).ct_eq(tag));
        match batch.take() {
            Some((known, stream)) if known.count == count && known.len == content.len() => {
                let valid = valid(&tag_key(stream), content);
                if valid {
                    apply(stream, TAG_WORDS, content);
                }
                valid
            }
            _ => {
                let key = self.first(batch, count, content.len());
                let valid = valid(&key, content);
                if valid {
                    self.apply_long(batch, count, content);
                }
                batch.clear();
                valid
            }
        }
    }

    /// Computes the first blocks of one box, as many as there is room for, and returns the key of its tag.
    fn first(&self, batch: &mut Batch, count: u64, len: usize) -> [u8; 32] {
        batch.clear();
        batch.wanted.add(count, 0, blocks_of(len).min(BLOCKS_MAX));
        self.compute(batch);
        tag_key(&batch.stream)
    }

    /// Applies the key stream whose first blocks are computed.
    fn apply_long(&self, batch: &mut Batch, count: u64, content: &mut [u8]) {
        const FIRST: usize = BLOCKS_MAX * BLOCK_BYTES - 4 * TAG_WORDS;
        let (first, rest) = content.split_at_mut(content.len().min(FIRST));
        apply(&batch.stream, TAG_WORDS, first);
        for (turn, part) in (1..).zip(rest.chunks_mut(BLOCKS_MAX * BLOCK_BYTES)) {
            batch.wanted.clear();
            batch.wanted.add(count, turn * BLOCKS_MAX as u32, part.len().div_ceil(BLOCK_BYTES));
            self.compute(batch);
            apply(&batch.stream, 0, part);
        }
    }
}

/// Blocks of key stream for a box whose content has `len` bytes.
fn blocks_of(len: usize) -> usize {
    (4 * TAG_WORDS + len).div_ceil(BLOCK_BYTES)
}

fn tag_key(stream: &[[u32; WORDS]]) -> [u8; 32] {
    let mut key = [0; 32];
    for (bytes, word) in key.as_chunks_mut::<4>().0.iter_mut().zip(stream[0]) {
        *bytes = word.to_le_bytes();
    }
    key
}

/// Applies the key stream to `content`, leaving out its first words.
fn apply(stream: &[[u32; WORDS]], skip: usize, content: &mut [u8]) {
    let words = &stream.as_flattened()[skip..];
    let (whole, rest) = content.as_chunks_mut::<4>();
    let (used, left) = words.split_at(whole.len().min(words.len()));
    for (bytes, word) in whole.iter_mut().zip(used) {
        *bytes = (u32::from_le_bytes(*bytes) ^ word).to_le_bytes();
    }
    if let Some(word) = left.first() {
        for (byte, key) in rest.iter_mut().zip(word.to_le_bytes()) {
            *byte ^= key;
        }
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").finish_non_exhaustive()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len).field("next", &self.next.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
