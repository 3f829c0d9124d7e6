//! Every request gets its own reply or nothing: many callers, agents that are killed and started again meanwhile.
//!
//! The sizes are for every day; `proof_own_reply_or_nothing.rs` has those of the promise.

mod own_reply;

use myelin_testkit::fleet::{Fleet, FleetPlan};
use myelin_testkit::{Agent, Sidecar};
use own_reply::Size;
use serde_json::json;
use std::time::Duration;

#[test]
fn many_callers_against_agents_without_a_pause() {
    own_reply::many_callers_against_agents_without_a_pause(Size { requests: 10_000, restarts: 3 });
}

#[test]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    own_reply::fresh_sockets_against_twenty_agents_with_their_pause(Size { requests: 400, restarts: 3 });
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
