//! Every request gets its own reply or nothing: many callers, agents that are killed and started again meanwhile.
//!
//! The sizes are for every day; `proof_own_reply_or_nothing.rs` has those of the promise.

#![allow(clippy::print_stdout, reason = "the counts of a run are part of the proof")]

use myelin_testkit::fleet::{Fleet, FleetPlan};
use myelin_testkit::load::{Outcome, Plan};
use myelin_testkit::{Agent, Sidecar};
use serde_json::json;
use std::time::Duration;

#[track_caller]
fn check(outcome: &Outcome, requests: u64, answered_min: u64) {
    println!("{} sent, {} answered, {} silent, {} wrong", outcome.sent, outcome.answered, outcome.silent, outcome.wrong.len());
    assert!(outcome.wrong.is_empty(), "replies of others: {:?}", outcome.wrong);
    assert_eq!((outcome.sent, outcome.answered + outcome.silent), (requests, requests));
    assert!(outcome.answered >= answered_min, "most are answered, or nothing was shown: {outcome:?}");
}

#[test]
fn many_callers_against_agents_without_a_pause() {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 2, per_process: 4, pause: 0.0 });
    let plan =
        Plan { targets: fleet.places().to_vec(), clients: 64, requests: 10_000, timeout: Duration::from_secs(1), requests_per_socket: 40 };
    let outcome = fleet.disturbed(&plan, 3);
    check(&outcome, plan.requests, plan.requests * 9 / 10);
    assert!(sidecar.is_ready());
}

#[test]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 4, per_process: 5, pause: 0.1 });
    let plan = Plan {
        targets: fleet.places().to_vec(),
        clients: 40,
        requests: 400,
        // As long as the queue before an agent may take: a request is lost only with the agent that had it.
        timeout: Duration::from_secs(2),
        requests_per_socket: 1,
    };
    let outcome = fleet.disturbed(&plan, 3);
    check(&outcome, plan.requests, plan.requests * 8 / 10);
}

#[test]
fn pyzmq_callers_with_a_fresh_socket_per_call() {
    let requests = 500;
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, FleetPlan { processes: 2, per_process: 4, pause: 0.0 });
    let mut client = Agent::script("client").arg("--clients", 16).arg("--requests", requests).arg("--timeout-ms", 1000);
    for place in fleet.places() {
        client = client.arg("--endpoint", format!("tcp://{place}"));
    }
    let client = client.start();
    client.event("progress");
    fleet.restart(0);
    let done = client.event_within("done", Duration::from_secs(60));
    assert_eq!(done["wrong"], json!([]), "own reply or nothing");
    let answered = done["answered"].as_u64().expect("a number");
    assert_eq!(answered + done["silent"].as_u64().expect("a number"), requests);
    assert!(answered >= requests * 9 / 10, "{done}");
}
