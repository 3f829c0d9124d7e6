//! The key stream of Salsa20, for many boxes at once.
//!
//! A lane of a vector computes one block, whichever box it belongs to: the boxes of many small messages fill the width of the machine as well as
//! one large message does. Branches and addresses depend on lengths only.

#![expect(clippy::inline_always, reason = "what is not inlined into the dispatched function is compiled without its vector instructions")]

use std::sync::LazyLock;

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u32x4};

/// Words of a block.
pub(super) const WORDS: usize = 16;

/// Blocks computed in one go: 8 KiB, which leaves a first-level cache room for what they are for.
pub(super) const BLOCKS_MAX: usize = 128;

/// Lanes of the vectors for what does not fill a wide one.
const NARROW: usize = 4;

const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);

/// Room for the key stream of one go.
pub(super) type Stream = [[u32; WORDS]; BLOCKS_MAX];

/// The blocks of one go, in order: the nonce and the counter of each.
pub(super) struct Wanted {
    nonce: [[u32; BLOCKS_MAX]; 2],
    counter: [u32; BLOCKS_MAX],
    len: usize,
}

impl Wanted {
    pub(super) const fn new() -> Self {
        Self { nonce: [[0; BLOCKS_MAX]; 2], counter: [0; BLOCKS_MAX], len: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// How many more blocks there is room for.
    pub(super) fn room(&self) -> usize {
        BLOCKS_MAX - self.len
    }

    /// Adds `blocks` blocks under the nonce `count`, the first of which has the counter `first`.
    ///
    /// # Panics
    /// When there is no room for them.
    pub(super) fn add(&mut self, count: u64, first: u32, blocks: usize) {
        let range = self.len..self.len + blocks;
        let [high, low] = [(count >> 32) as u32, count as u32].map(u32::swap_bytes);
        self.nonce[0][range.clone()].fill(high);
        self.nonce[1][range.clone()].fill(low);
        for (slot, counter) in self.counter[range].iter_mut().zip(first..) {
            *slot = counter;
        }
        self.len += blocks;
    }
}

/// The state under `key`, without nonce and counter.
pub(super) fn base(key: &[u8; 32]) -> [u32; WORDS] {
    let mut base = [0; WORDS];
    for (at, constant) in [0, 5, 10, 15].into_iter().zip(CONSTANTS) {
        base[at] = constant;
    }
    for (at, bytes) in [1, 2, 3, 4, 11, 12, 13, 14].into_iter().zip(key.as_chunks::<4>().0) {
        base[at] = u32::from_le_bytes(*bytes);
    }
    base
}

/// Computes the wanted blocks into the front of `stream`.
pub(super) fn compute(base: &[u32; WORDS], wanted: &Wanted, stream: &mut Stream) {
    dispatch!(*LEVEL, simd => fill(simd, base, wanted, stream));
}

#[inline(always)]
fn fill<S: Simd>(simd: S, base: &[u32; WORDS], wanted: &Wanted, stream: &mut Stream) {
    const { assert!(BLOCKS_MAX.is_multiple_of(S::u32s::LEN), "the last vector reaches beyond the stream") };
    let mut at = 0;
    while at + NARROW < wanted.len {
        columns::<S, S::u32s>(simd, base, wanted, at, stream);
        at += S::u32s::LEN;
    }
    if at < wanted.len {
        columns::<S, u32x4<S>>(simd, base, wanted, at, stream);
    }
}

/// As many blocks as a vector has lanes: vector `i` holds word `i` of each.
#[inline(always)]
fn columns<S: Simd, V: SimdInt<S, Element = u32>>(simd: S, base: &[u32; WORDS], wanted: &Wanted, at: usize, stream: &mut Stream) {
    let lanes = at..at + V::LEN;
    let mut first: [V; WORDS] = std::array::from_fn(|i| V::simd_from(simd, base[i]));
    first[6] = V::from_slice(simd, &wanted.nonce[0][lanes.clone()]);
    first[7] = V::from_slice(simd, &wanted.nonce[1][lanes.clone()]);
    first[8] = V::from_slice(simd, &wanted.counter[lanes.clone()]);
    let mut x = first;
    for _ in 0..10 {
        double_round(&mut x);
    }
    for (word, first) in x.iter_mut().zip(first) {
        *word += first;
    }
    for (part, columns) in x.chunks_exact_mut(V::LEN).enumerate() {
        transpose(simd, columns);
        for (block, row) in stream[lanes.clone()].iter_mut().zip(columns) {
            row.store_slice(&mut block[part * V::LEN..][..V::LEN]);
        }
    }
}

/// Turns a square: its halves, interleaved as often as its side has bits.
#[inline(always)]
fn transpose<S: Simd, V: SimdInt<S, Element = u32>>(simd: S, square: &mut [V]) {
    let half = V::LEN / 2;
    let mut turned = [V::simd_from(simd, 0); WORDS];
    for _ in 0..V::LEN.ilog2() {
        for i in 0..half {
            turned[2 * i] = square[i].zip_low(square[i + half]);
            turned[2 * i + 1] = square[i].zip_high(square[i + half]);
        }
        square.copy_from_slice(&turned[..V::LEN]);
    }
}

#[inline(always)]
fn double_round<S: Simd, V: SimdInt<S, Element = u32>>(x: &mut [V; WORDS]) {
    for indices in [[0, 4, 8, 12], [5, 9, 13, 1], [10, 14, 2, 6], [15, 3, 7, 11]] {
        quarter_round(x, indices);
    }
    for indices in [[0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]] {
        quarter_round(x, indices);
    }
}

#[inline(always)]
fn quarter_round<S: Simd, V: SimdInt<S, Element = u32>>(x: &mut [V; WORDS], [a, b, c, d]: [usize; 4]) {
    x[b] ^= rotated(x[a] + x[d], 7);
    x[c] ^= rotated(x[b] + x[a], 9);
    x[d] ^= rotated(x[c] + x[b], 13);
    x[a] ^= rotated(x[d] + x[c], 18);
}

#[inline(always)]
fn rotated<S: Simd, V: SimdInt<S, Element = u32>>(x: V, by: u32) -> V {
    (x << by) | (x >> (32 - by))
}
