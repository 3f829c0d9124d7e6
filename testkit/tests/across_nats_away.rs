//! A sidecar starts while NATS is away and says so, serves the agents of its machine, and joins when it appears.

mod across;

use across::{Machines, builder};
use myelin_testkit::registry::Registry;
use myelin_testkit::{Agent, Hosts, NatsServer, PATIENCE, eventually, http};

#[test]
fn agents_are_served_before_there_is_a_server_and_found_once_there_is() {
    let Some(hosts) = Hosts::start(3) else { return };
    let mut nats = NatsServer::start_on(&hosts[2]);
    nats.process().kill9();
    let sidecars = [0, 1].map(|number| builder(&hosts[number], &nats).start_alive());
    let ready = |machine: usize| hosts[machine].enter(|| http::get(sidecars[machine].http(), "/readyz", PATIENCE)).expect("an answer");
    let answer = ready(0);
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("NATS"), "it says why: {}", answer.body);
    let agent = Agent::rep("far").flag("--echo").arg("--register", sidecars[0].discovery_endpoint()).on(&hosts[0]).start();
    agent.event("registered");
    let place = hosts[0].enter(|| Registry::at(sidecars[0].discovery()).endpoint("far"));
    assert_eq!(hosts[0].enter(|| myelin_testkit::registry::call(place, b"x")), [b"x"]);

    nats.restart();
    eventually("both are linked", PATIENCE, || (ready(0).status == 200 && ready(1).status == 200).then_some(()));
    let machines = Machines { sidecars, nats, hosts };
    let place = machines.lookup(1, "far");
    assert_eq!(machines.ask(1, place, b"y"), [b"y"]);
}
