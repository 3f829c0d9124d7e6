//! A set of sequences that come in runs.

use std::collections::BTreeMap;

use crate::record::{Malformed, Reader, Writer};

/// Sequences as runs from first to last, which never touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(crate) fn insert(&mut self, sequence: u64) {
        let before = self.0.range(..=sequence).next_back().map(|(first, last)| (*first, *last));
        let mut first = sequence;
        if let Some((start, end)) = before {
            if end >= sequence {
                return;
            }
            if end + 1 == sequence {
                first = start;
            }
        }
        let last = self.0.remove(&(sequence + 1)).unwrap_or(sequence);
        self.0.insert(first, last);
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, sequence: u64) -> bool {
        self.0.range(..=sequence).next_back().is_some_and(|(_, last)| *last >= sequence)
    }

    /// Forgets everything from `first` to `last`.
    pub(crate) fn remove(&mut self, first: u64, last: u64) {
        let met: Vec<_> = self.0.range(..=last).rev().take_while(|(_, end)| **end >= first).map(|(start, end)| (*start, *end)).collect();
        for (start, end) in met {
            self.0.remove(&start);
            if start < first {
                self.0.insert(start, first - 1);
            }
            if end > last {
                self.0.insert(last + 1, end);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    pub(crate) fn write(&self, body: &mut Writer) {
        body.u32(self.0.len() as u32);
        for (first, last) in self.iter() {
            body.u64(first).u64(last);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut ranges = BTreeMap::new();
        for _ in 0..reader.u32()? {
            ranges.insert(reader.u64()?, reader.u64()?);
        }
        Ok(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(acts in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..9), 0..80)) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (insert, sequence, more) in acts {
                if insert {
                    ranges.insert(sequence);
                    model.insert(sequence);
                } else {
                    ranges.remove(sequence, sequence + more);
                    model.retain(|other| !(sequence..=sequence + more).contains(other));
                }
                let all: Vec<u64> = ranges.iter().flat_map(|(first, last)| first..=last).collect();
                prop_assert_eq!(&all, &model.iter().copied().collect::<Vec<_>>());
                prop_assert!((0..70).all(|sequence| ranges.contains(sequence) == model.contains(&sequence)));
                let runs: Vec<_> = ranges.iter().collect();
                prop_assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "runs that touch: {:?}", runs);
            }
            let mut body = Writer::default();
            ranges.write(&mut body);
            prop_assert_eq!(Ranges::read(&mut Reader(&body.0)), Ok(ranges));
        }
    }
}
