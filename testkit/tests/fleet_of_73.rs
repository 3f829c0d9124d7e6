//! A fleet of 73 agents, started in random order, in either dialect; two of them restarted on other ports, one name
//! registered twice: within 5 s every name answers through discovery, and it is the agent of that name that answers.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::{Agent, Sidecar, free_port};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const AGENTS: usize = 73;
/// Agents that share a Python process; each has sockets and threads of its own.
const PER_PROCESS: usize = 10;

#[test]
fn all_answer_through_discovery_within_5_seconds() {
    let sidecar = Sidecar::start();
    let registry = Registry::at(sidecar.discovery());
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    println!("order: seed {seed}");
    let mut names: Vec<String> = (0..AGENTS).map(|number| format!("Agent{number:02}")).collect();
    shuffle(&mut names, seed);

    // The two that will move have processes of their own, and so has the second owner of a name.
    let movers = names.split_off(AGENTS - 2);
    let mut processes: Vec<Agent> = Vec::new();
    for (index, group) in names.chunks(PER_PROCESS).enumerate() {
        processes.push(start(group, &sidecar, if index % 2 == 0 { "action" } else { "command" }));
    }
    let moving: Vec<Agent> = movers.iter().map(|name| start(std::slice::from_ref(name), &sidecar, "action")).collect();
    for agent in processes.iter().chain(&moving) {
        agent.event("all_registered");
    }
    drop(moving);
    for name in &movers {
        processes.push(start(std::slice::from_ref(name), &sidecar, "action"));
    }
    processes.push(start(&names[..1], &sidecar, "command"));
    for agent in processes.iter().rev().take(3) {
        agent.event("all_registered");
    }

    let began = Instant::now();
    for name in names.iter().chain(&movers) {
        for place in [registry.endpoint(name), registry.discover(name)] {
            let reply = call(place, br#"{"action": "token", "token": "t"}"#);
            let reply: Value = serde_json::from_slice(&reply[0]).unwrap();
            assert_eq!(reply["agent"], json!(name));
        }
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");

    let listed = registry.ask(&json!({"action": "list_agents"}));
    assert_eq!(listed["agents"].as_array().map(Vec::len), Some(AGENTS), "each name once");
}

fn start(names: &[String], sidecar: &Sidecar, dialect: &str) -> Agent {
    let fleet: Vec<Value> = names.iter().map(|name| json!({"name": name, "port": free_port(), "health_port": free_port()})).collect();
    Agent::script("rep_agent")
        .arg("--fleet", json!(fleet))
        .arg("--register", sidecar.discovery_endpoint())
        .arg("--dialect", dialect)
        .start()
}

/// Fisher and Yates, with a generator that is good enough for an order.
fn shuffle(names: &mut [String], seed: u32) {
    let mut state = u64::from(seed) | 1;
    for last in (1..names.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from((state >> 33) % (last as u64 + 1)).unwrap_or(0);
        names.swap(last, other);
    }
}
