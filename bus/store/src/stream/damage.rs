//! Tells what is lost from what went in order and from what a power cut tore.

use std::ops::RangeInclusive;

use super::Replay;
use super::replay::Missing;
use crate::config::Name;
use crate::log::{Gap, Mark};

/// Most torn places and most lost ones that are remembered. More have not been seen on one log.
const REMEMBERED_MAX: usize = 1024;

/// What is missing of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Which stream.
    pub stream: Name,
    /// File in which, or before which, something is missing, and from where in it.
    pub file: Box<str>,
    /// Offset in bytes.
    pub offset: u64,
    /// Numbers of the records that are missing. Empty if it was a file beside the log, which was made anew out of it, or a place that cannot be
    /// read and lacks no record that anybody knows of.
    pub records: RangeInclusive<u64>,
    /// Sequences of the messages that are missing: at most these. `None`: no message is.
    pub messages: Option<RangeInclusive<u64>>,
}

impl Damage {
    pub(super) fn of(stream: &Name, missing: &Missing) -> Self {
        let messages = missing.first_sequence..=missing.last_sequence;
        Self {
            stream: stream.clone(),
            file: missing.segment.file_name().into(),
            offset: missing.offset,
            records: missing.first_lsn..=missing.last_lsn,
            messages: (!messages.is_empty()).then_some(messages),
        }
    }

    pub(super) fn of_file(stream: &Name, file: &str, offset: u64) -> Self {
        Self { stream: stream.clone(), file: file.into(), offset, records: RangeInclusive::new(1, 0), messages: None }
    }
}

/// What is lost, now or since an earlier start, and the record numbers that were torn.
pub(super) fn reconcile(gaps: &[Gap], mark: Option<Mark>, replay: &Replay) -> (Vec<Missing>, Vec<(u64, u64)>) {
    let mut lost = replay.lost.clone();
    // As long as there is something as old as what was lost, somebody may look for it.
    let first = replay.core.index.first().map_or(u64::MAX, |(sequence, _)| sequence);
    lost.retain(|missing| missing.first_sequence.max(missing.last_sequence) >= first);
    // What the system refused to read may be there again.
    lost.retain(|missing| gaps.iter().any(|gap| gap.first_lsn <= missing.last_lsn && missing.first_lsn <= gap.last_lsn));
    let mut torn = replay.torn.clone();
    let known: Vec<_> = replay.removed.iter().map(|summary| (summary.first_lsn, summary.last_lsn)).collect();
    let known = known.into_iter().chain(torn.clone()).chain(replay.lost.iter().map(|missing| (missing.first_lsn, missing.last_lsn)));
    let known: Vec<_> = known.chain(before_snapshot(replay)).collect();
    for gap in gaps {
        let mut pieces = vec![(gap.first_lsn, gap.last_lsn)];
        for span in &known {
            pieces = pieces.into_iter().flat_map(|piece| without(piece, *span)).collect();
        }
        for (first, last) in pieces {
            // Below the mark it was acknowledged. Without a mark nobody knows, nor where nobody can look: silence would be the worse guess.
            let end = mark.filter(|_| !gap.is_unreadable).map_or(last, |mark| last.min(mark.lsn));
            if first <= end {
                lost.push(missing(gap, first, end, mark, replay));
            }
            if end < last {
                torn.push((first.max(end + 1), last));
            }
        }
    }
    lost.sort_unstable_by_key(|missing| missing.first_lsn);
    lost.drain(..lost.len().saturating_sub(REMEMBERED_MAX));
    torn.drain(..torn.len().saturating_sub(REMEMBERED_MAX));
    (lost, torn)
}

/// What the newest snapshot does not list any more, and what was written before it, went in order.
fn before_snapshot(replay: &Replay) -> Vec<(u64, u64)> {
    let Some(living) = &replay.living else { return Vec::new() };
    // The first record of its segment comes before it.
    let end = replay.snapshot_lsn.saturating_sub(2);
    let mut spans = vec![(1, end)];
    for summary in living {
        spans = spans.into_iter().flat_map(|span| without(span, (summary.first_lsn, summary.last_lsn))).collect();
    }
    spans.retain(|(first, last)| first <= last);
    spans
}

/// A lost piece, with the sequences that can have been in it.
fn missing(gap: &Gap, first_lsn: u64, last_lsn: u64, mark: Option<Mark>, replay: &Replay) -> Missing {
    let (mut first, mut last) = (gap.first_sequence, gap.last_sequence);
    if let Some(mark) = mark.filter(|mark| last_lsn <= mark.lsn) {
        last = last.min(mark.sequence);
    }
    for summary in replay.living.iter().flatten().chain(&replay.removed) {
        let has_messages = summary.first_sequence <= summary.last_sequence;
        if summary.first_lsn <= first_lsn && last_lsn <= summary.last_lsn {
            (first, last) = (first.max(summary.first_sequence), last.min(summary.last_sequence));
        } else if has_messages && summary.last_lsn < first_lsn {
            first = first.max(summary.last_sequence + 1);
        } else if has_messages && summary.first_lsn > last_lsn {
            last = last.min(summary.first_sequence - 1);
        }
    }
    Missing { first_lsn, last_lsn, first_sequence: first, last_sequence: last, segment: gap.segment, offset: gap.offset }
}

/// What is left of a span of numbers without another.
fn without((first, last): (u64, u64), (from, to): (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
    let before = (first, last.min(from.saturating_sub(1)));
    let after = (first.max(to.saturating_add(1)), last);
    let parts = if from > to || to < first || last < from { [(first, last), (1, 0)] } else { [before, after] };
    parts.into_iter().filter(|(first, last)| first <= last)
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn a_span_without_another_is_what_is_left() {
        let left = |span, other| without(span, other).collect::<Vec<_>>();
        assert_eq!(left((5, 9), (1, 4)), [(5, 9)]);
        assert_eq!(left((5, 9), (7, 7)), [(5, 6), (8, 9)]);
        assert_eq!(left((5, 9), (1, 6)), [(7, 9)]);
        assert_eq!(left((5, 9), (5, 9)), []);
        assert_eq!(left((5, 9), (8, 20)), [(5, 7)]);
    }
}
