//! Both cores against a model of the world: a network that delays, loses and is cut, agents that change, hang, go and come back, sidecars that are
//! started again. Whatever happens, an answer was true of its agent at some moment no longer ago than the bound; and when all is quiet again, polls
//! are answered.

use std::collections::VecDeque;
use std::time::Duration;

use myelin_bus::wire::Frames;
use tokio::time::Instant;

use super::asking::{Asking, To};
use super::checking::{Act, Checking, Serves};
use super::config::{BOUND_DEFAULT, Timing};
use super::key::Key;
use super::masks::Masks;
use super::message::{Message, NodeId, Said, Why, decode, encode};

const STEP: Duration = Duration::from_millis(20);
const POLLER: NodeId = NodeId(1);
const REQUEST: &[u8] = b"{\"action\": \"ping\"}";

/// An agent, and what it was at each time.
struct Agent {
    service: std::sync::Arc<str>,
    state: u32,
    hangs: bool,
    is_there: bool,
    /// From when on it would have answered what.
    was: Vec<(Duration, Option<u32>)>,
    /// Checks that it has not answered: when it will.
    asked: VecDeque<(Key, u64, Duration)>,
}

impl Agent {
    fn is(&self) -> Option<u32> {
        Some(self.state).filter(|_| !self.hangs && self.is_there)
    }

    fn note(&mut self, at: Duration) {
        let is = self.is();
        if self.was.last().is_none_or(|(_, was)| *was != is) {
            self.was.push((at, is));
        }
    }

    /// Whether it was in this state at some moment of the time.
    fn was_between(&self, state: u32, from: Duration, to: Duration) -> bool {
        let ends = self.was.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
        self.was.iter().zip(ends).any(|((began, was), ended)| *was == Some(state) && *began <= to && ended >= from)
    }
}

struct World {
    start: Instant,
    now: Duration,
    random: fastrand::Rng,
    asking: Asking,
    checking: Checking,
    node: NodeId,
    agents: Vec<Agent>,
    /// In each direction, in order: when it arrives, for whom, and the bytes.
    to_poller: VecDeque<(Duration, bytes::Bytes)>,
    to_agents: VecDeque<(Duration, To, bytes::Bytes)>,
    is_cut: bool,
    loss_percent: u8,
    delay_max: Duration,
    answered: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let agents = ["a", "b", "c"].map(|name| Agent {
            service: name.into(),
            state: 0,
            hangs: false,
            is_there: true,
            was: vec![(Duration::ZERO, Some(0))],
            asked: VecDeque::new(),
        });
        Self {
            start: Instant::now(),
            now: Duration::ZERO,
            random: fastrand::Rng::with_seed(seed),
            asking: Asking::new(Timing::new(BOUND_DEFAULT)),
            checking: Checking::new(Masks::default()),
            node: NodeId(100),
            agents: agents.into(),
            to_poller: VecDeque::new(),
            to_agents: VecDeque::new(),
            is_cut: false,
            loss_percent: 0,
            delay_max: Duration::from_millis(5),
            answered: 0,
        }
    }

    fn at(&self) -> Instant {
        self.start + self.now
    }

    /// When something sent now arrives, if it does.
    fn arrival(&mut self, last: Option<Duration>) -> Option<Duration> {
        if self.is_cut || self.random.u8(0..100) < self.loss_percent {
            return None;
        }
        let delay = self.delay_max.mul_f64(self.random.f64());
        Some((self.now + delay).max(last.unwrap_or_default()))
    }

    fn say(&mut self, message: &Message, to: To) {
        let bytes = encode(message);
        if message.from == POLLER {
            let last = self.to_agents.back().map(|(at, ..)| *at);
            if let Some(at) = self.arrival(last) {
                self.to_agents.push_back((at, to, bytes));
            }
        } else {
            let last = self.to_poller.back().map(|(at, _)| *at);
            if let Some(at) = self.arrival(last) {
                self.to_poller.push_back((at, bytes));
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.at();
        while self.to_agents.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to, bytes) = self.to_agents.pop_front().unwrap();
            let Message { from, said } = decode(&bytes).unwrap();
            if !matches!(to, To::Everybody) && to != To::One(self.node) {
                continue;
            }
            match said {
                Said::Ask { bound, keys } => {
                    for key in keys {
                        let agent = self.agents.iter().find(|agent| *agent.service == *key.service()).unwrap();
                        let serves = if agent.is_there { Serves::One("kind".into()) } else { Serves::Nobody };
                        self.checking.asked(from, bound, &key, serves, now);
                    }
                }
                Said::Renew { number } => self.checking.renewed(from, number, now),
                Said::Drop { keys } => self.checking.dropped(from, &keys),
                other => panic!("a poller says {other:?}"),
            }
        }
        while self.to_poller.front().is_some_and(|(at, _)| *at <= self.now) {
            let (_, bytes) = self.to_poller.pop_front().unwrap();
            let Message { from, said } = decode(&bytes).unwrap();
            match said {
                Said::Lease { number, told, oldest } => self.asking.lease(from, (number, told), oldest, now),
                Said::Document { told, key, kind, content } => self.asking.document(from, told, &key, (&kind, content), now),
                Said::Withdraw { told, key, why } => self.asking.withdraw(from, told, &key, why, now),
                other => panic!("the other side says {other:?}"),
            }
        }
    }

    fn act(&mut self) {
        let now = self.at();
        while let Some(act) = self.checking.next_act(now) {
            match act {
                Act::Say(_, said) => self.say(&Message { from: self.node, said }, To::One(POLLER)),
                Act::Check { key, number } => {
                    let takes = Duration::from_millis(self.random.u64(1..150));
                    let at = self.now + takes;
                    let agent = self.agents.iter_mut().find(|agent| *agent.service == *key.service()).unwrap();
                    agent.asked.push_back((key, number, at));
                }
                Act::Unfit { .. } => {}
            }
        }
        while let Some((to, said)) = self.asking.next_said(now) {
            self.say(&Message { from: POLLER, said }, to);
        }
    }

    /// Agents answer what they were asked, as they are now.
    fn answer(&mut self) {
        let now = self.at();
        for agent in &mut self.agents {
            while agent.is().is_some() && agent.asked.front().is_some_and(|(.., at)| *at <= self.now) {
                let (key, number, _) = agent.asked.pop_front().unwrap();
                let document = format!("{{\"state\": {}, \"timestamp\": {:?}}}", agent.state, self.now.as_secs_f64());
                self.checking.answered(&key, number, Some(Frames::single(document.as_bytes())), now);
            }
        }
    }

    fn poll(&mut self, of: usize) -> bool {
        let now = self.at();
        let agent = &self.agents[of];
        let Some(known) = self.asking.poll(&agent.service, REQUEST, || true, now) else { return false };
        let text = String::from_utf8(known.content.first().to_vec()).unwrap();
        let state = text.strip_prefix("{\"state\": ").unwrap().split(',').next().unwrap().parse().unwrap();
        let from = self.now.saturating_sub(BOUND_DEFAULT);
        assert!(
            agent.was_between(state, from, self.now),
            "at {:?} {} is said to be {state}, and was {:?}",
            self.now,
            agent.service,
            agent.was
        );
        self.answered += 1;
        true
    }

    fn disturb(&mut self) {
        let of = self.random.usize(0..self.agents.len());
        let agent = &mut self.agents[of];
        match self.random.u8(0..9) {
            0 | 1 => agent.state += 1,
            2 => agent.hangs = !agent.hangs,
            3 => {
                agent.is_there = !agent.is_there;
                agent.asked.clear();
                self.checking.ended(&agent.service.clone(), Why::Ended);
            }
            4 => self.is_cut = !self.is_cut,
            5 => self.loss_percent = self.random.u8(0..60),
            6 => self.delay_max = Duration::from_millis(self.random.u64(1..8_000)),
            7 => {
                // Killed, and started again.
                self.checking = Checking::new(Masks::default());
                self.node = NodeId(self.node.0 + 1);
                self.agents.iter_mut().for_each(|agent| agent.asked.clear());
            }
            _ => self.delay_max = Duration::from_millis(5),
        }
        self.agents.iter_mut().for_each(|agent| agent.note(self.now));
    }

    fn calm(&mut self) {
        (self.is_cut, self.loss_percent, self.delay_max) = (false, 0, Duration::from_millis(5));
        for agent in &mut self.agents {
            (agent.hangs, agent.is_there) = (false, true);
            agent.note(self.now);
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        self.deliver();
        self.answer();
        self.act();
    }
}

