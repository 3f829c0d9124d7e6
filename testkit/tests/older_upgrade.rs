//! A sidecar is replaced by the next version: what it held is there, and agents on another machine notice nothing but a moment's silence.
//!
//! Both need a binary of an older version, which `testkit/upgrade.sh` (`cargo xtask proof upgrade`) builds.

mod across;
mod older;

use across::{Machines, SILENCE, builder};
use myelin_testkit::zmtp::{Options, Peer};
use myelin_testkit::{Agent, Hosts, NatsServer, PATIENCE, eventually};
use older::Left;

#[test]
#[ignore = "needs a sidecar of an older version: cargo xtask proof upgrade"]
fn what_the_older_version_held_is_there_after_the_upgrade() {
    let mut left = Left::start(myelin_testkit::SidecarBuilder::older);
    left.make();
    left.sidecar.upgrade();
    left.check();
}

#[test]
#[ignore = "needs a sidecar of an older version: cargo xtask proof upgrade"]
fn two_machines_are_upgraded_one_after_the_other_while_agents_ask() {
    let Some(hosts) = Hosts::start(3) else { return };
    let nats = NatsServer::start_on_with(&hosts[2], "max_payload: 9MB\n");
    let sidecars = [0, 1].map(|number| builder(&hosts[number], &nats).older().start());
    let mut machines = Machines { sidecars, nats, hosts };
    let registry = machines.sidecars[0].discovery_endpoint();
    let agent = Agent::rep("far").flag("--echo").arg("--register", registry).on(&machines.hosts[0]).start();
    agent.event("registered");
    let place = machines.lookup(1, "far");
    assert_eq!(machines.ask(1, place, b"older, older"), [b"older, older"]);
    for (machine, words) in [(1, &b"older, newer"[..]), (0, b"newer, newer")] {
        machines.sidecars[machine].upgrade();
        // The port was handed to clients by the older version, and they keep it.
        eventually("the agent answers after the upgrade", PATIENCE, || {
            machines.hosts[1].enter(|| {
                let mut peer = Peer::try_connect(place, "REQ", &Options::default(), PATIENCE).ok()?;
                peer.send(&[&b""[..], words]);
                peer.try_message(SILENCE).ok().filter(|frames| frames.last().is_some_and(|frame| frame == words))
            })
        });
        assert_eq!(machines.lookup(1, "far"), place);
    }
}
