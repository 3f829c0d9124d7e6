//! Poly1305: the tag of a box.
//!
//! The crate `poly1305` takes about a microsecond and a half before its vectors begin to pay, which a small message does not have
//! (docs/adr/0005-curve.md). Below [`LONG`] bytes the tag is computed here, in three limbs of 44, 44 and 42 bits; branches and addresses depend on
//! lengths only. Two blocks are multiplied at a time, by r² and by r, so that the machine has two products to work on while one carry runs.

use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};

/// Bytes from which on the vectors of the crate are faster than our limbs.
const LONG: usize = 8192;

/// Bytes that the crate takes at a time.
const PARALLEL: usize = 64;

const MASK: u64 = (1 << 44) - 1;
const MASK_TOP: u64 = (1 << 42) - 1;
/// The bit above a whole block, in the uppermost limb.
const ABOVE: u64 = 1 << 40;

#[derive(Clone, Copy)]
struct Limbs([u64; 3]);

impl Limbs {
    #[inline]
    fn block(bytes: &[u8; 16], above: u64) -> Self {
        let number = u128::from_le_bytes(*bytes);
        let (low, high) = (number as u64, (number >> 64) as u64);
        Self([low & MASK, (low >> 44 | high << 20) & MASK, high >> 24 | above])
    }

    #[inline]
    fn plus(self, other: Self) -> Self {
        Self([self.0[0] + other.0[0], self.0[1] + other.0[1], self.0[2] + other.0[2]])
    }

    /// The product, in limbs that are still to be carried.
    #[inline]
    fn times(self, by: &Factor) -> [u128; 3] {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let ([a0, a1, a2], [r0, r1, r2], [s1, s2]) = (self.0, by.limbs, by.wrapped);
        [
            product(a0, r0) + product(a1, s2) + product(a2, s1),
            product(a0, r1) + product(a1, r0) + product(a2, s2),
            product(a0, r2) + product(a1, r1) + product(a2, r0),
        ]
    }
}

/// What is multiplied by.
struct Factor {
    limbs: [u64; 3],
    /// The upper limbs times 20: what leaves at 2^132 comes back as 4 · 5.
    wrapped: [u64; 2],
}

impl Factor {
    fn new(limbs: Limbs) -> Self {
        Self { limbs: limbs.0, wrapped: [limbs.0[1] * 20, limbs.0[2] * 20] }
    }
}

#[inline]
fn carried(d: [u128; 3]) -> Limbs {
    let d1 = d[1] + (d[0] >> 44);
    let d2 = d[2] + (d1 >> 44);
    let h0 = (d[0] as u64 & MASK) + (d2 >> 42) as u64 * 5;
    Limbs([h0 & MASK, (d1 as u64 & MASK) + (h0 >> 44), d2 as u64 & MASK_TOP])
}

/// The tag of `data` under a key that is used once.
pub(super) fn of(key: &[u8; 32], data: &[u8]) -> [u8; 16] {
    if data.len() < LONG { of_short(key, data) } else { of_long(key, data) }
}

fn of_long(key: &[u8; 32], data: &[u8]) -> [u8; 16] {
    let (parallel, rest) = data.split_at(data.len() / PARALLEL * PARALLEL);
    let mut state = Poly1305::new(key.into());
    state.update(poly1305::Block::slice_as_chunks(parallel).0);
    state.compute_unpadded(rest).into()
}

