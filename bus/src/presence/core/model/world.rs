//! Machines with a core each, a network between them, and the truth about every agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::super::{Core, Evidence, Limits, Timing, To};
use crate::presence::message::{decode, encode};
use crate::presence::{Agent, AgentCard, Axes, NodeId, State};
use crate::wire::AgentId;

const STEP: u64 = 20;
const INTERVAL: Duration = Duration::from_millis(1_000);
const LOST_GRACE: Duration = Duration::from_millis(200);
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What the world does to its machines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    loss: f64,
    twice: f64,
    delay_ms_max: u64,
    /// Chance of something happening, per step.
    events: f64,
    cuts: bool,
    kills: bool,
}

#[derive(Debug)]
pub(super) struct World {
    seed: u64,
    plan: Plan,
    rng: Rng,
    now_ms: u64,
    start: Instant,
    machines: Vec<Machine>,
    /// By arrival.
    network: BTreeMap<(u64, u64), (usize, Vec<u8>)>,
    sent: u64,
    /// Pairs that do not hear each other.
    cut: BTreeSet<(usize, usize)>,
    truth: BTreeMap<(NodeId, &'static str, u64), Truth>,
    nodes: u64,
}

#[derive(Debug)]
struct Machine {
    core: Core,
    node: NodeId,
    name: Arc<str>,
    /// Its clock when the world began, and its speed.
    offset: Duration,
    speed: f64,
    wall_ms: u64,
    /// When it was killed or said goodbye.
    over: Option<u64>,
    lives: BTreeMap<&'static str, u64>,
}

/// What is true of one life.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Truth {
    Lives,
    /// Since then its connection is away.
    Lost(u64),
    Dead,
    Left,
    /// Its machine was killed then.
    Killed(u64),
    /// Its process said goodbye.
    MachineLeft,
}

impl Plan {
    pub(super) fn rough() -> Self {
        Self { loss: 0.3, twice: 0.2, delay_ms_max: 700, events: 0.05, cuts: true, kills: true }
    }

