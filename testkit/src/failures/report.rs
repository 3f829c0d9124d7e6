//! What a run tells: each fault with its times, then the judgement.

use std::fmt;
use std::time::Duration;

use super::judge::PROMISES;
use super::watch::KINDS;
use super::{Fault, Findings, Plan};

/// Most findings of one kind that are told in full.
const TOLD_MAX: usize = 5;

/// What happened, and what the judge says.
#[derive(Debug)]
pub struct Outcome {
    pub(super) plan: Plan,
    pub(super) rows: Vec<Row>,
    /// The judgement.
    pub findings: Findings,
    /// How long all of it took.
    pub took: Duration,
}

/// One fault.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) fault: Fault,
    /// From its beginning to its mending.
    pub(super) lasted: Duration,
    /// By kind of traffic: the longest silence, and when it was back.
    pub(super) times: [(Duration, Option<Duration>); 6],
}

impl Outcome {
    /// Whether every fault was overcome and every promise kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.len() == self.plan.faults.len() && self.rows.iter().all(Row::is_overcome) && self.findings.holds()
    }
}

impl Row {
    fn is_overcome(&self) -> bool {
        self.times.iter().all(|(_, back)| back.is_some())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} faults, {} durable publishes/s, 20/s of each other peer", self.seed, self.faults.len(), self.rate)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34}{:>7.1}", self.fault.to_string(), self.lasted.as_secs_f64())?;
        for (silent, back) in &self.times {
            let back = back.map_or("never".to_owned(), |back| format!("{:.1}", back.as_secs_f64()));
            write!(f, "{:>7.1}{back:>6}", silent.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Seconds. Of each kind of traffic the longest silence, and how long after the mending something arrived that was sent after it.\n"
        )?;
        write!(f, "{:<34}{:>7}", "fault", "lasted")?;
        KINDS.iter().try_for_each(|kind| write!(f, "{kind:>13}"))?;
        writeln!(f)?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        let (counts, durable) = (&self.findings.counts, &self.findings.durable);
        writeln!(
            f,
            "\nrequests     {} asked, {} answered, {} silent after 1 s, {} of these answered later",
            counts.asked, counts.answered, counts.silent, counts.late
        )?;
        writeln!(
            f,
            "topics       {} published, {} heard, {} of them late after a cut, by {:.1} s at most",
            counts.published,
            counts.heard,
            counts.late_after_cut,
            Duration::from_millis(counts.late_ms_max).as_secs_f64()
        )?;
        writeln!(
            f,
            "publishes    {} made, {} acknowledged, {} refused, {} of which nobody knows; {} sent again, {} told to be duplicates",
            durable.published, durable.acknowledged, durable.refused, durable.unknown, durable.sent_again, durable.duplicates
        )?;
        writeln!(
            f,
            "deliveries   {}, {} of them not the first of their message, {} after an ack that was confirmed; {} acks confirmed, {} stale",
            durable.deliveries, durable.redeliveries, counts.acked_again, durable.acked, durable.stale
        )?;
        writeln!(f, "letters      {}, {} of messages that were acked too", durable.letters, counts.dead_and_acked)?;
        writeln!(
            f,
            "pipeline     {} pushed, {} pulled, {} once more, {} gone with a killed sidecar's sockets, {} dead letters",
            counts.pushed, counts.pulled, counts.pulled_again, counts.died_in_sockets, counts.push_letters
        )?;
        for promise in PROMISES {
            let broken: Vec<_> = self.findings.broken.iter().filter(|(which, _)| *which == promise).collect();
            match broken.len() {
                0 => writeln!(f, "kept   {promise}")?,
                times => writeln!(f, "BROKEN {promise}: {times} times")?,
            }
            broken.iter().take(TOLD_MAX).try_for_each(|(_, what)| writeln!(f, "       {what}"))?;
        }
        let is_overcome = self.rows.len() == self.plan.faults.len() && self.rows.iter().all(Row::is_overcome);
        writeln!(
            f,
            "{} all traffic is back after each fault, and no sidecar had to be started again",
            if is_overcome { "kept  " } else { "BROKEN" }
        )?;
        writeln!(f, "took {:.0} s", self.took.as_secs_f64())
    }
}
