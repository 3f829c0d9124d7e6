//! The side beside the agents: asks them what is polled elsewhere, and tells what changes.
//!
//! Synchronous: `now` is an argument. What is to be done comes out of [`Checking::next_act`].
//!
//! Invariants:
//! - **One at a time.** An agent is not asked the same again before it has answered: one that does not answer gets no line of checks.
//! - **Two answers alike.** Nothing is told before two answers in a row said the same; and what changes again and again is not told any more. So an agent
//!   whose answers are made for one caller (a number of their own, the time in a member that nobody masked) answers each poll itself.
//! - **Silence is told at once.** What was not confirmed for `silent` is taken back, before any lease that would say otherwise.
//!
//! Bounds: [`WATCHES_MAX`] requests, of [`PAIRS_MAX`] sidecars.

mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use myelin_bus::wire::Frames;
use tokio::time::Instant;

use self::watch::{Answered, Watch};
use super::config::Timing;
use super::key::Key;
use super::masks::Masks;
use super::message::{NodeId, Said, Why};

/// Requests that agents are asked again and again, over all.
const WATCHES_MAX: usize = 32_768;

/// Sidecars that may ask.
const PAIRS_MAX: usize = 256;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Say(NodeId, Said),
    /// Ask the agent; the answer comes back with the number.
    Check {
        key: Key,
        number: u64,
    },
    /// The answers are not fit to be told: because of this member, if it is known.
    Unfit {
        key: Key,
        member: Option<String>,
    },
}

/// Who serves a name on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    Nobody,
    /// One agent, of this kind.
    One(Arc<str>),
    Several,
    /// Whose answers are not the agents' alone, or cannot be told apart.
    Unfit,
}

/// Everything that is asked here for others.
#[derive(Debug)]
pub(super) struct Checking {
    masks: Masks,
    watches: HashMap<Key, Watch>,
    pairs: HashMap<NodeId, Pair>,
    checks: u64,
    out: VecDeque<Act>,
}

/// Another sidecar.
#[derive(Debug)]
struct Pair {
    /// The number of the last that it was told.
    told: u32,
    heard: Instant,
    bound: Duration,
}

impl Checking {
    pub(super) fn new(masks: Masks) -> Self {
        Self { masks, watches: HashMap::new(), pairs: HashMap::new(), checks: 0, out: VecDeque::new() }
    }

