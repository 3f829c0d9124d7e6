//! What the crowd counted, and what it found wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Findings that are kept in words; more are only counted.
const FINDINGS_MAX: usize = 100;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Lives that got a connection.
    Joined,
    /// Requests sent.
    Requests,
    /// Requests that got their own reply.
    Answered,
    /// Requests without a reply in five seconds.
    Silent,
    /// Silent ones whose own reply came after all.
    Late,
    /// Requests whose caller left first.
    Abandoned,
    /// Messages published to the topic and the hub.
    Published,
    /// Messages that subscribers received and checked.
    Heard,
    /// Messages that producers sent.
    Jobs,
    /// Messages through the pair.
    Paired,
    /// Registrations that were accepted.
    Registered,
    /// Bytes in verified messages, as received.
    Bytes,
    /// Looks at the sidecar that it did not answer in time.
    Unanswered,
    /// Failures near a pause of the whole run, which prove nothing.
    Excused,
}

/// All counts and findings of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [AtomicU64; Count::Excused as usize + 1],
    wrong: AtomicU64,
    findings: Mutex<Vec<String>>,
}

impl Tally {
    pub(crate) fn add(&self, count: Count, by: u64) {
        self.counts[count as usize].fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Something broke a promise.
    pub(crate) fn wrong(&self, finding: String) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if findings.len() < FINDINGS_MAX {
            findings.push(finding);
        }
    }

    /// How many promises were broken, and the first of them in words.
    pub(crate) fn findings(&self) -> (u64, Vec<String>) {
        let findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        (self.wrong.load(Ordering::Relaxed), findings.clone())
    }
}
