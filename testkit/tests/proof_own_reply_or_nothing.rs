//! 100,000 requests over 64 callers, and 2,000 over 20 agents with their pause, while agents restart: own reply or nothing.
//!
//! The long form of `own_reply_or_nothing.rs`, run by `cargo xtask proof own-reply-or-nothing`.

#![allow(clippy::print_stdout, reason = "the counts of a run are part of the proof")]

use myelin_testkit::Sidecar;
use myelin_testkit::fleet::{Fleet, FleetPlan};
use myelin_testkit::load::{Outcome, Plan};
use std::time::Duration;

#[track_caller]
fn check(outcome: &Outcome, requests: u64, answered_min: u64) {
    println!("{} sent, {} answered, {} silent, {} wrong", outcome.sent, outcome.answered, outcome.silent, outcome.wrong.len());
    assert!(outcome.wrong.is_empty(), "replies of others: {:?}", outcome.wrong);
    assert_eq!((outcome.sent, outcome.answered + outcome.silent), (requests, requests));
    assert!(outcome.answered >= answered_min, "most are answered, or nothing was shown: {outcome:?}");
}

#[test]
#[ignore = "a proof: half a minute each, with a report"]
fn many_callers_against_agents_without_a_pause() {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 2, per_process: 4, pause: 0.0 });
    let plan =
        Plan { targets: fleet.places().to_vec(), clients: 64, requests: 100_000, timeout: Duration::from_secs(1), requests_per_socket: 40 };
    let outcome = fleet.disturbed(&plan, 8);
    check(&outcome, plan.requests, plan.requests * 9 / 10);
    assert!(sidecar.is_ready());
}

#[test]
#[ignore = "a proof: half a minute each, with a report"]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 4, per_process: 5, pause: 0.1 });
    let plan = Plan {
        targets: fleet.places().to_vec(),
        clients: 40,
        requests: 2_000,
        // As long as the queue before an agent may take: a request is lost only with the agent that had it.
        timeout: Duration::from_secs(2),
        requests_per_socket: 1,
    };
    let outcome = fleet.disturbed(&plan, 8);
    check(&outcome, plan.requests, plan.requests * 8 / 10);
}
