//! Real pyzmq agents on two machines do what they do on one: calls with timeouts and fresh sockets, topics in every form that fleets send, pipelines, and
//! clients that remember a place across `kill -9` of either sidecar.

mod across;

use across::Machines;
use myelin_testkit::{Agent, AgentBuilder, frames, free_port, hex, text};
use serde_json::{Value, json};

/// An agent script on a machine.
fn script(machines: &Machines, machine: usize, name: &str) -> AgentBuilder {
    Agent::script(name).on(&machines.hosts[machine])
}

#[track_caller]
fn far_agent(machines: &Machines, name: &str, dialect: &str) -> Agent {
    let registry = machines.sidecars[0].discovery_endpoint();
    let agent = Agent::rep(name).arg("--register", registry).arg("--dialect", dialect).on(&machines.hosts[0]).start();
    agent.event("registered");
    agent
}

#[track_caller]
fn ask(client: &mut Agent, endpoint: &str, socket: Option<&str>, timeout_ms: u64, token: &str) {
    let body = json!({"action": "token", "token": token}).to_string();
    let command = json!({"endpoint": endpoint, "timeout_ms": timeout_ms, "socket": socket, "send": [hex::text(body.as_bytes())]});
    let reply: Value = serde_json::from_str(&text(&client.ask(&command, "reply"))).expect("JSON");
    assert_eq!(reply["token"], token);
}

#[test]
fn clients_with_timeouts_and_fresh_sockets_reach_agents_of_either_dialect() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let _agents = [("Acts", "action"), ("Commands", "command")].map(|(name, dialect)| far_agent(&machines, name, dialect));
    let mut client = script(&machines, 1, "client").start();
    for name in ["Acts", "Commands"] {
        let endpoint = format!("tcp://{}", machines.lookup(1, name));
        for timeout_ms in [500, 1000, 5000, 30_000] {
            ask(&mut client, &endpoint, None, timeout_ms, "fresh");
            ask(&mut client, &endpoint, Some(name), timeout_ms, "kept");
        }
    }
}

#[test]
fn a_call_that_times_out_leaves_nothing_for_the_next_socket() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let registry = machines.sidecars[0].discovery_endpoint();
    let agent = Agent::rep("Slow").arg("--register", registry).arg("--delay", "0.4").on(&machines.hosts[0]).start();
    agent.event("registered");
    let endpoint = format!("tcp://{}", machines.lookup(1, "Slow"));
    let mut client = script(&machines, 1, "client").start();
    ask(&mut client, &endpoint, None, 5000, "first");
    // The agent pauses after each reply, so that a call right behind it waits longer than its caller does.
    let late = json!({"endpoint": endpoint, "timeout_ms": 50, "send": [hex::text(b"{\"action\": \"token\", \"token\": \"late\"}")]});
    client.command(&late);
    client.event("silence");
    ask(&mut client, &endpoint, None, 5000, "mine");
}

#[test]
fn cached_clients_work_unchanged_when_either_sidecar_is_killed() {
    let Some(mut machines) = Machines::start(["", ""]) else { return };
    let _agents = ["One", "Two"].map(|name| far_agent(&machines, name, "action"));
    let places = ["One", "Two"].map(|name| machines.lookup(1, name));
    let mut client = script(&machines, 1, "client").start();
    for killed in [0, 1] {
        machines.sidecars[killed].kill9();
        machines.sidecars[killed].restart();
        for (name, place) in ["One", "Two"].iter().zip(places) {
            let endpoint = format!("tcp://{place}");
            ask(&mut client, &endpoint, None, 10_000, "fresh");
            ask(&mut client, &endpoint, Some(name), 10_000, "kept");
        }
        assert_eq!(["One", "Two"].map(|name| machines.lookup(1, name)), places);
    }
}

#[test]
fn topics_cross_in_every_form_and_prefixes_hold() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let [to, from] = [machines.sidecars[0].publishers_endpoint(), machines.sidecars[1].subscribers_endpoint()];
    for (kind, prefix) in [("json", ""), ("word", "health"), ("word-colon", "WAKE"), ("two", ""), ("two", "status"), ("pickle", "")] {
        let sub = script(&machines, 1, "sub_agent").arg("--connect", &from);
        let sub = if prefix.is_empty() { sub } else { sub.arg("--prefix", prefix) }.start();
        let near = script(&machines, 0, "sub_agent").arg("--connect", machines.sidecars[0].subscribers_endpoint()).start();
        let _publisher = script(&machines, 0, "pub_agent").arg("--connect", &to).arg("--kind", kind).arg("--interval", 0.02).start();
        // What a subscriber beside the publisher hears is what the far one has to hear, from where both have begun to.
        let [near, far] =
            [(near, 40), (sub, 20)].map(|(agent, count)| (0..count).map(|_| frames(&agent.event("message"))).collect::<Vec<_>>());
        assert!(far.iter().all(|message| message[0].starts_with(prefix.as_bytes())), "{kind} {prefix:?}: {far:?}");
        let both = far.iter().filter(|message| near.contains(message)).count();
        assert!(both >= 10, "{kind} {prefix:?}: {both} of {far:?} were heard in {near:?}");
    }
}

#[test]
fn audio_of_38_701_bytes_crosses_five_times_a_second() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let sub = script(&machines, 1, "sub_agent").arg("--connect", machines.sidecars[1].subscribers_endpoint()).flag("--digest").start();
    let near = script(&machines, 0, "sub_agent").arg("--connect", machines.sidecars[0].subscribers_endpoint()).flag("--digest").start();
    let _publisher = script(&machines, 0, "pub_agent")
        .arg("--connect", machines.sidecars[0].publishers_endpoint())
        .arg("--kind", "audio")
        .arg("--interval", 0.2)
        .start();
    let [near, far] = [near, sub].map(|agent| (0..10).map(|_| agent.event("message")).collect::<Vec<_>>());
    assert!(far.iter().all(|message| message["size"] == 38_701), "{far:?}");
    let both = far.iter().filter(|message| near.contains(message)).count();
    assert!(both >= 5, "{both} of {far:?} were heard in {near:?}");
}

#[test]
fn what_pyzmq_pushes_here_pyzmq_pulls_there() {
    let [producers, consumers] = [free_port(), free_port()];
    let here = format!("[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n");
    let there = format!("[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nconsumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n");
    let Some(machines) = Machines::start([&here, &there]) else { return };
    let pull = script(&machines, 1, "pull_agent").arg("--connect", format!("tcp://127.0.0.1:{consumers}")).start();
    let _push = script(&machines, 0, "push_agent").arg("--connect", format!("tcp://127.0.0.1:{producers}")).arg("--count", 50).start();
    let came: Vec<_> = (0..50).map(|_| frames(&pull.event("message"))).collect();
    let numbers: Vec<u64> = came.iter().map(|message| number(&message[message.len() - 1])).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "each once, in order");
}

#[track_caller]
fn number(frame: &[u8]) -> u64 {
    let digits: String =
        String::from_utf8_lossy(frame).chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {:?}", String::from_utf8_lossy(frame)))
}
