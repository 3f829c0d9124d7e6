//! Nobody is told that an agent is well when that is not known: from the bound and one poll on, whatever became of the agent, of the sidecar beside
//! it, or of the network between.

mod health;

use std::time::{Duration, Instant};

use health::{BOUND, Machines, falls_silent, far, registered, until_answered_here};

#[test]
fn an_agent_that_hangs_is_silent_and_answers_when_it_goes_on() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut agent = registered(far(&machines));
    let place = machines.lookup(1, "far");
    until_answered_here(&machines, place);
    agent.freeze();
    falls_silent(&machines, place, Instant::now(), BOUND);
    agent.thaw();
    until_answered_here(&machines, place);
}

#[test]
fn an_agent_that_dies_is_silent_at_once() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut agent = registered(far(&machines));
    let place = machines.lookup(1, "far");
    until_answered_here(&machines, place);
    agent.kill9();
    // Its connection ends with it, which is told.
    falls_silent(&machines, place, Instant::now(), Duration::from_secs(1));
}

#[test]
fn a_sidecar_that_is_killed_takes_its_agents_answers_along() {
    let Some(mut machines) = Machines::start(["", ""]) else { return };
    let _agent = registered(far(&machines));
    let place = machines.lookup(1, "far");
    until_answered_here(&machines, place);
    machines.sidecars[0].kill9();
    falls_silent(&machines, place, Instant::now(), BOUND);
    machines.sidecars[0].restart();
    until_answered_here(&machines, place);
}

#[test]
fn a_cut_cable_ends_the_answers_and_a_mended_one_brings_them_back() {
    for cut in [0, 1] {
        let Some(machines) = Machines::start(["", ""]) else { return };
        let _agent = registered(far(&machines));
        let place = machines.lookup(1, "far");
        until_answered_here(&machines, place);
        machines.hosts[cut].cable().cut();
        falls_silent(&machines, place, Instant::now(), BOUND);
        machines.hosts[cut].cable().mend();
        until_answered_here(&machines, place);
    }
}
