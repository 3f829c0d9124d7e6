//! One peer's time in the crowd, and its pace: both stand still while the whole run is paused.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::awake::{Awake, TICK};
use super::wire::Farewell;

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Peers join and leave.
    Running,
    /// Everybody leaves, except those who owe somebody an answer or receive what is still on its way.
    Settling,
    /// They leave too.
    Leaving,
}

/// One peer's time.
#[derive(Debug)]
pub(crate) struct Life {
    /// Unique in the run.
    pub(crate) number: u32,
    pub(crate) random: Rng,
    pub(crate) farewell: Farewell,
    pub(crate) until: Instant,
    /// Pauses of the run lengthen it: `until` is as of its birth, after so much of them.
    awake: Arc<Awake>,
    asleep_before: Duration,
    /// The stage of the run that ends it.
    last: Stage,
    stage: watch::Receiver<Stage>,
}

/// What is decided at the beginning of a life.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) number: u32,
    pub(crate) random: Rng,
    pub(crate) until: Instant,
    pub(crate) farewell: Farewell,
    /// The stage of the run that ends it.
    pub(crate) last: Stage,
}

impl Life {
    pub(crate) fn new(birth: Birth, awake: &Arc<Awake>, stage: watch::Receiver<Stage>) -> Self {
        let Birth { number, random, until, farewell, last } = birth;
        let (_, asleep_before) = awake.pauses();
        Self { number, random, farewell, until, awake: Arc::clone(awake), asleep_before, last, stage }
    }

    /// Waits for the end of this life or of the run.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn over(&self) {
        let mut stage = self.stage.clone();
        let aged = async {
            while !self.is_of_age() {
                sleep_until(self.end().max(Instant::now() + TICK)).await;
            }
        };
        tokio::select! {
            () = aged => {}
            // The sender lives as long as the world, which outlives this life.
            _ = stage.wait_for(|stage| *stage >= self.last) => {}
        }
    }

    /// The same life, for another connection of the same peer.
    pub(crate) fn again(&self) -> Self {
        let (awake, stage) = (Arc::clone(&self.awake), self.stage.clone());
        Self { random: self.random.clone(), awake, stage, ..*self }
    }

    /// Whether it ended.
    pub(crate) fn is_over(&self) -> bool {
        self.is_of_age() || *self.stage.borrow() >= self.last
    }

    fn is_of_age(&self) -> bool {
        // A pause that nobody has noticed yet is noticed within a tick.
        Instant::now() >= self.end() && !self.awake.is_waking(std::time::Instant::now())
    }

    fn end(&self) -> Instant {
        self.until + self.awake.pauses().1.saturating_sub(self.asleep_before)
    }
}

/// When the next of many equally likely moments comes: open loop, so that a held-back sender catches up, but by no more than a second.
#[derive(Debug)]
pub(crate) struct Beat {
    pub(crate) next: Instant,
    gap: Duration,
}

impl Beat {
    pub(crate) fn per_second(rate: f64, random: &mut Rng) -> Self {
        let gap = Duration::from_secs_f64(1.0 / rate);
        Self { next: Instant::now() + gap.mul_f64(random.f64()), gap }
    }

    /// To be called at each beat.
    pub(crate) fn advance(&mut self, random: &mut Rng) {
        let earliest = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(self.next);
        self.next = self.next.max(earliest) + self.gap.mul_f64(0.5 + random.f64());
    }
}
