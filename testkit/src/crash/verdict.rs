//! What the judge found.

use std::fmt;

/// Most findings of one kind that are told in full.
const TOLD_MAX: usize = 5;

/// What was counted, and what should not be.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How much there was of everything.
    pub counts: Counts,
    /// Promises that were broken: which one, and by what.
    pub broken: Vec<(&'static str, String)>,
}

/// How much there was of everything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the lines of the report say what they are")]
pub struct Counts {
    pub lives: usize,
    pub kills_in_flight: usize,
    pub in_flight: u64,
    pub published: u64,
    pub acknowledged: u64,
    pub unknown: u64,
    pub refused: u64,
    pub sent_again: u64,
    pub duplicates: u64,
    pub late_again: u64,
    pub with_ttl: u64,
    pub delayed: u64,
    pub deliveries: u64,
    pub redeliveries: u64,
    pub acked: u64,
    pub late_acks: u64,
    pub unconfirmed: u64,
    pub naked: u64,
    pub terminated: u64,
    pub stale: u64,
    pub workers_died: u64,
    pub held_by_dead: u64,
    pub letters: u64,
    pub letters_max_deliver: u64,
    pub letters_term: u64,
    pub letters_expired: u64,
}

/// The promises, each with what breaks it.
pub(crate) const LOST: &str = "an acknowledged publish was delivered or is a dead letter";
pub(crate) const ACKED_AGAIN: &str = "a message whose ack was confirmed is not delivered again";
pub(crate) const STORED_TWICE: &str = "an id is stored once, also when it is sent again after a restart";
pub(crate) const SEQUENCE_TWICE: &str = "a sequence is never used twice";
pub(crate) const NOT_WHOLE: &str = "what is delivered is what was sent, whole";
pub(crate) const TWO_LETTERS: &str = "one dead letter per stream, consumer and sequence";
pub(crate) const DEAD_AND_ACKED: &str = "a message whose ack was confirmed is no dead letter";
pub(crate) const NOT_DEAD: &str = "a message whose term was confirmed is a dead letter";
pub(super) const TOO_EARLY: &str = "a delayed message is not delivered before its time";
pub(super) const DAMAGE: &str = "kill -9 is not taken for damage of the disk";

pub(super) const PROMISES: [&str; 10] =
    [LOST, ACKED_AGAIN, STORED_TWICE, SEQUENCE_TWICE, NOT_WHOLE, TWO_LETTERS, DEAD_AND_ACKED, NOT_DEAD, TOO_EARLY, DAMAGE];

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// Of all kills, how many percent came while publishers waited for receipts.
    #[must_use]
    pub fn percent_in_flight(&self) -> f64 {
        self.counts.kills_in_flight as f64 * 100.0 / self.counts.lives.saturating_sub(1).max(1) as f64
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let kills = counts.lives.saturating_sub(1);
        let percent = self.percent_in_flight();
        writeln!(
            f,
            "kills                    {kills:>9}  of them with unacknowledged publishes in flight: {} ({percent:.0} %), {} publishes",
            counts.kills_in_flight, counts.in_flight
        )?;
        writeln!(f, "published                {:>9}  {} with a TTL, {} delayed", counts.published, counts.with_ttl, counts.delayed)?;
        writeln!(
            f,
            "acknowledged             {:>9}  {} without an id of which nobody knows, {} refused",
            counts.acknowledged, counts.unknown, counts.refused
        )?;
        writeln!(
            f,
            "sent again, same id      {:>9}  {} told to be duplicates, {} so late that they are not judged",
            counts.sent_again, counts.duplicates, counts.late_again
        )?;
        writeln!(f, "deliveries               {:>9}  {} of them not the first of their message", counts.deliveries, counts.redeliveries)?;
        writeln!(
            f,
            "acks confirmed           {:>9}  {} slower than half of ack_wait, which are not judged",
            counts.acked, counts.late_acks
        )?;
        writeln!(
            f,
            "naks, terms confirmed    {:>9}  {}; {} words whose confirmation was cut off, {} refused as stale",
            counts.naked, counts.terminated, counts.unconfirmed, counts.stale
        )?;
        writeln!(f, "workers that died        {:>9}  with {} messages in hand", counts.workers_died, counts.held_by_dead)?;
        writeln!(
            f,
            "dead letters             {:>9}  max_deliver {}, term {}, expired {}",
            counts.letters, counts.letters_max_deliver, counts.letters_term, counts.letters_expired
        )?;
        for promise in PROMISES {
            let broken: Vec<_> = self.broken.iter().filter(|(which, _)| *which == promise).collect();
            writeln!(
                f,
                "{} {promise}{}",
                if broken.is_empty() { "kept  " } else { "BROKEN" },
                if broken.is_empty() { String::new() } else { format!(": {} times", broken.len()) }
            )?;
            for (_, what) in broken.iter().take(TOLD_MAX) {
                writeln!(f, "       {what}")?;
            }
        }
        Ok(())
    }
}