    pub(super) fn calm() -> Self {
        Self { loss: 0.0, twice: 0.1, delay_ms_max: 40, events: 0.0, cuts: false, kills: false }
    }
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let mut world = Self {
            seed,
            plan,
            rng: Rng::with_seed(seed),
            now_ms: 0,
            start: Instant::now() + Duration::from_secs(1_000),
            machines: Vec::new(),
            network: BTreeMap::new(),
            sent: 0,
            cut: BTreeSet::new(),
            truth: BTreeMap::new(),
            nodes: 0,
        };
        for number in 0..4 {
            let machine = world.machine(format!("machine-{number}").into());
            world.machines.push(machine);
        }
        world
    }

    fn machine(&mut self, name: Arc<str>) -> Machine {
        self.nodes += 1;
        let (node, timing) = (NodeId(self.nodes << 8 | self.seed & 0xff), timing());
        let offset = Duration::from_millis(self.rng.u64(..900_000));
        let speed = 0.98 + self.rng.f64() * 0.04;
        let now = self.start + offset + Duration::from_millis(self.now_ms).mul_f64(speed);
        let limits = Limits { own_agents_max: 100, nodes_max: 100, agents_max: 1_000, bytes_max: 1 << 20 };
        let mut core = Core::new(node, Arc::clone(&name), timing, limits, Rng::with_seed(self.rng.u64(..)), now);
        core.watch(true);
        // A wall clock that may be an hour off in either direction, and is another one after a restart.
        let wall_ms = 1_000_000_000 + self.rng.u64(..7_200_000);
        Machine { core, node, name, offset, speed, wall_ms, over: None, lives: BTreeMap::new() }
    }

    fn local(&self, machine: usize) -> Instant {
        let machine = &self.machines[machine];
        self.start + machine.offset + Duration::from_millis(self.now_ms).mul_f64(machine.speed)
    }

    /// Lets time pass, and what the plan says happen.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now_ms + time.as_millis() as u64;
        while self.now_ms < end {
            self.now_ms += STEP;
            self.deliver();
            if self.rng.f64() < self.plan.events {
                self.happen();
            }
            for machine in 0..self.machines.len() {
                self.speak(machine);
            }
            self.age();
            self.holds();
        }
    }

    /// From now on nothing is lost, and nothing happens.
    pub(super) fn calm(&mut self) {
        self.plan = Plan { delay_ms_max: 200, ..Plan::calm() };
        self.cut.clear();
    }

    fn deliver(&mut self) {
        while let Some((&(at, number), _)) = self.network.first_key_value().filter(|((at, _), _)| *at <= self.now_ms) {
            let Some((to, bytes)) = self.network.remove(&(at, number)) else { return };
            let now = self.local(to);
            if self.machines[to].over.is_none() {
                let message = decode(&bytes).expect("what a core says can be read");
                self.machines[to].core.hear(message, now);
            }
        }
    }

    fn speak(&mut self, from: usize) {
        let now = self.local(from);
        for said in 0.. {
            assert!(said < 10_000, "world {}: a machine does not stop to speak", self.seed);
            if self.machines[from].over.is_some() {
                return;
            }
            let Some((to, message)) = self.machines[from].core.say(now) else { break };
            self.send(from, to, &encode(&message));
        }
        drop(self.machines[from].core.events());
    }

    fn send(&mut self, from: usize, to: To, bytes: &[u8]) {
        for other in (0..self.machines.len()).filter(|other| *other != from) {
            let is_meant = to == To::All || to == To::Node(self.machines[other].node);
            if !is_meant || self.cut.contains(&(from.min(other), from.max(other))) || self.rng.f64() < self.plan.loss {
                continue;
            }
            let copies = 1 + usize::from(self.rng.f64() < self.plan.twice);
            for _ in 0..copies {
                self.sent += 1;
                let at = self.now_ms + self.rng.u64(..=self.plan.delay_ms_max);
                self.network.insert((at, self.sent), (other, bytes.to_vec()));
            }
        }
    }

    fn happen(&mut self) {
        match self.rng.u32(..20) {
            0 if self.plan.cuts => {
                let (one, other) = (self.rng.usize(..self.machines.len()), self.rng.usize(..self.machines.len()));
                self.cut.insert((one.min(other), one.max(other)));
            }
            1 | 2 => self.cut.clear(),
            3 if self.plan.kills => {
                let machine = self.rng.usize(..self.machines.len());
                self.end(machine);
            }
            4..=6 => {
                let over = (0..self.machines.len()).find(|machine| self.machines[*machine].over.is_some());
                if let Some(machine) = over {
                    // It is the same machine with another process; what was on its way to the one before gets nowhere.
                    let name = Arc::clone(&self.machines[machine].name);
                    self.machines[machine] = self.machine(name);
                    self.network.retain(|_, (to, _)| *to != machine);
                }
            }
            _ => self.change_one(),
        }
    }

    /// Kills a machine, or lets it say goodbye.
    fn end(&mut self, number: usize) {
        if self.machines[number].over.is_some() {
            return;
        }
        let truth = if self.rng.bool() {
            let bye = self.machines[number].core.bye();
            if let Some(bye) = bye {
                self.send(number, To::All, &encode(&bye));
            }
            Truth::MachineLeft
        } else {
            Truth::Killed(self.now_ms)
        };
        self.machines[number].over = Some(self.now_ms);
        let node = self.machines[number].node;
        for (_, known) in self.truth.iter_mut().filter(|((of, ..), _)| *of == node) {
            if matches!(known, Truth::Lives | Truth::Lost(_)) {
                *known = truth;
            }
        }
    }

    /// Something happens to one agent of one machine.
    pub(super) fn change_one(&mut self) {
        let number = self.rng.usize(..self.machines.len());
        if self.machines[number].over.is_some() {
            return;
        }
        let (now, name) = (self.local(number), NAMES[self.rng.usize(..NAMES.len())]);
        let machine = &mut self.machines[number];
        let (id, node) = (AgentId::new(name).expect("an id"), machine.node);
        let Some(life) = machine.lives.get(name).copied() else {
            let card = AgentCard::new(id).capability(&format!("c{}", self.rng.u32(..3)));
            let unix_ms = machine.wall_ms + self.now_ms;
            let life = machine.core.announce(Arc::new(card), Axes::default(), unix_ms, now).expect("there is room");
            machine.lives.insert(name, life);
            self.truth.insert((node, name, life), Truth::Lives);
            return;
        };
        let truth = self.truth.get_mut(&(node, name, life)).expect("every life is known");
        match self.rng.u32(..10) {
            0 => {
                machine.core.goodbye(&id, life, now);
                machine.lives.remove(name);
                *truth = Truth::Left;
            }
            1 if *truth == Truth::Lives => {
                machine.core.saw(&id, life, Evidence::ConnectionLost, now);
                *truth = Truth::Lost(self.now_ms);
            }
            1 | 2 => {
                machine.core.saw(&id, life, Evidence::ConnectionBack, now);
                *truth = Truth::Lives;
            }
            3 => machine.core.saw(&id, life, Evidence::Unanswered, now),
            4 => {
                machine.core.saw(&id, life, Evidence::Answered, now);
                *truth = Truth::Lives;
            }
            5 => machine.core.saw(&id, life, Evidence::PutToSleep, now),
            6 => machine.core.saw(&id, life, Evidence::Woken, now),
            7 => {
                let card = AgentCard::new(id).metadata("m", &self.rng.u32(..1_000).to_string());
                machine.core.set_card(Arc::new(card), life);
            }
            8 => machine.core.set_axes(&id, life, |axes| axes.busy = 100 - axes.busy),
            _ => machine.core.set_axes(&id, life, |axes| (axes.ready, axes.healthy) = (!axes.ready, Some(axes.ready))),
        }
    }

    /// Connections that have been away for too long are the end of their agents.
    fn age(&mut self) {
        for number in 0..self.machines.len() {
            let machine = &mut self.machines[number];
            let node = machine.node;
            machine.lives.retain(|name, life| {
                let truth = self.truth.get_mut(&(node, *name, *life)).expect("every life is known");
                let Truth::Lost(at) = *truth else { return true };
                let is_over = machine.over.is_none() && Duration::from_millis(self.now_ms - at).mul_f64(machine.speed) >= LOST_GRACE;
                if is_over {
                    *truth = Truth::Dead;
                }
                !is_over
            });
        }
    }

    fn views(&self) -> impl Iterator<Item = (usize, &Machine, Vec<Agent>)> {
        self.machines
            .iter()
            .enumerate()
            .filter(|(_, machine)| machine.over.is_none())
            .map(|(at, machine)| (at, machine, machine.core.agents()))
    }

    fn truth_of(&self, agent: &Agent) -> Truth {
        let name = NAMES.into_iter().find(|name| *name == agent.id().as_str()).expect("an agent of this world");
        *self.truth.get(&(agent.node, name, agent.incarnation)).expect("a life of this world")
    }

    /// What holds at every moment.
    fn holds(&self) {
        // The slowest clock, the last message on its way, and three intervals.
        let bound = INTERVAL.mul_f64(3.0 / 0.98) + Duration::from_millis(self.plan.delay_ms_max.max(700) + 2 * STEP);
        for (at, machine, view) in self.views() {
            let mut listed = BTreeSet::new();
            for agent in &view {
                let truth = self.truth_of(agent);
                let told = || format!("world {} at {} ms, machine {at}: {truth:?} is seen as {agent:?}", self.seed, self.now_ms);
                let is_first = listed.insert((agent.id().as_str(), agent.incarnation, agent.node));
                assert!(is_first, "{}, twice", told());
                match agent.state {
                    State::Dead => assert!(truth == Truth::Dead, "{}", told()),
                    // That it was dead when its process said goodbye may not be known yet.
                    State::Left => assert!(matches!(truth, Truth::Left | Truth::MachineLeft | Truth::Dead), "{}", told()),
                    State::Alive | State::Asleep => {
                        let is_late = |since: u64| Duration::from_millis(self.now_ms - since) > bound;
                        assert!(!matches!(truth, Truth::Killed(since) if is_late(since)), "{}", told());
                        // Of its own agents a machine knows at once.
                        let is_own = agent.node == machine.node;
                        assert!(!is_own || !matches!(truth, Truth::Dead | Truth::Left | Truth::Lost(_)), "{}", told());
                    }
                    State::Suspect => {}
                }
            }
        }
    }

    /// What holds once messages have arrived for a while.
    pub(super) fn agrees(&self) {
        let mut states: BTreeMap<(NodeId, AgentId, u64), State> = BTreeMap::new();
        let views: Vec<_> = self.views().collect();
        for (at, _, view) in &views {
            for agent in view {
                let life = (agent.node, agent.id().clone(), agent.incarnation);
                let known = *states.entry(life).or_insert(agent.state);
                assert_eq!(known, agent.state, "world {}, machine {at}: {agent:?} has another state elsewhere", self.seed);
            }
        }
        for (_, machine, own) in &views {
            let told = |view: &[Agent]| {
                let of_it = view.iter().filter(|agent| agent.node == machine.node);
                let mut facts: Vec<_> =
                    of_it.map(|agent| (agent.id().clone(), agent.incarnation, agent.state, agent.axes, agent.card.clone())).collect();
                facts.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
                facts
            };
            for (at, _, view) in &views {
                assert_eq!(told(view), told(own), "world {}: what machine {at} knows of {}", self.seed, machine.name);
            }
        }
    }
}

fn timing() -> Timing {
    let long = Duration::from_secs(3_600);
    Timing { interval: INTERVAL, lost_grace: LOST_GRACE, gone_keep: long, silent_keep: long }
}
