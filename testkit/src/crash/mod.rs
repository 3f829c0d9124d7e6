//! Streams under `kill -9`: publishers and workers in processes of their own, a sidecar that dies again and again under their load, and a judge
//! who knows nothing but what they wrote down.
//!
//! Where to read: [`run`] (the rounds) → `testkit/agents/crash_publisher.py`, `crash_worker.py` (who logs what) → [`judge`] (what must hold).
//!
//! What it shows: what the sidecar told before it died is true after it. What it cannot show: that the disk has it. The system keeps what a
//! killed process wrote, synced or not; power cuts are the matter of the store's model test, whose disk forgets what was not synced.

mod arena;
mod judge;
mod log;
mod verdict;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use self::arena::Arena;
pub use self::judge::judge;
pub use self::log::{Logs, Peer};
pub(crate) use self::verdict::{ACKED_AGAIN, DEAD_AND_ACKED, LOST, NOT_DEAD, NOT_WHOLE, SEQUENCE_TWICE, STORED_TWICE, TWO_LETTERS};
pub use self::verdict::{Counts, Verdict};

/// How much is done to the sidecar.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often it is killed.
    pub rounds: u32,
    /// Processes that publish.
    pub publishers: u32,
    /// What each of them publishes per second.
    pub rate: u32,
    /// Processes that take messages.
    pub workers: u32,
    /// How long it lives after it was ready: anything between these.
    pub life: (Duration, Duration),
    /// Decides the lives, and what each peer does.
    pub seed: u64,
}

/// What happened, and what the judge says.
#[derive(Debug)]
pub struct Outcome {
    /// The judgement.
    pub verdict: Verdict,
    /// How long all of it took.
    pub took: Duration,
    /// The longest time from a start to readiness.
    pub longest_start: Duration,
}

/// Runs all rounds, drains what is left, and has it judged.
///
/// # Panics
/// When the sidecar does not come back, a peer fails, or the drain does not end.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    let begin = Instant::now();
    let mut arena = Arena::open(plan);
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut longest_start = Duration::ZERO;
    for _ in 0..plan.rounds {
        let (shortest, longest) = plan.life;
        arena.live(shortest + (longest - shortest).mul_f64(random.f64()));
        longest_start = longest_start.max(arena.kill());
    }
    // The last words of everybody are in their logs when they have ended.
    let directory = arena.finish();
    let logs = Logs::read(directory.path());
    Outcome { verdict: judge(&logs), took: begin.elapsed(), longest_start }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, publishers, rate, workers, life, seed } = self;
        let (shortest, longest) = (life.0.as_millis(), life.1.as_millis());
        write!(f, "seed {seed}: {rounds} rounds, {publishers} publishers of {rate} messages/s, {workers} workers; ")?;
        writeln!(f, "a sidecar lives {shortest} to {longest} ms")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, start) = (self.took.as_secs_f64(), self.longest_start.as_millis());
        writeln!(f, "{}took {took:.0} s, longest start {start} ms", self.verdict)
    }
}

/// Where peers write, by the kind of peer and a number.
pub(crate) fn log_file(directory: &Path, kind: &str, name: &str) -> std::path::PathBuf {
    directory.join(format!("{kind}.{name}.log"))
}
