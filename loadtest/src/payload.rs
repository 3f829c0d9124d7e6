//! What a benchmark message carries: its sequence number and the time it was meant to be sent.
//!
//! Invariant P-1: sequence numbers of a run start at zero and grow by one, so a receiver can tell loss, repetition
//! and disorder apart without asking the publisher.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the two numbers; a payload is never shorter.
pub(crate) const BYTES_MIN: usize = 16;
/// Sent until every receiver has told that it is linked; never counted.
pub(crate) const WARM_UP: u64 = u64::MAX;
/// Sent after the last counted message.
pub(crate) const END: u64 = u64::MAX - 1;

/// Nanoseconds on the clock that all processes of a machine share.
pub(crate) fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes both numbers into a buffer of at least [`BYTES_MIN`] bytes.
pub(crate) fn stamp(buffer: &mut [u8], sequence: u64, intended_nanos: u64) {
    buffer[..8].copy_from_slice(&sequence.to_le_bytes());
    buffer[8..16].copy_from_slice(&intended_nanos.to_le_bytes());
}

/// Reads both numbers; `None` for a payload that is not ours.
pub(crate) fn read(payload: &[u8]) -> Option<(u64, u64)> {
    let (sequence, rest) = payload.split_first_chunk::<8>()?;
    let (intended, _) = rest.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*sequence), u64::from_le_bytes(*intended)))
}

/// Counts of one receiver.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// Numbers that were jumped over; late ones are taken off again.
    pub(crate) missing: u64,
    /// Older than one seen before: repeated or overtaken.
    pub(crate) late: u64,
    next: u64,
}

impl Tally {
    /// Counts one sequence number.
    pub(crate) fn count(&mut self, sequence: u64) {
        self.received += 1;
        if sequence >= self.next {
            self.missing += sequence - self.next;
            self.next = sequence + 1;
        } else {
            self.late += 1;
            self.missing = self.missing.saturating_sub(1);
        }
    }

    /// One past the highest number seen: what a publisher may take as credit.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_round_trip_and_short_payloads_are_refused() {
        let mut buffer = [0; 64];
        stamp(&mut buffer, 7, 9);
        assert_eq!(read(&buffer), Some((7, 9)));
        assert_eq!(read(&buffer[..15]), None);
    }

    #[test]
    fn loss_and_disorder_are_told_apart() {
        let mut tally = Tally::default();
        for sequence in [0, 1, 4, 2, 5] {
            tally.count(sequence);
        }
        assert_eq!((tally.received, tally.missing, tally.late, tally.next()), (5, 1, 1, 6));
    }
}
