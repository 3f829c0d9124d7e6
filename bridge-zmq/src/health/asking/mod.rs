//! The side of the pollers: what was told of agents elsewhere, and whether it may be answered now.
//!
//! Synchronous: `now` is an argument. What is to be said comes out of [`Asking::next_said`].
//!
//! Invariants:
//! - **Never older than the bound.** An answer's age is counted from the moment the question was sent to which the lease is the answer, plus what the lease
//!   says of the last look at the agent before that. Whatever the network delays, the true age is less.
//! - **Covered.** A document counts from the first lease that was written after it was told.
//! - **Nothing missed.** Everything told is numbered. After a gap nothing of that sidecar counts until it has told it again.
//! - **One answer.** Where two sidecars tell of the same request, neither counts, and both are told so: which of the replicas would have had it is not known.
//!
//! Bounds: [`SERVICES_MAX`] services with [`REQUESTS_MAX`] requests each, [`BYTES_MAX`] bytes of all.

mod source;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use myelin_bus::wire::Frames;
use tokio::time::Instant;

use self::source::Source;
use super::config::Timing;
use super::key::Key;
use super::message::{KEYS_MAX, NodeId, Said, Why};

/// Services that are polled here.
const SERVICES_MAX: usize = 16_384;

/// Requests of one service. One that was made only once makes room for another, else the one that was made longest ago: requests with a number of
/// their own must not drive out those that come again.
const REQUESTS_MAX: usize = 8;

/// Documents and requests of all.
const BYTES_MAX: usize = 64 << 20;

/// A request is kept for three times as long as lies between two of them, within these bounds: health checks of containers come every 30 s.
const KEEP_MIN: Duration = Duration::from_secs(10);
const KEEP_MAX: Duration = Duration::from_secs(100);

/// How long to wait before everybody is asked again for the same, at first and at most.
const ASK_PAUSE_MIN: Duration = Duration::from_secs(2);
const ASK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often it is looked what nobody polls any more.
const SWEEP: Duration = Duration::from_secs(2);

/// To whom something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Everybody,
    One(NodeId),
}

/// An answer that may be given now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The frames behind the envelope.
    pub(crate) content: Frames,
    /// What kind of agent said so.
    pub(crate) kind: Arc<str>,
}

/// All that is known of agents elsewhere.
#[derive(Debug)]
pub(super) struct Asking {
    timing: Timing,
    services: HashMap<Arc<str>, Vec<Asked>>,
    sources: HashMap<NodeId, Source>,
    bytes: usize,
    sweep_at: Option<Instant>,
    out: VecDeque<(To, Said)>,
}

/// One request that is made here again and again.
#[derive(Debug)]
struct Asked {
    key: Key,
    last: Instant,
    /// Between two of them; none after the first.
    gap: Option<Duration>,
    /// When everybody may be asked, and how long to wait then.
    ask_at: Instant,
    ask_pause: Duration,
    told: Option<Told>,
}

/// What one sidecar told.
#[derive(Debug)]
struct Told {
    node: NodeId,
    /// The number with which it was told first.
    since: u32,
    /// None while the agent is silent.
    content: Option<Frames>,
    kind: Arc<str>,
}

impl Asked {
    fn is_wanted(&self, now: Instant) -> bool {
        now.duration_since(self.last) <= self.gap.map_or(KEEP_MAX, |gap| (gap * 3).clamp(KEEP_MIN, KEEP_MAX))
    }

    fn len_bytes(&self) -> usize {
        self.key.len_bytes() + self.told.as_ref().map_or(0, Told::len_bytes)
    }
}

impl Told {
    fn len_bytes(&self) -> usize {
        self.content.as_ref().map_or(0, |content| content.packed().len())
    }
}

impl Asking {
    pub(super) fn new(timing: Timing) -> Self {
        Self { timing, services: HashMap::new(), sources: HashMap::new(), bytes: 0, sweep_at: None, out: VecDeque::new() }
    }