    /// A sidecar wants to know what an agent answers. `serves` is who serves the name here.
    pub(super) fn asked(&mut self, node: NodeId, bound: Duration, key: &Key, serves: Serves, now: Instant) {
        if serves == Serves::Nobody || (self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&node)) {
            return;
        }
        let pair = self.pairs.entry(node).or_insert_with(|| Pair { told: fastrand::u32(..), heard: now, bound });
        (pair.heard, pair.bound) = (now, bound);
        let kind = match serves {
            Serves::One(kind) => kind,
            Serves::Several => return self.tell(node, |told| Said::Withdraw { told, key: key.clone(), why: Why::Several }),
            Serves::Nobody | Serves::Unfit => return self.tell(node, |told| Said::Withdraw { told, key: key.clone(), why: Why::Unfit }),
        };
        if self.watches.len() >= WATCHES_MAX && !self.watches.contains_key(key) {
            return;
        }
        let watch = self.watches.entry(key.clone()).or_insert_with(|| Watch::new(kind, now));
        watch.add(node, Timing::new(bound));
        if let Some((kind, content)) = watch.told() {
            self.tell(node, |told| Said::Document { told, key: key.clone(), kind: (&*kind).into(), content });
        }
    }

    /// A sidecar does not poll these any more.
    pub(super) fn dropped(&mut self, node: NodeId, keys: &[Key]) {
        for key in keys {
            if let Some(watch) = self.watches.get_mut(key)
                && watch.remove(node)
            {
                self.watches.remove(key);
            }
        }
    }

    /// A sidecar asks whether everything is still so.
    pub(super) fn renewed(&mut self, node: NodeId, number: u32, now: Instant) {
        // Whatever is silent is taken back first.
        self.take_back(now);
        let told = match self.pairs.get_mut(&node) {
            Some(pair) => {
                pair.heard = now;
                pair.told
            }
            // It was away for long: whatever it knows counts no more, which no number that it may have says.
            None => fastrand::u32(..),
        };
        let ages = self.watches.values().filter(|watch| watch.has(node)).filter_map(|watch| watch.age(now));
        let oldest = ages.max().unwrap_or_default();
        self.out.push_back(Act::Say(node, Said::Lease { number, told, oldest }));
    }

    /// An agent answered a check: its frames behind the envelope, if it gave any that can be told.
    pub(super) fn answered(&mut self, key: &Key, number: u64, content: Option<Frames>, now: Instant) {
        let Some(watch) = self.watches.get_mut(key) else { return };
        match watch.answered(number, content, &self.masks, now) {
            Answered::Nothing => {}
            Answered::Changed => self.tell_document(key),
            Answered::Unfit(member) => {
                self.end(key, Why::Unfit);
                self.out.push_back(Act::Unfit { key: key.clone(), member });
            }
        }
    }

    /// The agent of a service has gone, or has company.
    pub(super) fn ended(&mut self, service: &str, why: Why) {
        let keys: Vec<Key> = self.watches.keys().filter(|key| key.service() == service).cloned().collect();
        keys.iter().for_each(|key| self.end(key, why));
    }

    /// What is to be done now, one after the other.
    pub(super) fn next_act(&mut self, now: Instant) -> Option<Act> {
        if self.out.is_empty() {
            self.take_back(now);
            self.forget(now);
            for (key, watch) in &mut self.watches {
                if watch.begin(self.checks + 1, now) {
                    self.checks += 1;
                    self.out.push_back(Act::Check { key: key.clone(), number: self.checks });
                }
            }
        }
        self.out.pop_front()
    }

    /// When [`next_act`](Self::next_act) has something to do.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.out.is_empty() {
            return Some(now);
        }
        let forgotten = self.pairs.values().map(|pair| pair.heard + Timing::new(pair.bound).forgotten());
        self.watches.values().filter_map(Watch::next_at).chain(forgotten).min()
    }

    /// Requests that agents are asked for others.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    fn take_back(&mut self, now: Instant) {
        let silent: Vec<Key> = self.watches.iter_mut().filter_map(|(key, watch)| watch.falls_silent(now).then(|| key.clone())).collect();
        for key in silent {
            let askers: Vec<NodeId> = self.watches[&key].askers().collect();
            for node in askers {
                self.tell(node, |told| Said::Withdraw { told, key: key.clone(), why: Why::Silent });
            }
        }
    }

    /// Sidecars that have not been heard of for long do not poll any more, or have gone.
    fn forget(&mut self, now: Instant) {
        let is_gone = |pair: &Pair| now.duration_since(pair.heard) >= Timing::new(pair.bound).forgotten();
        let gone: Vec<NodeId> = self.pairs.iter().filter(|(_, pair)| is_gone(pair)).map(|(node, _)| *node).collect();
        for node in gone {
            self.pairs.remove(&node);
            self.watches.retain(|_, watch| !watch.remove(node));
        }
    }

    fn tell_document(&mut self, key: &Key) {
        let Some(watch) = self.watches.get(key) else { return };
        let Some((kind, content)) = watch.told() else { return };
        let askers: Vec<NodeId> = watch.askers().collect();
        for node in askers {
            self.tell(node, |told| Said::Document { told, key: key.clone(), kind: (&*kind).into(), content: content.clone() });
        }
    }

    fn end(&mut self, key: &Key, why: Why) {
        let Some(watch) = self.watches.remove(key) else { return };
        for node in watch.askers() {
            self.tell(node, |told| Said::Withdraw { told, key: key.clone(), why });
        }
    }

    fn tell(&mut self, node: NodeId, say: impl FnOnce(u32) -> Said) {
        if let Some(pair) = self.pairs.get_mut(&node) {
            pair.told = pair.told.wrapping_add(1);
            self.out.push_back(Act::Say(node, say(pair.told)));
        }
    }
}

#[cfg(test)]
mod tests;