fn of_short(key: &[u8; 32], data: &[u8]) -> [u8; 16] {
    let (r, pad) = key.split_at(16);
    let r = u128::from_le_bytes(r.try_into().expect("16 bytes")) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    let r = Limbs::block(&r.to_le_bytes(), 0);
    let once = Factor::new(r);
    let mut h = Limbs([0; 3]);
    let (blocks, rest) = data.as_chunks::<16>();
    let (pairs, single) = blocks.as_chunks::<2>();
    if !pairs.is_empty() {
        let twice = Factor::new(carried(r.times(&once)));
        for [one, two] in pairs {
            let upper = h.plus(Limbs::block(one, ABOVE)).times(&twice);
            let lower = Limbs::block(two, ABOVE).times(&once);
            h = carried([upper[0] + lower[0], upper[1] + lower[1], upper[2] + lower[2]]);
        }
    }
    for block in single {
        h = carried(h.plus(Limbs::block(block, ABOVE)).times(&once));
    }
    if !rest.is_empty() {
        let mut block = [0; 16];
        block[..rest.len()].copy_from_slice(rest);
        block[rest.len()] = 1;
        h = carried(h.plus(Limbs::block(&block, 0)).times(&once));
    }
    let pad = u128::from_le_bytes(pad.try_into().expect("16 bytes"));
    reduced(h).wrapping_add(pad).to_le_bytes()
}

/// The lower 128 bits of what is left modulo 2^130 - 5.
fn reduced(Limbs([h0, h1, h2]): Limbs) -> u128 {
    // Twice: what the first round carries out of the top may ripple through once more.
    let ripple = |[h0, h1, h2]: [u64; 3]| {
        let h1 = h1 + (h0 >> 44);
        let h2 = h2 + (h1 >> 44);
        [(h0 & MASK) + (h2 >> 42) * 5, h1 & MASK, h2 & MASK_TOP]
    };
    let [h0, h1, h2] = ripple(ripple([h0, h1, h2]));
    let (h1, h0) = (h1 + (h0 >> 44), h0 & MASK);
    // h - p: taken if it is not negative.
    let g0 = h0 + 5;
    let g1 = h1 + (g0 >> 44);
    let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
    let below = (g2 >> 63).wrapping_neg();
    let pick = |h: u64, g: u64, mask: u64| h & below | g & mask & !below;
    let (h0, h1, h2) = (pick(h0, g0, MASK), pick(h1, g1, MASK), pick(h2, g2, MASK_TOP));
    u128::from(h0) | u128::from(h1) << 44 | u128::from(h2) << 88
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"))
    }

    /// RFC 8439, appendix A.3, vectors 7 to 11: what the sum carries, and what it is reduced by.
    #[test]
    fn sums_around_the_modulus_are_reduced() {
        let one = "01000000000000000000000000000000";
        let two = "02000000000000000000000000000000";
        let four = "01000000000000000400000000000000";
        let zero = "00000000000000000000000000000000";
        let ones = "ffffffffffffffffffffffffffffffff";
        let vectors: [(&str, &str, &[&str], &str); 6] = [
            (two, zero, &[ones], "03000000000000000000000000000000"),
            (two, ones, &[two], "03000000000000000000000000000000"),
            (
                one,
                zero,
                &[ones, "f0ffffffffffffffffffffffffffffff", "11000000000000000000000000000000"],
                "05000000000000000000000000000000",
            ),
            (one, zero, &[ones, "fbfefefefefefefefefefefefefefefe", "01010101010101010101010101010101"], zero),
            (two, zero, &["fdffffffffffffffffffffffffffffff"], "faffffffffffffffffffffffffffffff"),
            (
                four,
                zero,
                &["e33594d7505e43b90000000000000000", "3394d7505e4379cd0100000000000000", zero, one],
                "14000000000000005500000000000000",
            ),
        ];
        for (r, pad, blocks, expected) in vectors {
            let key: [u8; 32] = [bytes::<16>(r), bytes(pad)].concat().try_into().expect("32 bytes");
            let data = blocks.iter().flat_map(|block| bytes::<16>(block)).collect::<Vec<_>>();
            assert_eq!(of_short(&key, &data), bytes(expected), "{blocks:?}");
            assert_eq!(of_long(&key, &data), bytes(expected), "{blocks:?}");
        }
    }

    #[test]
    fn a_text_has_the_tag_of_the_rfc() {
        let key = bytes("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
        assert_eq!(of_short(&key, b"Cryptographic Forum Research Group"), bytes("a8061dc1305136c6c22b8baf0c0127a9"));
    }
}
