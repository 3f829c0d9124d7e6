//! `kill -9` of a sidecar under load, some rounds of it: nothing acknowledged is lost, no confirmed ack is forgotten, no id is stored twice.
//!
//! The short form of `proof_crash.rs`. `MYELIN_CRASH_SEED` repeats the plan of a run that failed.

use myelin_testkit::crash::{Plan, run};
use std::time::Duration;

#[test]
fn what_was_told_before_a_kill_is_true_after_it() {
    let seed = std::env::var("MYELIN_CRASH_SEED").map_or(20_261_121, |text| text.parse().expect("MYELIN_CRASH_SEED is a number"));
    let life = (Duration::from_millis(200), Duration::from_millis(900));
    let plan = Plan { rounds: 8, publishers: 3, rate: 300, workers: 3, life, seed };
    let outcome = run(&plan);
    assert!(outcome.verdict.holds(), "{plan}{outcome}");
    assert!(outcome.verdict.percent_in_flight() >= 50.0, "{plan}{outcome}");
}
