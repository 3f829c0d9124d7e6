//! The agents that this process speaks for, what has happened to them, and what is to be said of it when.
//!
//! Each change of an agent gets the next version. The log has the last version of each agent, so that a difference is a walk over its end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::super::message::{Head, ITEMS_BYTES, Item, List, item_len};
use super::super::{Agent, AgentCard, Axes, NodeId, Reason, State};
use super::digest::Digest;
use super::events::Events;
use super::own_agent::OwnAgent;
use super::{Evidence, Limits, Timing};
use crate::wire::AgentId;

/// The answer to who has just come takes at most this part of an interval, so that one answers many.
pub(super) const GREETING_PART: u32 = 100;

/// When the network is asked again that has not taken a message: after half to one and a half of it.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Changes of nothing but how busy agents are, are told together at most this often.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);

/// Agents that are over and still told of, and removals that differences know of.
const GONE_MAX: usize = 1_024;

#[derive(Debug)]
pub(super) struct Own {
    node: NodeId,
    machine: Arc<str>,
    timing: Timing,
    agents_max: usize,
    agents: BTreeMap<AgentId, OwnAgent>,
    /// The agent of each version that is the last of an agent, whether or not that is still kept.
    log: BTreeMap<u64, AgentId>,
    /// Agents that are over, oldest first.
    gone: VecDeque<(Instant, AgentId, u64)>,
    /// Versions in the log that are removals, oldest first.
    removals: VecDeque<u64>,
    /// Differences that begin before this are not known any more.
    floor: u64,
    /// When those count as dead whose connection was lost.
    losing: BTreeSet<(Instant, AgentId)>,
    version: u64,
    digest: Digest,
    /// Up to which version everybody has been told.
    told: u64,
    /// Something has not been told yet that does not wait.
    is_urgent: bool,
    busy_at: Option<Instant>,
    due: Due,
    rng: Rng,
}

/// When it says next that it is there.
#[derive(Debug, Clone, Copy)]
enum Due {
    Hello(Instant),
    Beat(Instant),
    /// It has said goodbye.
    Never,
}

/// What it says.
#[derive(Debug)]
pub(super) enum Say {
    Hello(Head),
    List(Head, List),
    Beat(Head),
}

