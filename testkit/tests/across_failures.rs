//! A cable that is cut, a sidecar that is killed and a stream that loses its leader, under the load of two machines: nothing acknowledged is lost, no
//! caller gets another's reply, and all traffic comes back by itself.
//!
//! The short form of `proof_failures.rs`. `MYELIN_FAILURES_SEED` repeats what publishers and workers do.

use std::time::Duration;

use myelin_testkit::failures::{Fault, Plan, run};

#[test]
fn what_fails_between_two_machines_is_overcome() {
    let seed = std::env::var("MYELIN_FAILURES_SEED").map_or(20_261_121, |text| text.parse().expect("MYELIN_FAILURES_SEED is a number"));
    let faults = vec![Fault::KillSidecar(1), Fault::Cut(0, Duration::from_secs(1)), Fault::KillLeader];
    let plan = Plan { faults, rate: 50, seed };
    let Some(outcome) = run(&plan) else { return };
    assert!(outcome.holds(), "{plan}\n{outcome}");
}