    /// A request of a caller here: what it may be answered, if anything. `is_poll` is asked only of requests that were not made before.
    pub(super) fn poll(&mut self, service: &Arc<str>, request: &[u8], is_poll: impl FnOnce() -> bool, now: Instant) -> Option<Known> {
        let asked = self.services.get_mut(service).and_then(|asked| asked.iter_mut().find(|asked| asked.key.request() == request));
        let Some(asked) = asked else {
            if is_poll() {
                self.note(service, request, now);
            }
            return None;
        };
        let gap = now.duration_since(asked.last);
        // Several pollers may ask by turns: the longest gap counts, and is forgotten slowly.
        asked.gap = Some(asked.gap.map_or(gap, |before| gap.max(before * 3 / 4)));
        asked.last = now;
        if asked.told.is_none() && asked.ask_at <= now {
            asked.ask_at = now + asked.ask_pause;
            asked.ask_pause = (asked.ask_pause * 2).min(ASK_PAUSE_MAX);
            self.out.push_back((To::Everybody, Said::Ask { bound: self.timing.bound, keys: vec![asked.key.clone()] }));
        }
        let told = asked.told.as_ref()?;
        let content = told.content.as_ref()?;
        let is_fresh = self.sources.get(&told.node).is_some_and(|source| source.covers(told.since, now, self.timing.bound));
        is_fresh.then(|| Known { content: content.clone(), kind: Arc::clone(&told.kind) })
    }

    fn note(&mut self, service: &Arc<str>, request: &[u8], now: Instant) {
        let key = Key::new(service, request);
        if self.bytes + key.len_bytes() > BYTES_MAX || (self.services.len() >= SERVICES_MAX && !self.services.contains_key(service)) {
            return;
        }
        self.sweep_at.get_or_insert(now + SWEEP);
        let requests = self.services.entry(Arc::clone(service)).or_default();
        let evicted = (requests.len() >= REQUESTS_MAX).then(|| {
            let oldest =
                (0..requests.len()).min_by_key(|place| (requests[*place].gap.is_some(), requests[*place].last)).expect("there are some");
            requests.swap_remove(oldest)
        });
        let asked = Asked { key, last: now, gap: None, ask_at: now, ask_pause: ASK_PAUSE_MIN, told: None };
        self.bytes += asked.len_bytes();
        requests.push(asked);
        if let Some(evicted) = evicted {
            self.forget(evicted);
        }
    }

    /// Tells whoever told of it that it is not polled any more.
    fn forget(&mut self, asked: Asked) {
        self.bytes -= asked.len_bytes();
        if let Some(told) = asked.told {
            if let Some(source) = self.sources.get_mut(&told.node) {
                source.keys -= 1;
            }
            self.drop_at(told.node, asked.key);
        }
    }

    fn drop_at(&mut self, node: NodeId, key: Key) {
        match self.out.back_mut() {
            Some((To::One(to), Said::Drop { keys })) if *to == node && keys.len() < KEYS_MAX => keys.push(key),
            _ => self.out.push_back((To::One(node), Said::Drop { keys: vec![key] })),
        }
    }

    /// A sidecar tells what an agent answers.
    pub(super) fn document(&mut self, node: NodeId, number: u32, key: &Key, (kind, content): (&str, Frames), now: Instant) {
        self.follow(node, number, now);
        let has_room = self.bytes + content.packed().len() <= BYTES_MAX;
        let Some(asked) = find(&mut self.services, key).filter(|_| has_room) else {
            // Not polled any more, or too much.
            return self.drop_at(node, key.clone());
        };
        asked.ask_pause = ASK_PAUSE_MIN;
        let before = asked.len_bytes();
        let source = self.sources.get_mut(&node).expect("it was followed");
        let mut since = number;
        match asked.told.take() {
            Some(other) if other.node != node => {
                // Replicas. They are asked again when one of them may have gone.
                asked.ask_at = now + ASK_PAUSE_MAX;
                self.bytes -= other.len_bytes();
                if let Some(source) = self.sources.get_mut(&other.node) {
                    source.keys -= 1;
                }
                self.drop_at(other.node, key.clone());
                return self.drop_at(node, key.clone());
            }
            // A change of what counted is no younger than what it was.
            Some(told) => since = if told.content.is_some() { told.since } else { number },
            None => source.keys += 1,
        }
        asked.told = Some(Told { node, since, content: Some(content), kind: kind.into() });
        self.bytes = self.bytes + asked.len_bytes() - before;
        source.uncovered(since, now);
    }

