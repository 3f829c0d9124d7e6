//! Requests that got no reply, kept as dead letters where the route asks for it.
//!
//! A request of a ZMTP caller is watched from its arrival to its reply. What becomes a letter, with the caller's exact frames, and when:
//!
//! | reason | when |
//! |---|---|
//! | `no_route` | at once, or when the network says so: nobody serves the subject |
//! | `no_route` | at once: the queue of the service is full, or the request had to go for another caller's |
//! | `no_route` | when its caller leaves: it waited for an agent, and none was attached |
//! | `timeout` | when its caller leaves: it waited for a busy agent, or was handed to one and not answered |
//! | `timeout` | at once: the connection of the agent that had it ended |
//! | `malformed` | at once: it has no empty frame, without which no REP takes it |
//!
//! The caller sees what it would have seen. No request is repeated by itself; whether one of reason `timeout` has run nobody knows, and its `error`
//! says how far it came. A fail-fast reply of the route is no reply here. Requests of bus clients are theirs to watch.
//!
//! A REQ waits for each reply, so its request is known exactly; so are those of a DEALER at REP agents. What ROUTER agents answer to a DEALER is
//! taken for the oldest request that has no reply.
//!
//! Bounds: as many bytes and requests watched as may wait for the route's agents, and as many again on their way to the disk. Beyond
//! that requests are served and not watched, and letters are not kept; both are counted. A stop of the sidecar keeps the letters there are; requests
//! that are open when the store closes are none yet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use myelin_bus::streams::{DeadReason, Death, Fault, Name};
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, Caller, Message, ReplyTo};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::warn;

use super::super::{RouteContext, RouteMetrics};
use super::fair_queue::QueueBounds;
use super::request::detached_body;

/// Between two tries to keep a letter.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How far letters say that a message came.
const STAGE: &str = "request";

/// A request of one caller's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    connection: u64,
    number: u64,
}

/// The watch over the requests of one service.
#[derive(Debug)]
pub(super) struct DeadLetters {
    bus: Bus,
    subject: Subject,
    origin: Name,
    metrics: RouteMetrics,
    bounds: QueueBounds,
    next: AtomicU64,
    state: Mutex<State>,
    work: Notify,
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// By connection, then by number.
    watched: HashMap<u64, BTreeMap<u64, Watched>>,
    watching: Held,
    letters: VecDeque<Letter>,
    keeping: Held,
    is_keeping: bool,
}

#[derive(Debug)]
struct Watched {
    body: Body,
    /// It waits here for an agent.
    is_waiting: bool,
}

#[derive(Debug, Clone)]
struct Letter {
    body: Body,
    reason: DeadReason,
    error: &'static str,
}

/// Bytes and requests that are held.
#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    requests: usize,
}

impl Held {
    fn add(&mut self, body: &Body, bounds: QueueBounds) -> bool {
        let (bytes, requests) = (self.bytes + size(body), self.requests + 1);
        let fits = self.requests == 0 || (bytes <= bounds.bytes_max && requests <= bounds.requests_max);
        if fits {
            (self.bytes, self.requests) = (bytes, requests);
        }
        fits
    }

    fn remove(&mut self, body: &Body) {
        self.bytes -= size(body);
        self.requests -= 1;
    }
}

fn size(body: &Body) -> usize {
    match body {
        Body::Frames(frames) => frames.packed().len(),
        Body::Blob(blob) => blob.len(),
    }
}

impl Key {
    /// Of a request whose reply goes there, if it is watched.
    pub(super) fn of(reply: Option<&ReplyTo>) -> Option<Self> {
        Self::of_caller(reply.and_then(ReplyTo::caller)?)
    }

    /// Of the request that the caller asks.
    pub(super) fn of_caller(caller: &Caller) -> Option<Self> {
        (caller.request != 0).then_some(Self { connection: caller.connection, number: caller.request })
    }

    /// The caller as it asks this one request.
    pub(super) fn caller(self, caller: &Caller) -> Caller {
        Caller { request: self.number, ..caller.clone() }
    }
}

impl DeadLetters {
    pub(super) fn new(context: &RouteContext, name: &str, subject: Subject, bounds: QueueBounds) -> Self {
        Self {
            bus: context.bus.clone(),
            subject,
            origin: Name::sanitized(&format!("zmq.service.{name}")),
            metrics: context.metrics.clone(),
            bounds,
            next: AtomicU64::new(1),
            state: Mutex::default(),
            work: Notify::new(),
            idle: Notify::new(),
        }
    }

