//! Every request gets its own reply or nothing: many callers, agents that are killed and started again meanwhile.
//!
//! `MYELIN_PROOF=full` runs the sizes of the promise: 100,000 requests over 64 callers against agents without a pause,
//! and 2,000 over 20 agents that sleep 0.1 s after each request, as the real ones do. Otherwise smaller ones run.

use myelin_testkit::load::{self, Outcome, Plan};
use myelin_testkit::registry::Registry;
use myelin_testkit::{Agent, Sidecar, eventually, free_port};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn full() -> bool {
    std::env::var_os("MYELIN_PROOF").is_some_and(|value| value == "full")
}

/// Agents on fixed ports, several per process, so that a killed one comes back where it was.
struct Fleet {
    groups: Vec<(String, Agent)>,
    pause: f64,
    places: Vec<SocketAddr>,
}

impl Fleet {
    #[track_caller]
    fn start(sidecar: &Sidecar, processes: usize, per_process: usize, pause: f64) -> Self {
        let mut names = Vec::new();
        let groups = (0..processes).map(|process| {
            let members: Vec<_> = (0..per_process)
                .map(|member| {
                    names.push(format!("Agent-{process}-{member}"));
                    json!({"name": names.last(), "port": free_port()})
                })
                .collect();
            let members = json!(members).to_string();
            let agent = script(&members, pause).arg("--register", sidecar.discovery_endpoint()).start();
            agent.event("all_registered");
            (members, agent)
        });
        let groups = groups.collect();
        let registry = Registry::at(sidecar.discovery());
        let places = names.iter().map(|name| registry.endpoint(name)).collect();
        Self { groups, pause, places }
    }

    /// `kill -9` of one process, and the same agents again; they do not register.
    fn restart(&mut self, index: usize) {
        let (members, agent) = &mut self.groups[index];
        agent.kill9();
        *agent = script(members, self.pause).start();
    }
}

fn script(members: &str, pause: f64) -> myelin_testkit::AgentBuilder {
    Agent::script("rep_agent").arg("--fleet", members).arg("--delay", pause)
}

/// Runs the plan while one process after the other is restarted, `restarts` times, spread over the run.
fn disturbed(fleet: &mut Fleet, plan: &Plan, restarts: u64) -> Outcome {
    let progress = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let outcome = load::run(plan, &progress);
            over.store(true, Ordering::Relaxed);
            outcome
        });
        for restart in 1..=restarts {
            let due = plan.requests * restart / (restarts + 1);
            eventually("the run goes on", Duration::from_secs(120), || {
                (progress.load(Ordering::Relaxed) >= due || over.load(Ordering::Relaxed)).then_some(())
            });
            let index = usize::try_from(restart).expect("few") % fleet.groups.len();
            fleet.restart(index);
        }
        run.join().expect("the load does not panic")
    })
}

#[track_caller]
fn check(outcome: &Outcome, requests: u64, answered_min: u64) {
    println!("{} sent, {} answered, {} silent", outcome.sent, outcome.answered, outcome.silent);
    assert!(outcome.wrong.is_empty(), "replies of others: {:?}", outcome.wrong);
    assert_eq!((outcome.sent, outcome.answered + outcome.silent), (requests, requests));
    assert!(outcome.answered >= answered_min, "most are answered, or nothing was shown: {outcome:?}");
}

#[test]
fn many_callers_against_agents_without_a_pause() {
    let requests = if full() { 100_000 } else { 10_000 };
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, 2, 4, 0.0);
    let plan = Plan { targets: fleet.places.clone(), clients: 64, requests, timeout: Duration::from_secs(1), requests_per_socket: 40 };
    let outcome = disturbed(&mut fleet, &plan, 4);
    check(&outcome, requests, requests * 9 / 10);
    assert!(sidecar.is_ready());
}

#[test]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    let requests = if full() { 2_000 } else { 400 };
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, 4, 5, 0.1);
    let plan = Plan {
        targets: fleet.places.clone(),
        clients: 40,
        requests,
        // As long as the queue before an agent may take: a request is lost only with the agent that had it.
        timeout: Duration::from_secs(2),
        requests_per_socket: 1,
    };
    let outcome = disturbed(&mut fleet, &plan, 3);
    check(&outcome, requests, requests * 8 / 10);
}

#[test]
fn pyzmq_callers_with_a_fresh_socket_per_call() {
    let requests = if full() { 5_000 } else { 500 };
    let sidecar = Sidecar::start();
    let mut fleet = Fleet::start(&sidecar, 2, 4, 0.0);
    let mut client = Agent::script("client").arg("--clients", 16).arg("--requests", requests).arg("--timeout-ms", 1000);
    for place in &fleet.places {
        client = client.arg("--endpoint", format!("tcp://{place}"));
    }
    let client = client.start();
    client.event("progress");
    fleet.restart(0);
    let done = client.event_within("done", Duration::from_secs(120));
    assert_eq!(done["wrong"], json!([]), "own reply or nothing");
    let answered = done["answered"].as_u64().unwrap_or(0);
    assert_eq!(answered + done["silent"].as_u64().unwrap_or(0), requests);
    assert!(answered >= requests * 9 / 10, "{done}");
}
