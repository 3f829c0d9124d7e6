//! Several agents per process, on fixed ports, killed and started again while a load runs.

use crate::agent::{Agent, AgentBuilder};
use crate::hosts::{Host, on};
use crate::load::{self, Outcome, Plan};
use crate::registry::Registry;
use crate::sidecar::Sidecar;
use crate::{PATIENCE, eventually, free_port};
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
    /// Where the agents run, and where they are called from.
    hosts: [Option<Host>; 2],
}

impl Fleet {
    /// Starts the agents and waits until all are registered.
    ///
    /// # Panics
    /// When one is not found through discovery then.
    #[must_use]
    #[track_caller]
    pub fn start(sidecar: &Sidecar, plan: FleetPlan) -> Self {
        Self::start_on([None, None], sidecar, sidecar, plan)
    }

    /// Starts the agents on the host of one sidecar, to be called from the host of another.
    ///
    /// # Panics
    /// As [`Fleet::start`].
    #[must_use]
    #[track_caller]
    pub fn start_across(hosts: [&Host; 2], sidecars: &[Sidecar; 2], plan: FleetPlan) -> Self {
        Self::start_on(hosts.map(|host| Some(host.clone())), &sidecars[0], &sidecars[1], plan)
    }

    #[track_caller]
    fn start_on(hosts: [Option<Host>; 2], agents: &Sidecar, callers: &Sidecar, plan: FleetPlan) -> Self {
        let mut names = Vec::new();
        let mut groups = Vec::new();
        for process in 0..plan.processes {
            let own: Vec<_> = (0..plan.per_process).map(|member| format!("Agent-{process}-{member}")).collect();
            let members: Vec<_> = own.iter().map(|name| json!({"name": name, "port": free_port()})).collect();
            let members = json!(members).to_string();
            let agent = script(&members, plan.pause, hosts[0].as_ref()).arg("--register", agents.discovery_endpoint()).start();
            agent.event("all_registered");
            groups.push((members, agent));
            names.extend(own);
        }
        let places = on(hosts[1].as_ref(), || {
            let registry = Registry::at(callers.discovery());
            let question = |name: &str| json!({"action": "get_agent_endpoint", "agent_name": name});
            names
                .iter()
                .map(|name| {
                    eventually("the agent is found", PATIENCE, || (registry.ask(&question(name))["status"] == "success").then_some(()));
                    registry.endpoint(name)
                })
                .collect()
        });
        Self { groups, pause: plan.pause, places, hosts }
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
        *agent = script(members, self.pause, self.hosts[0].as_ref()).start();
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
        let callers = self.hosts[1].clone();
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let outcome = on(callers.as_ref(), || load::run(plan, &progress));
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

fn script(members: &str, pause: f64, host: Option<&Host>) -> AgentBuilder {
    let agent = Agent::script("rep_agent").arg("--fleet", members).arg("--delay", pause);
    match host {
        Some(host) => agent.on(host),
        None => agent,
    }
}
