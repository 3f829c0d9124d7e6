//! Warnings about what agents do, which they may do a thousand times a second.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// One line a second at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts what is to be warned of, and tells when it is time for a line.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    count: u64,
    told: Option<Instant>,
}

impl Warnings {
    /// One more. How many there were since the last line, this one included, if it is time for another.
    pub(super) fn due(&self) -> Option<u64> {
        let (mut untold, now) = (self.0.lock(), Instant::now());
        untold.count += 1;
        if untold.told.is_some_and(|told| now < told + INTERVAL) {
            return None;
        }
        untold.told = Some(now);
        Some(std::mem::take(&mut untold.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_line_a_second_that_tells_how_many() {
        let warnings = Warnings::default();
        assert_eq!(warnings.due(), Some(1));
        for _ in 0..1_000 {
            assert_eq!(warnings.due(), None);
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!((warnings.due(), warnings.due()), (Some(1_001), None));
    }
}
