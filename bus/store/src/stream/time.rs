//! What time alone does to a stream.

use super::Entry;
use super::state::{Failed, State};
use crate::consumer::{ConsumerState, Outcome, millis};
use crate::error::StoreError;

impl State {
    /// What time alone does: silent workers lose their messages, old messages go. Does as much as there is room to note.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        if now_ms < self.next_event_ms {
            return;
        }
        if self.let_time_pass(now_ms).is_err() {
            // For want of room: the same is tried again.
            return;
        }
        let deadlines = self.core.consumers().filter_map(|(_, consumer)| consumer.next_deadline_ms());
        let expiry = if self.core.config.dead_letter_expired { None } else { self.core.next_expiry_ms() };
        self.next_event_ms = deadlines.chain(expiry).min().unwrap_or(u64::MAX);
    }

    fn let_time_pass(&mut self, now_ms: u64) -> Result<(), StoreError> {
        let overdue: Vec<_> = self.core.consumers().map(|(key, consumer)| (key, consumer.overdue(now_ms))).collect();
        for (key, silent) in overdue {
            for (sequence, delivery) in silent {
                let failed = Failed { key, sequence, delivery, outcome: Outcome::AckWaitExpired, error: "", delay_ms: None };
                self.fail(&failed, now_ms)?;
            }
        }
        if self.core.config.dead_letter_expired {
            return Ok(());
        }
        let expired = self.core.expired(now_ms, EXPIRED_AT_ONCE, |_| true);
        // Noted, since a longer age or another clock would let them come back at the next start.
        self.expire(&expired)?;
        Ok(())
    }

    /// When `tick` has something to do, or earlier; `None`: never, as things are.
    pub(crate) fn next_event_ms(&self) -> Option<u64> {
        (self.next_event_ms != u64::MAX).then_some(self.next_event_ms)
    }

    pub(super) fn note_deadline(&mut self, key: u32) {
        let deadline_ms = self.core.consumer(key).and_then(ConsumerState::next_deadline_ms);
        self.next_event_ms = self.next_event_ms.min(deadline_ms.unwrap_or(u64::MAX));
    }

    pub(super) fn note_expiry(&mut self, entry: &Entry) {
        let by_age = self.core.config.age_max.map_or(u64::MAX, |age| entry.stored_ms.saturating_add(millis(age)));
        let by_ttl = if entry.expires_ms == 0 { u64::MAX } else { entry.expires_ms };
        if !self.core.config.dead_letter_expired {
            self.next_event_ms = self.next_event_ms.min(by_age).min(by_ttl);
        }
    }
}

/// Most messages that expire in one go, so that nobody waits long for the state.
const EXPIRED_AT_ONCE: usize = 4096;