#[test]
fn an_answer_was_true_within_the_bound_whatever_happens() {
    let mut answered = 0;
    for seed in 0..150 {
        let mut world = World::new(seed);
        for step in 0..6_000_u32 {
            world.step();
            // One is polled often, one seldom.
            for (of, every) in [(0, 7), (1, 50), (2, 250)] {
                if step % every == 0 {
                    world.poll(of);
                }
            }
            if world.random.u8(0..100) == 0 {
                world.disturb();
            }
        }
        world.calm();
        // The longest pause before everybody is asked again, and two checks.
        for step in 0..4_000_u32 {
            world.step();
            if step % 40 == 0 {
                (0..3).for_each(|of| _ = world.poll(of));
            }
        }
        for of in 0..3 {
            assert!(world.poll(of), "seed {seed}: all is well, and {of} is not answered");
        }
        answered += world.answered;
    }
    assert!(answered > 20_000, "answers that were looked at: {answered}");
}

/// What a poller sees when an agent hangs: nothing that is older than the bound, and what was said is taken back before that.
#[test]
fn an_agent_that_hangs_is_silent_before_the_bound() {
    let mut world = World::new(7);
    while world.now < Duration::from_secs(20) {
        world.step();
        if world.now.as_millis().is_multiple_of(500) {
            world.poll(0);
        }
    }
    assert!(world.poll(0));
    world.agents[0].hangs = true;
    world.agents[0].note(world.now);
    let began = world.now;
    while world.poll(0) {
        world.step();
    }
    let after = world.now - began;
    assert!(after < Duration::from_secs(3), "taken back after {after:?}");
}

#[test]
fn nothing_is_said_while_nobody_polls() {
    let mut world = World::new(1);
    while world.now < Duration::from_secs(20) {
        world.step();
        world.poll(0);
    }
    // As long as the pollers may be pausing, and as long as the other side waits for the last word.
    for _ in 0..2_000 {
        world.step();
    }
    let now = world.at();
    assert_eq!((world.asking.next_at(now), world.checking.next_at(now), world.checking.len()), (None, None, 0));
}

#[test]
fn of_an_agent_whose_answers_differ_each_time_nothing_is_told() {
    let mut world = World::new(3);
    for _ in 0..4_000 {
        world.step();
        world.agents[0].state += 1;
        world.agents[0].note(world.now);
        assert!(!world.poll(0));
    }
    // One that changes only now and then is.
    let mut answered = 0;
    for step in 0..4_000 {
        world.step();
        if step % 500 == 0 {
            world.agents[1].state += 1;
            world.agents[1].note(world.now);
        }
        answered += usize::from(world.poll(1));
    }
    assert!(answered > 3_000, "{answered} of 4000");
}
