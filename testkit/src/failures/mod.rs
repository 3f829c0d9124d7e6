//! Two machines and a cluster of three NATS nodes, each on a host of its own, under load while things fail; and a judge who knows nothing but what
//! the peers wrote down.
//!
//! Where to read: [`run`] → [`Fault`] (what fails) → `arena` (who is there) → `testkit/agents/failures_peer.py`, `crash_publisher.py`,
//! `crash_worker.py` (who logs what) → `watch` (when traffic is back) → `judge` (what must hold).
//!
//! ```text
//!   machine 0: sidecar, agent "far", publishers, PUB, PUSH          node0  node1  node2
//!   machine 1: sidecar, agent "near", callers, workers, SUB, PULL   (streams on all three)
//! ```

mod arena;
mod fault;
mod judge;
mod report;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use self::arena::Arena;
pub use self::fault::Fault;
use self::judge::Deeds;
pub use self::judge::{Counts, Findings};
pub use self::report::Outcome;
use self::report::Row;
use self::watch::{KINDS, now_ms};
use crate::crash::Logs;

/// How long all traffic may take to come back after a fault is over. After a minute without a cable, timers of TCP alone take most of a minute.
const BACK_MAX: Duration = Duration::from_secs(120);

/// How long everything has to flow between two faults.
const CALM: Duration = Duration::from_secs(1);

/// Names a directory to which the logs of a run are copied.
const KEEP: &str = "MYELIN_FAILURES_LOGS";

/// What is done to the machines.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One after the other, each when the one before is overcome.
    pub faults: Vec<Fault>,
    /// Durable publishes per second.
    pub rate: u32,
    /// Decides what publishers and workers do.
    pub seed: u64,
}

/// Runs all faults, drains what is left, and has it judged; nothing where the kernel has no namespaces.
///
/// # Panics
/// When a peer or a sidecar ends by itself, or the drain does not end.
#[must_use]
pub fn run(plan: &Plan) -> Option<Outcome> {
    let begin = Instant::now();
    let mut arena = Arena::open(plan)?;
    let start = now_ms();
    let (mut rows, mut cuts) = (Vec::new(), Vec::new());
    let mut is_back = arena.until_back(start, BACK_MAX);
    assert!(is_back, "nothing flows before the first fault: {:?}", KINDS.map(|kind| (kind, arena.watch().back(kind, start))));
    for fault in &plan.faults {
        arena.live(CALM);
        let (begun, mended) = fault.inflict(&mut arena);
        cuts.extend(fault.cuts().then_some(begun));
        is_back = arena.until_back(mended, BACK_MAX);
        let (watch, now) = (arena.watch(), now_ms());
        let times = KINDS.map(|kind| (watch.silent(kind, begun, now), watch.back(kind, mended)));
        rows.push(Row { fault: fault.clone(), lasted: Duration::from_millis(mended - begun), times });
        if !is_back {
            break;
        }
    }
    let (directory, kills) = arena.finish(is_back);
    if let Some(keep) = std::env::var_os(KEEP) {
        keep_logs(directory.path(), Path::new(&keep));
    }
    let logs = Logs::read(directory.path());
    let findings = judge::judge(&judge::Peers::read(directory.path()), logs, &Deeds { kills, cuts });
    Some(Outcome { plan: plan.clone(), rows, findings, took: begin.elapsed() })
}

fn keep_logs(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the directory can be made");
    for entry in std::fs::read_dir(from).expect("the directory of the logs") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a log can be copied");
    }
}
