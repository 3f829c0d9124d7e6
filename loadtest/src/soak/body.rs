//! What a message of the soak carries, so that whoever receives it can tell whose it is, which one, and whether a byte was changed.
//!
//! Four bytes of topic, the number of the sender's life, the number of the message in that life, then one byte again and again.

use fastrand::Rng;

/// The shortest body.
pub(crate) const BYTES_MIN: usize = 16;
const SHORT_MAX: usize = 1 << 10;
const LONG_MAX: usize = 64 << 10;
const GIANT_MIN: usize = 1 << 20;
const GIANT_MAX: usize = 3 << 20;

/// The four bytes that a body begins with.
pub(crate) type Topic = [u8; 4];

/// Which message of which life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) topic: Topic,
    pub(crate) life: u32,
    pub(crate) sequence: u32,
}

/// How large the messages of a role are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// 16 bytes to 64 KiB, nine in ten below 1 KiB.
    Ordinary,
    /// The same, and one in 2,000 of 1 to 3 MiB.
    WithGiants,
}

impl Sizes {
    /// The length of the next body.
    pub(crate) fn draw(self, random: &mut Rng) -> usize {
        if self == Self::WithGiants && random.u32(..2_000) == 0 {
            return random.usize(GIANT_MIN..=GIANT_MAX);
        }
        let (low, high) = if random.u32(..10) == 0 { (SHORT_MAX, LONG_MAX) } else { (BYTES_MIN, SHORT_MAX) };
        // Equally often in each doubling.
        let doublings = (high as f64 / low as f64).log2() * random.f64();
        ((low as f64 * doublings.exp2()) as usize).clamp(low, high)
    }
}

impl Stamp {
    /// The body of `bytes`, at least [`BYTES_MIN`].
    pub(crate) fn body(self, bytes: usize) -> Vec<u8> {
        let mut body = vec![self.fill(); bytes.max(BYTES_MIN)];
        body[..4].copy_from_slice(&self.topic);
        body[4..8].copy_from_slice(&self.life.to_le_bytes());
        body[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        body
    }

    /// Whose body this is; `None` when it is not one, or was changed on its way.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (topic, rest) = body.split_first_chunk::<4>()?;
        let (life, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, fill) = rest.split_first_chunk::<4>()?;
        let stamp = Self { topic: *topic, life: u32::from_le_bytes(*life), sequence: u32::from_le_bytes(*sequence) };
        let expected = stamp.fill();
        (fill.len() >= BYTES_MIN - 12 && fill.iter().all(|byte| *byte == expected)).then_some(stamp)
    }

    fn fill(self) -> u8 {
        (self.life ^ self.sequence.wrapping_mul(31)).to_le_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed() {
        let stamp = Stamp { topic: *b"s07.", life: 9, sequence: 1_000 };
        for bytes in [0, 16, 17, 70_000] {
            let mut body = stamp.body(bytes);
            assert_eq!(body.len(), bytes.max(BYTES_MIN));
            assert_eq!(Stamp::read(&body), Some(stamp));
            *body.last_mut().unwrap() ^= 1;
            assert_eq!(Stamp::read(&body), None);
        }
        assert_eq!(Stamp::read(b"short"), None);
    }

    #[test]
    fn sizes_stay_in_their_range_and_reach_both_ends_of_it() {
        let mut random = Rng::with_seed(7);
        let drawn: Vec<_> = (0..200_000).map(|_| Sizes::WithGiants.draw(&mut random)).collect();
        assert!(drawn.iter().all(|bytes| (BYTES_MIN..=GIANT_MAX).contains(bytes)));
        let share = |range: std::ops::Range<usize>| drawn.iter().filter(|bytes| range.contains(bytes)).count();
        assert!(share(0..32) > 10_000, "few small ones");
        assert!(share(32 << 10..65 << 10) > 1_000, "few large ones");
        assert!((20..400).contains(&share(GIANT_MIN..GIANT_MAX + 1)), "giants");
        assert!(!(0..10_000).any(|_| Sizes::Ordinary.draw(&mut random) > LONG_MAX));
    }
}