    /// A sidecar takes back what it told.
    pub(super) fn withdraw(&mut self, node: NodeId, number: u32, key: &Key, why: Why, now: Instant) {
        self.follow(node, number, now);
        let Some(asked) = find(&mut self.services, key) else { return };
        match &mut asked.told {
            // Of a replica, which has been told that it is not wanted.
            Some(told) if told.node != node => {}
            Some(told) if why == Why::Silent => {
                self.bytes -= told.len_bytes();
                told.content = None;
            }
            told => {
                asked.ask_at = match why {
                    Why::Silent | Why::Ended => now,
                    Why::Several | Why::Unfit => now + ASK_PAUSE_MAX,
                };
                if let Some(told) = told.take() {
                    self.bytes -= told.len_bytes();
                    self.sources.get_mut(&node).expect("it was followed").keys -= 1;
                }
            }
        }
    }

    /// A sidecar says how things are there.
    pub(super) fn lease(&mut self, node: NodeId, lease: (u32, u32), oldest: Duration, now: Instant) {
        let (number, told) = lease;
        let Some(source) = self.sources.get_mut(&node) else { return };
        if !source.leased(number, told, oldest, now) {
            self.lose(node, now);
        }
    }

    /// Notes that a sidecar has told something with this number, and what follows if something before it was missed.
    fn follow(&mut self, node: NodeId, number: u32, now: Instant) {
        let source = self.sources.entry(node).or_insert_with(|| Source::new(number.wrapping_sub(1), now));
        if !source.follows(number, now) {
            self.lose(node, now);
        }
        self.sweep_at.get_or_insert(now + SWEEP);
    }

    /// Nothing that this sidecar told counts any more.
    fn lose(&mut self, node: NodeId, now: Instant) {
        for asked in self.services.values_mut().flatten() {
            if let Some(told) = asked.told.take_if(|told| told.node == node) {
                self.bytes -= told.len_bytes();
                asked.ask_at = now;
            }
        }
        if let Some(source) = self.sources.get_mut(&node) {
            source.lost();
        }
    }

    /// What is to be said now, one after the other.
    pub(super) fn next_said(&mut self, now: Instant) -> Option<(To, Said)> {
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
        if let Some(said) = self.out.pop_front() {
            return Some(said);
        }
        let renew = self.timing.renew;
        self.sources.iter_mut().find_map(|(node, source)| Some((To::One(*node), Said::Renew { number: source.renew(now, renew)? })))
    }

    fn sweep(&mut self, now: Instant) {
        let unwanted: Vec<Asked> =
            self.services.values_mut().flat_map(|asked| asked.extract_if(.., |asked| !asked.is_wanted(now))).collect();
        self.services.retain(|_, asked| !asked.is_empty());
        unwanted.into_iter().for_each(|asked| self.forget(asked));
        let forgotten = self.timing.forgotten();
        let silent: Vec<NodeId> =
            self.sources.iter().filter(|(_, source)| source.is_silent_for(forgotten, now)).map(|(node, _)| *node).collect();
        silent.into_iter().for_each(|node| self.lose(node, now));
        self.sources.retain(|_, source| source.keys > 0);
        self.sweep_at = (!self.services.is_empty() || !self.sources.is_empty()).then(|| now + SWEEP);
    }

    /// When [`next_said`](Self::next_said) has something to say.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.out.is_empty() {
            return Some(now);
        }
        self.sources.values().filter_map(Source::renew_at).chain(self.sweep_at).min()
    }

    /// Whether there is something to say before the time that was known.
    pub(super) fn has_news(&self) -> bool {
        !self.out.is_empty()
    }

    /// The network was away: everybody may be asked again.
    pub(super) fn ask_again(&mut self, now: Instant) {
        for asked in self.services.values_mut().flatten() {
            (asked.ask_at, asked.ask_pause) = (now, ASK_PAUSE_MIN);
        }
    }

    /// Requests that are answered here, and sidecars that tell of them.
    pub(super) fn counts(&self) -> (usize, usize) {
        let told = self.services.values().flatten().filter(|asked| asked.told.as_ref().is_some_and(|told| told.content.is_some())).count();
        (told, self.sources.len())
    }
}

fn find<'a>(services: &'a mut HashMap<Arc<str>, Vec<Asked>>, key: &Key) -> Option<&'a mut Asked> {
    services.get_mut(key.service())?.iter_mut().find(|asked| asked.key == *key)
}

#[cfg(test)]
mod tests;
