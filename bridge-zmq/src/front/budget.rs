//! What all peers together may leave incomplete.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Incomplete messages up to this size are not counted: an ordinary read buffer holds them.
const FREE_BYTES: usize = 256 * 1024;

/// Bytes of large incomplete messages in read buffers, over all connections.
///
/// Each message is within its limit, but thousands of peers that each stop one byte short of it would together hold what no limit names.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

/// The part of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    held: usize,
}

/// The budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) max: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }
}

impl Share {
    /// Says that this connection now holds `bytes` of an incomplete message.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Spent> {
        let held = if bytes > FREE_BYTES { bytes } else { 0 };
        if held <= self.held {
            self.budget.used.fetch_sub(self.held - held, Ordering::Relaxed);
            self.held = held;
            return Ok(());
        }
        let more = held - self.held;
        let max = self.budget.max;
        let take = |used: usize| used.checked_add(more).filter(|used| *used <= max);
        match self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.held = held;
                Ok(())
            }
            Err(_) => Err(Spent { max }),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_are_refused_above_the_budget_and_come_back() {
        let budget = Budget::new(4 * FREE_BYTES);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert_eq!(one.hold(3 * FREE_BYTES), Ok(()));
        assert_eq!(two.hold(FREE_BYTES), Ok(()), "small ones are free");
        assert_eq!(two.hold(2 * FREE_BYTES), Err(Spent { max: 4 * FREE_BYTES }));
        assert_eq!(one.hold(0), Ok(()));
        assert_eq!(two.hold(4 * FREE_BYTES), Ok(()));
        drop((one, two));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
