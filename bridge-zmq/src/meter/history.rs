//! What was counted when: looks at the counters every ten seconds for an hour, and every five minutes for a day.
//!
//! A look that would show nothing new is not kept, so an idle sidecar keeps none. Bounds: [`FINE_MAX`] and [`COARSE_MAX`] looks, each of at most 33 kinds.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::ByKind;

const FINE: Duration = Duration::from_secs(10);
const FINE_MAX: usize = 360;
const COARSE: Duration = Duration::from_secs(5 * 60);
const COARSE_MAX: usize = 288;

#[derive(Debug)]
pub(super) struct History {
    started: Instant,
    fine: Ring,
    coarse: Ring,
}

/// Looks at one distance, the oldest first.
#[derive(Debug)]
struct Ring {
    step: Duration,
    looks_max: usize,
    looks: VecDeque<Look>,
    next_at: Instant,
}

/// What the counters said for a while.
#[derive(Debug)]
struct Look {
    from: Instant,
    until: Instant,
    kinds: ByKind,
}

impl History {
    pub(super) fn new(now: Instant) -> Self {
        let ring = |step, looks_max| Ring { step, looks_max, looks: VecDeque::new(), next_at: now + step };
        Self { started: now, fine: ring(FINE, FINE_MAX), coarse: ring(COARSE, COARSE_MAX) }
    }

    /// To be called before anything is counted: what stands there holds since `changed`, until now.
    pub(super) fn note(&mut self, kinds: &ByKind, changed: Instant, now: Instant) {
        for ring in [&mut self.fine, &mut self.coarse] {
            ring.note(kinds, changed, now);
        }
    }

    /// What the counters said at `then`, or at the last look before it, and when that was; before the oldest look there is, nothing at the start.
    pub(super) fn before(&self, then: Instant) -> (Instant, Option<&ByKind>) {
        let before = |ring: &'_ Ring| ring.looks.iter().rposition(|look| look.from <= then);
        let found = [&self.fine, &self.coarse].into_iter().filter_map(|ring| ring.looks.get(before(ring)?)).max_by_key(|look| look.until);
        if let Some(Look { until, kinds, .. }) = found {
            return (then.min(*until), Some(kinds));
        }
        // Where the day is full, the start is forgotten.
        let oldest = self.coarse.looks.front().filter(|_| self.coarse.looks.len() == COARSE_MAX);
        oldest.map_or((self.started, None), |look| (look.from, Some(&look.kinds)))
    }
}

#[cfg(test)]
impl History {
    pub(super) fn looks(&self) -> usize {
        self.fine.looks.len() + self.coarse.looks.len()
    }
}

impl Ring {
    fn note(&mut self, kinds: &ByKind, changed: Instant, now: Instant) {
        if now < self.next_at {
            return;
        }
        self.next_at = now + self.step;
        match self.looks.back_mut() {
            Some(look) if look.kinds == *kinds => look.until = now,
            _ => {
                if self.looks.len() == self.looks_max {
                    self.looks.pop_front();
                }
                self.looks.push_back(Look { from: changed, until: now, kinds: kinds.clone() });
            }
        }
    }
}
