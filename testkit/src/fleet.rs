//! Several agents per process, on fixed ports, killed and started again while a load runs.

use crate::agent::{Agent, AgentBuilder};
use crate::load::{self, Outcome, Plan};
use crate::registry::Registry;
use crate::sidecar::Sidecar;
use crate::{eventually, free_port};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A run of a load may take so long, on a slow machine and at full size.
const RUN_MAX: Duration = Duration::from_secs(300);

/// How many agents, and how they work.
#[derive(Debug, Clone, Copy)]
pub struct FleetPlan {
    /// Python processes.
    pub processes: usize,
    /// Agents in each of them.
    pub per_process: usize,
    /// What each agent sleeps after a request, in seconds.
    pub pause: f64,
}

/// Registered agents that a sidecar serves. A killed one comes back where it was.
#[derive(Debug)]
pub struct Fleet {
    groups: Vec<(String, Agent)>,
    pause: f64,
    places: Vec<SocketAddr>,
}

impl Fleet {
    /// Starts the agents and waits until all are registered.
    ///
    /// # Panics
    /// When one is not found through discovery then.
    #[must_use]
    #[track_caller]
    pub fn start(sidecar: &Sidecar, plan: FleetPlan) -> Self {
        let mut names = Vec::new();
        let mut groups = Vec::new();
        for process in 0..plan.processes {
            let own: Vec<_> = (0..plan.per_process).map(|member| format!("Agent-{process}-{member}")).collect();
            let members: Vec<_> = own.iter().map(|name| json!({"name": name, "port": free_port()})).collect();
            let members = json!(members).to_string();
            let agent = script(&members, plan.pause).arg("--register", sidecar.discovery_endpoint()).start();
            agent.event("all_registered");
            groups.push((members, agent));
            names.extend(own);
        }
        let registry = Registry::at(sidecar.discovery());
        let places = names.iter().map(|name| registry.endpoint(name)).collect();
        Self { groups, pause: plan.pause, places }
    }

    /// Where the sidecar serves each agent.
    #[must_use]
    pub fn places(&self) -> &[SocketAddr] {
        &self.places
    }

    /// `kill -9` of one process, and the same agents again; they do not register.
    ///
    /// # Panics
    /// When they do not start.
    #[track_caller]
    pub fn restart(&mut self, index: usize) {
        let count = self.groups.len();
        let (members, agent) = &mut self.groups[index % count];
        agent.kill9();
        *agent = script(members, self.pause).start();
    }

    /// Runs the load while one process after the other is restarted, `restarts` times, spread over the run.
    ///
    /// # Panics
    /// When the run takes longer than five minutes.
    #[must_use]
    #[track_caller]
    pub fn disturbed(&mut self, plan: &Plan, restarts: u64) -> Outcome {
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
                eventually("the run goes on", RUN_MAX, || {
                    (progress.load(Ordering::Relaxed) >= due || over.load(Ordering::Relaxed)).then_some(())
                });
                self.restart(usize::try_from(restart).expect("few"));
            }
            run.join().expect("the load does not panic")
        })
    }
}

fn script(members: &str, pause: f64) -> AgentBuilder {
    Agent::script("rep_agent").arg("--fleet", members).arg("--delay", pause)
}
