//! Callers against agents that are killed and started again meanwhile, in every size: what each run does, and what must come out.

#![allow(clippy::print_stdout, reason = "the counts of a run are part of the proof")]

use myelin_testkit::Sidecar;
use myelin_testkit::fleet::{Fleet, FleetPlan};
use myelin_testkit::load::{Outcome, Plan};
use std::time::Duration;

/// How large a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) requests: u64,
    /// How often an agent's process is killed and started again.
    pub(crate) restarts: u64,
}

/// 64 callers against agents that answer at once: the sidecar is what they wait for.
pub(crate) fn many_callers_against_agents_without_a_pause(size: Size) {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 2, per_process: 4, pause: 0.0 });
    let plan = Plan {
        targets: fleet.places().to_vec(),
        clients: 64,
        requests: size.requests,
        timeout: Duration::from_secs(1),
        requests_per_socket: 40,
    };
    let outcome = fleet.disturbed(&plan, size.restarts);
    check(&outcome, plan.requests, plan.requests * 9 / 10);
    assert!(sidecar.is_ready());
}

/// A socket per call against twenty agents with the pause of real ones: queues form before each.
pub(crate) fn fresh_sockets_against_twenty_agents_with_their_pause(size: Size) {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 4, per_process: 5, pause: 0.1 });
    let plan = Plan {
        targets: fleet.places().to_vec(),
        clients: 40,
        requests: size.requests,
        // As long as the queue before an agent may take: a request is lost only with the agent that had it.
        timeout: Duration::from_secs(2),
        requests_per_socket: 1,
    };
    let outcome = fleet.disturbed(&plan, size.restarts);
    check(&outcome, plan.requests, plan.requests * 8 / 10);
}

#[track_caller]
fn check(outcome: &Outcome, requests: u64, answered_min: u64) {
    println!("{} sent, {} answered, {} silent, {} wrong", outcome.sent, outcome.answered, outcome.silent, outcome.wrong.len());
    assert!(outcome.wrong.is_empty(), "replies of others: {:?}", outcome.wrong);
    assert_eq!((outcome.sent, outcome.answered + outcome.silent), (requests, requests));
    assert!(outcome.answered >= answered_min, "most are answered, or nothing was shown: {outcome:?}");
}
