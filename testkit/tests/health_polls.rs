//! Polls of an agent on another machine are answered on this one: byte for byte what the agent says, with nothing on the cable while nothing
//! changes, and with what changes.

mod health;

use std::time::{Duration, Instant};

use health::{Machines, PING, answered_here, far, health_place, poll, registered, until_answered_here};
use myelin_testkit::registry::call;
use myelin_testkit::{Agent, PATIENCE, eventually, frames, hex};
use serde_json::{Value, json};

fn document(frames: &[Vec<u8>]) -> Value {
    let [frame] = frames else { panic!("{} frames", frames.len()) };
    serde_json::from_slice(frame).expect("the document is JSON")
}

#[test]
fn an_answer_is_what_the_agent_says_byte_for_byte() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    // Its answers do not differ, so they can be compared with what it says itself.
    let _agent = registered(far(&machines).arg("--ping-reply", "healthy"));
    let place = machines.lookup(1, "far");
    let own = machines.hosts[0].enter(|| call(machines.lookup(0, "far"), PING));
    let answer = until_answered_here(&machines, place);
    assert_eq!(answer, own);
    assert_eq!(answer, [b"{\"status\": \"HEALTHY\", \"timestamp\": 0}"]);

    // A real client, whose socket is opened for each poll.
    let mut client = Agent::script("client").on(&machines.hosts[1]).start();
    let ask = json!({"endpoint": format!("tcp://{place}"), "send": [hex::text(PING)]});
    let before = answered_here(&machines);
    let polls = 20;
    for _ in 0..polls {
        assert_eq!(frames(&client.ask(&ask, "reply")), own);
    }
    assert!(answered_here(&machines) - before >= f64::from(polls) - 2.0, "most of them here");

    let traffic = |arguments: &[&str]| -> Value {
        let output = machines.hosts[1].enter(|| machines.sidecars[1].command(arguments).output()).expect("the command runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
    };
    let all = traffic(&["traffic", "--json"]);
    assert_eq!(all["kinds"][0]["kind"], "specialized", "as the agent registered");
    let total = &all["total"];
    let (count, bytes) = (total["polls_answered"].as_u64().expect("a number"), total["bytes_not_sent"].as_u64().expect("a number"));
    let frames = |len: usize| 2 + 2 + u64::try_from(len).expect("short");
    assert_eq!(bytes, count * (frames(PING.len()) + frames(own[0].len())), "the frames of requests and replies, with their headers");
    assert_eq!(traffic(&["traffic", "--json", "--since", "1h"])["total"], *total);
}

#[test]
fn the_cable_is_quiet_while_nothing_changes_and_a_change_arrives() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut agent = registered(far(&machines));
    let place = health_place(&machines, "far");
    let first = document(&until_answered_here(&machines, place));
    assert_eq!(first["ready"], true);

    let (before, counted, began) = (machines.hosts[1].cable().traffic(), answered_here(&machines), Instant::now());
    let mut peer = machines.peer(1, place, "REQ");
    let mut polls = 0;
    while began.elapsed() < Duration::from_secs(4) {
        peer.send(&[&b""[..], PING]);
        let answer = document(&peer.message()[1..]);
        assert_eq!(answer["ready"], true);
        polls += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    let crossed = machines.hosts[1].cable().traffic() - before;
    let here = answered_here(&machines) - counted;
    assert!(here > 0.9 * f64::from(polls), "{here} of {polls} polls were answered here");
    let packets = crossed.packets_in + crossed.packets_out;
    assert!(packets < 150, "{packets} packets for {polls} polls");

    // The agent has a document of its own for each poll; what is answered is the last one that said something new.
    assert_eq!(
        document(&until_answered_here(&machines, place))["timestamp"],
        document(&until_answered_here(&machines, place))["timestamp"]
    );

    agent.ask(&json!({"ready": false}), "ready_set");
    let told = Instant::now();
    let changed = eventually("the change arrives", PATIENCE, || {
        poll(&machines, place).map(|frames| document(&frames)).filter(|document| document["ready"] == false)
    });
    assert_eq!(changed["health_status"], "DEGRADED");
    assert!(told.elapsed() < health::BOUND, "after {:?}", told.elapsed());
    assert!(poll(&machines, place).is_some_and(|frames| document(&frames)["ready"] == false), "and stays");
}

#[test]
fn what_is_no_poll_and_what_differs_each_time_reaches_the_agent() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    // An echo: what a caller sends of its own comes back to it and to nobody else.
    let _agent = registered(far(&machines).flag("--echo"));
    let place = machines.lookup(1, "far");
    for number in 0..30 {
        let own = format!("{{\"action\": \"ping\", \"request_id\": \"{number}\"}}");
        assert_eq!(machines.ask(1, place, own.as_bytes()), [own.as_bytes()]);
        let plain = b"{\"action\": \"add\", \"x\": 1}";
        assert_eq!(machines.ask(1, place, plain), [plain]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(answered_here(&machines) < 0.5, "none of these is answered for the agent");
}

#[test]
fn polls_of_an_agent_of_this_machine_reach_it() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let _agent = registered(far(&machines).arg("--ping-reply", "healthy"));
    let place = machines.lookup(0, "far");
    for _ in 0..30 {
        machines.ask(0, place, PING);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(machines.sidecars[0].metric("myelin_meter_polls_answered_total").unwrap_or(0.0), 0.0);
}