impl Own {
    pub(super) fn new(node: NodeId, machine: Arc<str>, timing: Timing, limits: Limits, rng: Rng, now: Instant) -> Self {
        Self {
            node,
            machine,
            timing,
            agents_max: limits.own_agents_max,
            agents: BTreeMap::new(),
            log: BTreeMap::new(),
            gone: VecDeque::new(),
            removals: VecDeque::new(),
            floor: 0,
            losing: BTreeSet::new(),
            version: 0,
            digest: Digest::default(),
            told: 0,
            is_urgent: false,
            busy_at: None,
            due: Due::Hello(now),
            rng,
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn machine(&self) -> &Arc<str> {
        &self.machine
    }

    pub(super) fn head(&self) -> Head {
        Head { node: self.node, interval: self.timing.interval, version: self.version, digest: self.digest.get() }
    }

    /// Begins a life of an agent. False when there are too many.
    pub(super) fn announce(&mut self, card: Arc<AgentCard>, incarnation: u64, axes: Axes, now: Instant) -> bool {
        let id = card.id().clone();
        if self.agents.len() >= self.agents_max && !self.agents.contains_key(&id) {
            return false;
        }
        let agent = OwnAgent {
            card,
            card_version: self.version + 1,
            version: 0,
            incarnation,
            state: State::Alive,
            reason: Reason::Announced,
            since: now,
            axes,
            lost: None,
        };
        self.put(&id, agent);
        true
    }

    /// The incarnation of an agent, whatever its state.
    pub(super) fn incarnation(&self, id: &str) -> Option<u64> {
        self.agents.get(id).map(|agent| agent.incarnation)
    }

    /// Says goodbye for an agent.
    pub(super) fn goodbye(&mut self, id: &AgentId, incarnation: u64, now: Instant) {
        self.change(id, incarnation, |agent| agent.enter(State::Left, Reason::Goodbye, now));
        self.bury(id, now);
    }

    pub(super) fn set_axes(&mut self, id: &AgentId, incarnation: u64, set: impl FnOnce(&mut Axes)) {
        self.change(id, incarnation, |agent| {
            let reachable = agent.axes.reachable;
            set(&mut agent.axes);
            agent.axes.busy = agent.axes.busy.min(100);
            agent.axes.reachable = reachable;
        });
    }

    pub(super) fn set_card(&mut self, card: Arc<AgentCard>, incarnation: u64) {
        let (id, next) = (card.id().clone(), self.version + 1);
        self.change(&id, incarnation, |agent| {
            if agent.card != card {
                (agent.card, agent.card_version) = (card, next);
            }
        });
    }

    /// Takes note of something that was seen of a living agent.
    pub(super) fn saw(&mut self, id: &AgentId, incarnation: u64, evidence: Evidence, now: Instant) {
        self.change(id, incarnation, |agent| agent.saw(evidence, now));
        if let Some(lost) = self.agents.get(id).and_then(|agent| agent.lost) {
            self.losing.insert((lost + self.timing.lost_grace, id.clone()));
        }
    }

    /// Changes a living agent, and notes it if that made a difference.
    fn change(&mut self, id: &AgentId, incarnation: u64, change: impl FnOnce(&mut OwnAgent)) {
        let Some(before) = self.agents.get(id).filter(|agent| agent.incarnation == incarnation && !agent.state.is_over()) else { return };
        let mut after = before.clone();
        change(&mut after);
        let is_told = before.state != after.state
            || before.reason != after.reason
            || before.axes != after.axes
            || before.card_version != after.card_version;
        if is_told {
            self.put(id, after);
        } else if let Some(agent) = self.agents.get_mut(id) {
            *agent = after;
        }
    }

    /// Notes a changed agent under the next version.
    fn put(&mut self, id: &AgentId, mut agent: OwnAgent) {
        self.version += 1;
        agent.version = self.version;
        self.digest.add(id, agent.incarnation, agent.version);
        let before = self.agents.insert(id.clone(), agent.clone());
        let is_busy_only = before.as_ref().is_some_and(|before| before.differs_in_busy_only(&agent));
        self.is_urgent |= !is_busy_only;
        if let Some(before) = before {
            self.digest.remove(id, before.incarnation, before.version);
            self.log.remove(&before.version);
        }
        self.log.insert(self.version, id.clone());
    }

    /// An agent is over: it is told of for a while.
    fn bury(&mut self, id: &AgentId, now: Instant) {
        let Some(agent) = self.agents.get(id).filter(|agent| agent.state.is_over()) else { return };
        self.gone.push_back((now + self.timing.gone_keep, id.clone(), agent.incarnation));
    }

    /// Keeps an agent no longer that has been over for longest, or whose time is up.
    fn forget_oldest(&mut self, events: &mut Events) {
        let Some((_, id, incarnation)) = self.gone.pop_front() else { return };
        let is_it = |agent: &&OwnAgent| agent.incarnation == incarnation && agent.state.is_over();
        let Some(agent) = self.agents.get(&id).filter(is_it) else {
            // It lives again.
            return;
        };
        events.change(Some(agent.seen(self.node, &self.machine)), None);
        if let Some(agent) = self.agents.remove(&id) {
            self.digest.remove(&id, agent.incarnation, agent.version);
            self.log.remove(&agent.version);
        }
        self.version += 1;
        self.log.insert(self.version, id);
        self.removals.push_back(self.version);
        if self.removals.len() > GONE_MAX
            && let Some(version) = self.removals.pop_front()
        {
            // The log has it under this version only if it was not announced again.
            if self.log.get(&version).is_some_and(|id| self.agents.get(id).is_none_or(|agent| agent.version != version)) {
                self.log.remove(&version);
            }
            self.floor = self.floor.max(version);
        }
        // Not urgent: it has been over for long.
    }

    /// Does what has become due.
    pub(super) fn expire(&mut self, now: Instant, events: &mut Events) {
        while let Some((at, id)) = self.losing.first().cloned().filter(|(at, _)| *at <= now) {
            self.losing.pop_first();
            let lost = at - self.timing.lost_grace;
            let Some(agent) = self.agents.get(&id).filter(|agent| agent.lost == Some(lost)) else { continue };
            let (incarnation, before) = (agent.incarnation, agent.seen(self.node, &self.machine));
            self.change(&id, incarnation, |agent| agent.enter(State::Dead, Reason::ConnectionLost, now));
            self.bury(&id, now);
            events.change(Some(before), self.agent(id.as_str()));
        }
        while self.gone.len() > GONE_MAX || self.gone.front().is_some_and(|(at, ..)| *at <= now) {
            self.forget_oldest(events);
        }
    }

    /// What has changed since a version, as far as it fits into one message.
    pub(super) fn since(&self, since: u64, now: Instant) -> List {
        let from = if since < self.floor || since > self.version { 0 } else { since };
        let (mut items, mut bytes, mut to) = (Vec::new(), 0, self.version);
        for (version, id) in self.log.range((Bound::Excluded(from), Bound::Unbounded)) {
            let told = self.agents.get(id).filter(|agent| agent.version == *version).map(|agent| agent.told(from, now));
            if told.is_none() && (from == 0 || self.agents.contains_key(id)) {
                continue;
            }
            if bytes > ITEMS_BYTES {
                to = items.last().map_or(from, |item: &Item| item.version);
                break;
            }
            let item = Item { id: id.clone(), version: *version, told };
            bytes += item_len(&item);
            items.push(item);
        }
        List { machine: Arc::clone(&self.machine), from, to, items }
    }

    /// Says hello again: the connection to the others was lost for a while.
    pub(super) fn greet(&mut self, now: Instant) {
        if !matches!(self.due, Due::Never) {
            self.due = Due::Hello(now);
        }
    }

    /// The network has not taken the last word. It is asked again soon, with a hello, since what others said may have been missed as well.
    pub(super) fn unheard(&mut self, now: Instant) {
        if !matches!(self.due, Due::Never) {
            self.due = Due::Hello(now + TRY_AGAIN / 2 + self.jittered(TRY_AGAIN));
        }
    }

    /// Somebody does not know that this node is there.
    pub(super) fn is_missed(&mut self, now: Instant) {
        let soon = now + self.jittered(self.timing.interval / GREETING_PART);
        if let Due::Beat(at) = &mut self.due {
            *at = (*at).min(soon);
        }
    }

    /// When [`say`](Self::say) or [`expire`](Self::expire) has something to do.
    pub(super) fn next_at(&self, now: Instant, has_missing: bool) -> Option<Instant> {
        let due = match self.due {
            Due::Never => None,
            Due::Hello(at) => Some(at),
            Due::Beat(_) if self.is_urgent => Some(now),
            Due::Beat(at) => {
                let untold = (self.told < self.version).then(|| self.busy_at.unwrap_or(now));
                untold.into_iter().chain(self.speaks(has_missing).then_some(at)).min()
            }
        };
        due.into_iter().chain(self.next_expiry_at()).min()
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_expiry_at(&self) -> Option<Instant> {
        let (losing, gone) = (self.losing.first().map(|(at, _)| *at), self.gone.front().map(|(at, ..)| *at));
        losing.into_iter().chain(gone).min()
    }

    /// What is to be said now, if anything is. A hello comes first.
    pub(super) fn say(&mut self, now: Instant, has_missing: bool) -> Option<Say> {
        let at = match self.due {
            Due::Never => return None,
            Due::Hello(at) if at > now => return None,
            Due::Hello(_) => {
                self.rest(now);
                return Some(Say::Hello(self.head()));
            }
            Due::Beat(at) => at,
        };
        let is_time = self.is_urgent || self.busy_at.is_none_or(|at| at <= now);
        if self.told < self.version && is_time {
            let list = self.since(self.told, now);
            self.told = list.to;
            self.is_urgent &= self.told < self.version;
            self.busy_at = Some(now + BUSY_INTERVAL);
            self.rest(now);
            return Some(Say::List(self.head(), list));
        }
        if at > now || !self.speaks(has_missing) {
            return None;
        }
        self.rest(now);
        Some(Say::Beat(self.head()))
    }

    /// Whether everything that is urgent has been said.
    pub(super) fn is_told(&self) -> bool {
        !self.is_urgent
    }

    /// Ends everything. False when that was done before, or nobody was ever told of anything.
    pub(super) fn bye(&mut self) -> bool {
        let has_spoken = self.told > 0 && !matches!(self.due, Due::Never);
        self.due = Due::Never;
        has_spoken
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = Agent> {
        self.agents.values().map(|agent| agent.seen(self.node, &self.machine))
    }

    pub(super) fn agent(&self, id: &str) -> Option<Agent> {
        self.agents.get(id).map(|agent| agent.seen(self.node, &self.machine))
    }

    /// Who has agents, or misses somebody, says so once in a while. Who only listens does not.
    fn speaks(&self, has_missing: bool) -> bool {
        has_missing || !self.agents.is_empty()
    }

    fn rest(&mut self, now: Instant) {
        let interval = self.timing.interval;
        self.due = Due::Beat(now + interval - self.jittered(interval / 5));
    }

    fn jittered(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.rng.f64())
    }
}
