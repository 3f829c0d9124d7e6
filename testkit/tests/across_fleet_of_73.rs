//! 73 agents on two machines, started in random order in either dialect, two restarted on other ports, one name registered on both: within 5 s every name
//! answers through the discovery of either machine, and it is the agent of that name that answers.

#![allow(clippy::print_stdout, reason = "the order of a failure is needed to see it again")]

mod across;

use std::time::{Duration, Instant};

use across::Machines;
use myelin_testkit::registry::{Registry, call};
use myelin_testkit::{Agent, free_port};
use serde_json::{Value, json};

const AGENTS: usize = 73;
/// Agents that share a Python process; each has sockets and threads of its own.
const PER_PROCESS: usize = 10;

#[test]
fn all_answer_through_either_discovery_within_5_seconds() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut names: Vec<String> = (0..AGENTS).map(|number| format!("Agent{number:02}")).collect();
    let seed = seed_of_now();
    println!("order: seed {seed}");
    shuffle(&mut names, seed);

    let movers = names.split_off(AGENTS - 2);
    let groups: Vec<_> = names.chunks(PER_PROCESS).enumerate().collect();
    let dialect = |index: usize| if index % 4 < 2 { "action" } else { "command" };
    let mut processes: Vec<Agent> = groups.iter().map(|(index, group)| start(&machines, index % 2, group, dialect(*index))).collect();
    let moving: Vec<Agent> = movers.iter().map(|name| start(&machines, 0, std::slice::from_ref(name), "action")).collect();
    for agent in processes.iter().chain(&moving) {
        agent.event("all_registered");
    }
    drop(moving);
    let late = movers.iter().map(|name| start(&machines, 0, std::slice::from_ref(name), "action"));
    // The first group is on machine 0; its first name gets a second owner on machine 1.
    let late: Vec<Agent> = late.chain([start(&machines, 1, &names[..1], "command")]).collect();
    for agent in &late {
        agent.event("all_registered");
    }
    processes.extend(late);

    let began = Instant::now();
    for machine in [0, 1] {
        for name in names.iter().chain(&movers) {
            let places = [
                machines.lookup(machine, name),
                machines.hosts[machine].enter(|| Registry::at(machines.sidecars[machine].discovery()).discover(name)),
            ];
            for place in places {
                let reply = machines.hosts[machine].enter(|| call(place, br#"{"action": "token", "token": "t"}"#));
                let reply: Value = serde_json::from_slice(&reply[0]).expect("JSON");
                assert_eq!(reply["agent"], json!(name), "machine {machine}");
            }
        }
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for machine in [0, 1] {
        let listed =
            machines.hosts[machine].enter(|| Registry::at(machines.sidecars[machine].discovery()).ask(&json!({"action": "list_agents"})));
        assert_eq!(listed["agents"].as_array().map(Vec::len), Some(AGENTS), "machine {machine}: each name once");
    }
}

fn start(machines: &Machines, machine: usize, names: &[String], dialect: &str) -> Agent {
    let fleet: Vec<Value> = names.iter().map(|name| json!({"name": name, "port": free_port(), "health_port": free_port()})).collect();
    Agent::script("rep_agent")
        .arg("--fleet", json!(fleet))
        .arg("--register", machines.sidecars[machine].discovery_endpoint())
        .arg("--dialect", dialect)
        .on(&machines.hosts[machine])
        .start()
}

fn seed_of_now() -> u32 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").subsec_nanos()
}

/// Fisher and Yates, with a generator that is good enough for an order.
fn shuffle(names: &mut [String], seed: u32) {
    let mut state = u64::from(seed) | 1;
    for last in (1..names.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        names.swap(last, usize::try_from((state >> 33) % (last as u64 + 1)).unwrap_or(0));
    }
}
