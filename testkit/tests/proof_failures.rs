//! Nothing acknowledged is lost and no caller gets another's reply while cables, sidecars and a cluster of NATS fail under the load of two machines.
//!
//! The long form of `across_failures.rs`, run by `cargo xtask proof failures`. `MYELIN_FAILURES_SEED` repeats what publishers and workers do.

#![allow(clippy::print_stdout, reason = "the table is the proof")]

use std::time::{Duration, SystemTime};

use myelin_testkit::failures::{Fault, Plan, run};

#[test]
#[ignore = "a proof: several minutes, with a report"]
fn every_fault_is_overcome() {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock behind 1970");
    let seed = std::env::var("MYELIN_FAILURES_SEED").map_or(since_1970.as_secs(), |text| text.parse().expect("a number"));
    let seconds = Duration::from_secs;
    let faults = vec![
        Fault::KillSidecar(0),
        Fault::KillSidecar(1),
        Fault::Cut(0, seconds(1)),
        Fault::Cut(1, seconds(1)),
        Fault::KillNode,
        Fault::KillLeader,
        Fault::KillAll,
        Fault::Cut(0, seconds(10)),
        Fault::Cut(1, seconds(10)),
        Fault::FreezeSidecar(0, seconds(10)),
        Fault::FreezeSidecar(1, seconds(10)),
        Fault::FreezeLeader(seconds(10)),
        Fault::Cut(0, seconds(60)),
        Fault::Cut(1, seconds(60)),
    ];
    let plan = Plan { faults, rate: 50, seed };
    // Said before, so that a run that does not come to its end can be had again.
    println!("{plan}\n");
    let before = load();
    let Some(outcome) = run(&plan) else { return };
    println!("{outcome}");
    println!("Processes that wanted a core, by the minute: {before} before, {} after; some of them are of this run.\n", load());
    println!(
        "All machines are network namespaces of one: they share its clock and its cores, so times are those of a busy machine. A killed NATS node\n\
         finds again what it had written, synced or not: this shows what replicas and reconnects do, not what a power cut of all three would."
    );
    assert!(outcome.holds());
}

/// What the kernel says of the last minute.
fn load() -> String {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split(' ').next().unwrap_or("unknown").to_owned()
}
