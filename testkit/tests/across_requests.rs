//! A REQ on one machine reaches a REP on another through two sidecars, found by its name, byte for byte; and sees what it would have seen without
//! them when the far agent dies.

mod across;

use across::{Machines, SILENCE};
use myelin_testkit::registry::Registry;
use myelin_testkit::zmtp::{Options, Peer};
use myelin_testkit::{Agent, PATIENCE, eventually, frames, free_port, hex};
use serde_json::json;

#[test]
fn an_agent_is_found_and_asked_from_the_other_machine() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let agent = |name: &str, machine: usize| {
        let registry = machines.sidecars[machine].discovery_endpoint();
        let agent = Agent::rep(name).flag("--echo").arg("--register", registry).on(&machines.hosts[machine]).start();
        agent.event("registered");
        agent
    };
    let _far = agent("far", 0);
    let _near = agent("near", 1);
    let place = machines.lookup(1, "far");
    assert!(place.ip().is_loopback(), "a port of this machine: {place}");
    let image = vec![0xff; 1 << 20];
    for body in [&b"{\"action\": \"ping\"}"[..], b"", b"\x00\xff\x80", &image] {
        assert_eq!(machines.ask(1, place, body), [body]);
    }
    let mut client = Agent::script("client").on(&machines.hosts[1]).start();
    let parts = [b"one".to_vec(), Vec::new(), vec![0, 255], image];
    let texts: Vec<_> = parts.iter().map(|part| hex::text(part)).collect();
    let reply = client.ask(&json!({"endpoint": format!("tcp://{place}"), "send": texts}), "reply");
    assert_eq!(frames(&reply), parts, "a real client, several frames");

    for machine in [0, 1] {
        let listed = machines.hosts[machine].enter(|| {
            let registry = Registry::at(machines.sidecars[machine].discovery());
            eventually("both are listed", PATIENCE, || {
                let listed = registry.ask(&json!({"action": "list_agents"}));
                listed["agents"].as_array().filter(|agents| agents.len() == 2).map(|agents| json!(agents))
            })
        });
        assert_eq!(listed, json!(["far", "near"]), "machine {machine}");
    }
    assert_eq!(machines.lookup(1, "far"), place, "the port stays");
}

#[test]
fn an_agent_here_is_asked_first_and_the_other_machine_when_it_has_gone() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let [_far, near] = [0, 1].map(|machine| {
        let registry = machines.sidecars[machine].discovery_endpoint();
        let twin = Agent::rep("twin").arg("--register", registry).on(&machines.hosts[machine]).start();
        twin.event("registered");
        twin
    });
    let before = machines.hosts[1].cable().traffic();
    let place = machines.lookup(1, "twin");
    for _ in 0..200 {
        machines.ask(1, place, b"{\"action\": \"ping\"}");
    }
    let crossed = (machines.hosts[1].cable().traffic() - before).bytes_out;
    assert!(crossed < 20_000, "200 requests stay here, {crossed} bytes crossed");
    drop(near);
    eventually("the twin on the other machine answers", PATIENCE, || {
        machines.hosts[1].enter(|| {
            let mut peer = Peer::try_connect(place, "REQ", &Options::default(), PATIENCE).ok()?;
            peer.send(&[&b""[..], b"{\"action\": \"ping\"}"]);
            peer.try_message(SILENCE).ok()
        })
    });
}

#[test]
fn a_far_agent_that_dies_is_silence_and_one_that_comes_back_answers() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let port = free_port();
    let start = || {
        let registry = machines.sidecars[0].discovery_endpoint();
        let agent = Agent::rep("far").flag("--echo").arg("--port", port).arg("--register", registry).on(&machines.hosts[0]).start();
        agent.event("registered");
        agent
    };
    let agent = start();
    let place = machines.lookup(1, "far");
    assert_eq!(machines.ask(1, place, b"x"), [b"x"]);
    drop(agent);
    let mut waiting = machines.peer(1, place, "REQ");
    waiting.send(&[&b""[..], b"to nobody"]);
    waiting.expect_silence(SILENCE);
    let _again = start();
    eventually("the agent that came back answers", PATIENCE, || {
        machines.hosts[1].enter(|| {
            let mut peer = Peer::try_connect(place, "REQ", &Options::default(), PATIENCE).ok()?;
            peer.send(&[&b""[..], b"y"]);
            peer.try_message(SILENCE).ok().filter(|frames| frames.last().is_some_and(|frame| frame == b"y"))
        })
    });
}

#[test]
fn a_router_elsewhere_keeps_one_conversation_per_caller() {
    let (port, callers) = (free_port(), free_port());
    let here = format!("[[route]]\nname = \"talk\"\nkind = \"service\"\nagents = {{ connect = [\"tcp://127.0.0.1:{port}\"] }}\n");
    let there = format!("[[route]]\nname = \"talk\"\nkind = \"service\"\ncallers = {{ bind = [\"tcp://127.0.0.1:{callers}\"] }}\n");
    let Some(machines) = Machines::start([&here, &there]) else { return };
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let router = Agent::script("router_agent").arg("--bind", endpoint).arg("--replies", 3).on(&machines.hosts[0]).start();
    machines.sidecars[0].process().wait_line("the agent is there", PATIENCE, |line| line.contains("agent attached").then_some(()));
    let place = ([127, 0, 0, 1], callers).into();
    let options = Options { identity: b"me".to_vec(), ..Options::default() };
    let mut named = machines.hosts[1].enter(|| Peer::connect_with(place, "DEALER", &options));
    let mut other = machines.peer(1, place, "DEALER");
    for round in 0..3 {
        named.send(&[format!("named {round}")]);
        let request = router.event("request");
        assert_eq!(request["identity"], hex::text(b"me"), "the identity that it would see without us");
        assert_eq!(frames(&request), [format!("named {round}").into_bytes()], "and the frames");
        for number in 0..3 {
            let expected = format!("{{\"reply\": {number}, \"to\": \"named {round}\"}}");
            assert_eq!(named.message(), [expected.into_bytes()]);
        }
        other.send(&[format!("other {round}")]);
        let request = router.event("request");
        assert_ne!(request["identity"], hex::text(b"me"));
        for number in 0..3 {
            let expected = format!("{{\"reply\": {number}, \"to\": \"other {round}\"}}");
            assert_eq!(other.message(), [expected.into_bytes()]);
        }
    }
}
