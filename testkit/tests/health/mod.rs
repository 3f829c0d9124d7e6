//! Pollers on one machine, agents on another, a sidecar beside each.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "../across/mod.rs"]
mod across;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) use across::Machines;
use myelin_testkit::registry::Registry;
use myelin_testkit::zmtp::{Options, Peer};
use myelin_testkit::{Agent, AgentBuilder, PATIENCE, eventually};

/// What pollers ask.
pub(crate) const PING: &[u8] = b"{\"action\": \"ping\"}";

/// How old an answer may be unless configured otherwise.
pub(crate) const BOUND: Duration = Duration::from_secs(5);

/// How long a poll waits for its answer here: far longer than one of this machine takes.
pub(crate) const POLL: Duration = Duration::from_millis(400);

/// Between two polls.
const PAUSE: Duration = Duration::from_millis(100);

/// An agent on the first machine, to which options can be added.
pub(crate) fn far(machines: &Machines) -> AgentBuilder {
    Agent::rep("far").arg("--register", machines.sidecars[0].discovery_endpoint()).on(&machines.hosts[0])
}

/// Starts it and waits until it is registered.
pub(crate) fn registered(agent: AgentBuilder) -> Agent {
    let agent = agent.start();
    agent.event("registered");
    agent
}

/// Where the health socket of an agent is reached on the second machine.
pub(crate) fn health_place(machines: &Machines, name: &str) -> SocketAddr {
    machines.lookup(1, name);
    machines.hosts[1].enter(|| Registry::at(machines.sidecars[1].discovery()).health_endpoint(name))
}

/// One poll of a new client on the second machine; the frames behind the delimiter, if it is answered.
pub(crate) fn poll(machines: &Machines, place: SocketAddr) -> Option<Vec<Vec<u8>>> {
    machines.hosts[1].enter(|| {
        let mut peer = Peer::try_connect(place, "REQ", &Options::default(), POLL).ok()?;
        peer.send(&[&b""[..], PING]);
        let mut frames = peer.try_message(POLL).ok()?;
        assert_eq!(frames.remove(0), b"", "the delimiter comes first");
        Some(frames)
    })
}

/// Polls that were answered on the second machine.
pub(crate) fn answered_here(machines: &Machines) -> f64 {
    machines.sidecars[1].metric("myelin_meter_polls_answered_total").unwrap_or(0.0)
}

/// Polls until the answers come from this machine, and returns the last one.
#[track_caller]
pub(crate) fn until_answered_here(machines: &Machines, place: SocketAddr) -> Vec<Vec<u8>> {
    eventually("polls are answered on this machine", PATIENCE * 2, || {
        let before = answered_here(machines);
        let answer = poll(machines, place);
        std::thread::sleep(PAUSE);
        answer.filter(|_| answered_here(machines) > before)
    })
}

/// Polls for a while from when something went wrong: after the bound and one poll, nobody may be told that all is well.
#[track_caller]
pub(crate) fn falls_silent(machines: &Machines, place: SocketAddr, since: Instant, within: Duration) {
    let mut last = None;
    while since.elapsed() < within + Duration::from_secs(3) {
        // When the poll was made counts, not when its answer came.
        let at = since.elapsed();
        if poll(machines, place).is_some() {
            last = Some(at);
        }
        std::thread::sleep(PAUSE);
    }
    assert!(last.is_none_or(|last| last <= within), "still answered {last:?} after it went wrong");
}
