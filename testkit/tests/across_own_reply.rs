//! Across machines, too, every request gets its own reply or nothing: many callers on one, agents on the other that are killed and started again meanwhile.
//!
//! The sizes are for every day; the ignored ones have those of the promise (`cargo xtask proof across-own-reply`).

#![allow(clippy::print_stdout, reason = "the counts of a run are part of the proof")]

mod across;

use std::time::Duration;

use across::Machines;
use myelin_testkit::fleet::{Fleet, FleetPlan};
use myelin_testkit::load::Plan;

/// 64 callers against agents that answer at once: the sidecars and the link are what they wait for.
fn many_callers(requests: u64, restarts: u64) {
    let fleet = FleetPlan { processes: 2, per_process: 4, pause: 0.0 };
    let plan = Plan { targets: Vec::new(), clients: 64, requests, timeout: Duration::from_secs(1), requests_per_socket: 40 };
    run(fleet, plan, restarts, 9);
}

/// A socket per call against twenty agents with the pause of real ones.
fn fresh_sockets(requests: u64, restarts: u64) {
    let fleet = FleetPlan { processes: 4, per_process: 5, pause: 0.1 };
    let plan = Plan { targets: Vec::new(), clients: 40, requests, timeout: Duration::from_secs(2), requests_per_socket: 1 };
    run(fleet, plan, restarts, 8);
}

fn run(fleet: FleetPlan, mut plan: Plan, restarts: u64, tenths_answered_min: u64) {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut fleet = Fleet::start_across([&machines.hosts[0], &machines.hosts[1]], &machines.sidecars, fleet);
    plan.targets = fleet.places().to_vec();
    let outcome = fleet.disturbed(&plan, restarts);
    println!("{} sent, {} answered, {} silent, {} wrong", outcome.sent, outcome.answered, outcome.silent, outcome.wrong.len());
    assert!(outcome.wrong.is_empty(), "replies of others: {:?}", outcome.wrong);
    assert_eq!((outcome.sent, outcome.answered + outcome.silent), (plan.requests, plan.requests));
    assert!(outcome.answered >= plan.requests * tenths_answered_min / 10, "most are answered, or nothing was shown: {outcome:?}");
}

#[test]
fn many_callers_against_agents_without_a_pause() {
    many_callers(5_000, 3);
}

#[test]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    fresh_sockets(400, 3);
}

#[test]
#[ignore = "a proof: cargo xtask proof across-own-reply"]
fn many_callers_at_full_size() {
    many_callers(100_000, 8);
}

#[test]
#[ignore = "a proof: cargo xtask proof across-own-reply"]
fn fresh_sockets_at_full_size() {
    fresh_sockets(2_000, 8);
}
