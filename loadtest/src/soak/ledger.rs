//! What was sent against what arrived, per life of a sender: nothing twice, and of a sender that left politely, everything.
//!
//! Synchronous: it is told the time. A life is judged once its grace is over and then forgotten, so the ledger is as large as the senders of the
//! last half minute; a message of a life that was judged is a late one, which is as wrong as a missing one.

use std::collections::HashMap;
use std::time::Duration;

/// How long after a sender's end the last of its messages may arrive, on the clock that stands still in pauses.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Everything that one set of receivers, together, should get.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    lives: HashMap<u32, Life>,
    counts: Counts,
}

/// What the ledger found so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that arrived.
    pub(crate) arrived: u64,
    /// Messages that arrived again.
    pub(crate) repeated: u64,
    /// Messages that arrived after their life had been judged.
    pub(crate) late: u64,
    /// Lives that ended politely, and were judged.
    pub(crate) judged: u64,
    /// Messages of such lives.
    pub(crate) owed: u64,
    /// Those of them that did not arrive.
    pub(crate) missing: u64,
    /// Lives that ended with a RST: what is missing of them may be lost.
    pub(crate) excused: u64,
}

#[derive(Debug, Default)]
struct Life {
    /// A bit per message.
    seen: Vec<u64>,
    arrived: u64,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
struct End {
    /// Messages sent; `None` when some of them may have been lost on their way to the sidecar.
    sent: Option<u32>,
    at: Duration,
}

impl Ledger {
    /// A life begins; messages of lives that never began here are late.
    pub(crate) fn begin(&mut self, life: u32) {
        self.lives.insert(life, Life::default());
    }

    /// A message arrived.
    pub(crate) fn arrived(&mut self, life: u32, sequence: u32) {
        let Some(life) = self.lives.get_mut(&life) else {
            self.counts.late += 1;
            return;
        };
        let (word, bit) = (sequence as usize / 64, 1_u64 << (sequence % 64));
        if life.seen.len() <= word {
            life.seen.resize(word + 1, 0);
        }
        if life.seen[word] & bit != 0 {
            self.counts.repeated += 1;
            return;
        }
        life.seen[word] |= bit;
        life.arrived += 1;
        self.counts.arrived += 1;
    }

    /// A life ended at `now` after `sent` messages; `None` when they need not all arrive.
    pub(crate) fn end(&mut self, life: u32, sent: Option<u32>, now: Duration) {
        if let Some(life) = self.lives.get_mut(&life) {
            life.end = Some(End { sent, at: now });
        }
    }

    /// Judges the lives whose grace is over, and tells of each that misses something.
    pub(crate) fn judge(&mut self, now: Duration) -> Vec<String> {
        let mut found = Vec::new();
        let counts = &mut self.counts;
        self.lives.retain(|number, life| {
            let Some(end) = life.end.filter(|end| end.at.saturating_add(GRACE) <= now) else { return true };
            let Some(sent) = end.sent else {
                counts.excused += 1;
                return false;
            };
            let missing = u64::from(sent).saturating_sub(life.arrived);
            counts.judged += 1;
            counts.owed += u64::from(sent);
            counts.missing += missing;
            if missing > 0 {
                found.push(format!("of {sent} messages of life {number}, {missing} did not arrive"));
            }
            false
        });
        found
    }

    /// Whether nothing is owed any more: every life has ended, and all that its end promised is there.
    pub(crate) fn is_settled(&self) -> bool {
        self.lives.values().all(|life| life.end.is_some_and(|end| end.sent.is_none_or(|sent| life.arrived >= u64::from(sent))))
    }

    /// Judges all that ended, without grace: nothing more can come.
    pub(crate) fn close(&mut self) -> Vec<String> {
        self.judge(Duration::MAX)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_missing_message_is_found_after_the_grace_and_not_before() {
        let mut ledger = Ledger::default();
        ledger.begin(1);
        ledger.arrived(1, 0);
        ledger.arrived(1, 2);
        ledger.end(1, Some(3), SECOND);
        assert!(ledger.judge(SECOND + GRACE - SECOND / 2).is_empty());
        assert!(!ledger.is_settled());
        assert_eq!(ledger.judge(SECOND + GRACE).len(), 1);
        assert!(ledger.judge(SECOND + GRACE).is_empty(), "a life is judged once");
        let counts = ledger.counts();
        assert_eq!((counts.arrived, counts.owed, counts.missing), (2, 3, 1));
    }

    #[test]
    fn repeated_and_late_messages_are_told_apart() {
        let mut ledger = Ledger::default();
        ledger.begin(1);
        for sequence in [0, 70, 70] {
            ledger.arrived(1, sequence);
        }
        ledger.end(1, None, SECOND);
        assert!(ledger.judge(SECOND + GRACE).is_empty());
        ledger.arrived(1, 71);
        let counts = ledger.counts();
        assert_eq!((counts.arrived, counts.repeated, counts.late, counts.excused), (2, 1, 1, 1));
    }
}