    /// A request came. `None` when it is one too many to watch.
    pub(super) fn watch(&self, connection: u64, body: &Body) -> Option<Key> {
        // What is watched waits, and must keep no read buffer alive.
        let watched = Watched { body: detached_body(body.clone()), is_waiting: false };
        let mut state = self.state.lock();
        if !state.watching.add(&watched.body, self.bounds) {
            drop(state);
            self.metrics.requests_unwatched.inc();
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        state.watched.entry(connection).or_default().insert(number, watched);
        Some(Key { connection, number })
    }

    /// A reply came to its address. `is_another`: not the first one, so that it is for the oldest request of its connection without one.
    pub(super) fn answered(&self, key: Key, is_another: bool) {
        let mut state = self.state.lock();
        let Some(of_connection) = state.watched.get_mut(&key.connection) else { return };
        let watched = if is_another { of_connection.pop_first().map(|(_, watched)| watched) } else { of_connection.remove(&key.number) };
        if let Some(watched) = watched {
            state.watching.remove(&watched.body);
        }
    }

    /// It waits for an agent from now on, or was handed to one.
    pub(super) fn waits(&self, reply: Option<&ReplyTo>, is_waiting: bool) {
        let Some(key) = Key::of(reply) else { return };
        let mut state = self.state.lock();
        if let Some(watched) = state.watched.get_mut(&key.connection).and_then(|requests| requests.get_mut(&key.number)) {
            watched.is_waiting = is_waiting;
        }
    }

    /// Nobody will answer it.
    pub(super) fn lost(&self, reply: Option<&ReplyTo>, reason: DeadReason, error: &'static str) {
        if let Some(key) = Key::of(reply) {
            self.lost_one(key, reason, error);
        }
    }

    /// The same, of a request that is known by its key.
    pub(super) fn lost_one(&self, key: Key, reason: DeadReason, error: &'static str) {
        let mut state = self.state.lock();
        let Some(watched) = state.watched.get_mut(&key.connection).and_then(|requests| requests.remove(&key.number)) else { return };
        self.keep(&mut state, watched, reason, error);
    }

    /// Its caller waits no more for any of its requests.
    pub(super) fn left(&self, connection: u64, has_agents: bool) {
        let mut state = self.state.lock();
        for watched in state.watched.remove(&connection).unwrap_or_default().into_values() {
            let (reason, error) = match (watched.is_waiting, has_agents) {
                (true, false) => (DeadReason::NoRoute, "no agent was attached before its caller left"),
                (true, true) => (DeadReason::Timeout, "its caller left before an agent was free"),
                (false, _) => (DeadReason::Timeout, "its caller left before it was answered"),
            };
            self.keep(&mut state, watched, reason, error);
        }
    }

    fn keep(&self, state: &mut State, watched: Watched, reason: DeadReason, error: &'static str) {
        state.watching.remove(&watched.body);
        if state.keeping.add(&watched.body, self.bounds) {
            state.letters.push_back(Letter { body: watched.body, reason, error });
            self.work.notify_one();
        } else {
            self.metrics.requests_not_kept.inc();
        }
    }

    /// Waits until every letter so far is kept.
    pub(super) async fn kept(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // Registered before the check, or the end between check and wait would be missed.
            idle.as_mut().enable();
            {
                let state = self.state.lock();
                if state.letters.is_empty() && !state.is_keeping {
                    return;
                }
            }
            idle.await;
        }
    }

    fn next_letter(&self) -> Option<Letter> {
        let mut state = self.state.lock();
        let letter = state.letters.pop_front();
        state.is_keeping = letter.is_some();
        letter
    }
}

/// Keeps the letters, for as long as it is polled.
pub(super) async fn keep(letters: Arc<DeadLetters>) {
    loop {
        let Some(letter) = letters.next_letter() else {
            letters.idle.notify_waiters();
            letters.work.notified().await;
            continue;
        };
        let message = Message::new(letters.subject.clone(), letter.body.clone());
        let stage = Name::new(STAGE).expect("a valid constant");
        let death = Death { origin: letters.origin.clone(), stage, reason: letter.reason, fault: Fault::Agent, error: letter.error.into() };
        loop {
            match letters.bus.dead_letter(&message, &death).await {
                Ok(_) => {
                    letters.metrics.requests_dead_lettered.inc();
                    break;
                }
                Err(error) if error.is_retryable() => tokio::time::sleep(TRY_AGAIN).await,
                Err(error) => {
                    letters.metrics.requests_not_kept.inc();
                    warn!(service = %letters.subject, %error, "a request without a reply is not kept");
                    break;
                }
            }
        }
        letters.state.lock().keeping.remove(&letter.body);
    }
}
