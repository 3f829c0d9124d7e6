//! Messages whose time is over, by the stream's limit of age or their own.

use super::Core;
use crate::consumer::millis;

impl Core {
    /// Up to `max` messages whose time is over, of those that may go.
    pub(crate) fn expired(&self, now_ms: u64, max: usize, may_go: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut expired = Vec::new();
        let by_age = self.config.age_max.map(|age| now_ms.saturating_sub(millis(age)));
        if let Some(before_ms) = by_age {
            let old = self.index.range(0..=u64::MAX).take_while(|(_, entry)| entry.stored_ms <= before_ms);
            expired.extend(old.map(|(sequence, _)| sequence).filter(|sequence| may_go(*sequence)).take(max));
        }
        expired.extend(self.index.expired_by_ttl(now_ms).filter(|sequence| may_go(*sequence)).take(max - expired.len()));
        expired.sort_unstable();
        expired.dedup();
        expired
    }

    /// An expired message goes.
    pub(crate) fn expire(&mut self, sequence: u64) {
        if self.index.get(sequence).is_some() {
            self.counts.expired += 1;
            self.drop_message(sequence);
        }
    }

    /// When the next message expires.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        let by_ttl = self.index.next_expiry().map(|(at_ms, _)| at_ms);
        let by_age = self.config.age_max.and_then(|age| self.index.first().map(|(_, entry)| entry.stored_ms.saturating_add(millis(age))));
        by_ttl.into_iter().chain(by_age).min()
    }
}
