//! Nothing that was acknowledged is lost or done twice, however often the sidecar is killed with `kill -9` under load: 200 times.
//!
//! The long form of `streams_kill9.rs`, run by `cargo xtask proof crash`. `MYELIN_CRASH_SEED` and `MYELIN_CRASH_ROUNDS` change the plan.

#![allow(clippy::print_stdout, reason = "the table is the proof")]

use myelin_testkit::crash::{Plan, run};
use std::time::{Duration, SystemTime};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
#[ignore = "a proof: several minutes, with a report"]
fn two_hundred_kills_under_load() {
    // Each proof is another run; its report says how to have the same plan again.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock behind 1970");
    let seed = number("MYELIN_CRASH_SEED").unwrap_or(since_1970.as_secs());
    let rounds = number("MYELIN_CRASH_ROUNDS").map_or(200, |rounds| u32::try_from(rounds).expect("a number of rounds"));
    let life = (Duration::from_millis(100), Duration::from_millis(1_400));
    let plan = Plan { rounds, publishers: 4, rate: 400, workers: 4, life, seed };
    // Said before, so that a run that does not come to its end can be had again.
    println!("{plan}");
    let outcome = run(&plan);
    println!("{outcome}");
    println!(
        "A killed process loses what it had in memory only: the system keeps what was written, synced or not. So this shows that nothing is\n\
         told before it is written, and that all of it is found and understood again. That it is told only after it was synced is the matter of\n\
         the store's model test on a disk that loses power (`cargo xtask proof streams-model`)."
    );
    assert!(outcome.verdict.holds());
    assert!(outcome.verdict.percent_in_flight() >= 50.0);
}
