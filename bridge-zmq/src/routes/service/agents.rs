//! The agents' side of a service: takes requests off the bus, keeps the windows, returns replies.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use myelin_bus::outlet::Queued;
use myelin_bus::streams::DeadReason;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Delivery, InlineHandler, Pressure, ReplyTo};
use parking_lot::Mutex;

use super::super::RouteContext;
use super::ServiceConfig;
use super::dead_letters::DeadLetters;
use super::fair_queue::CallerId;
use super::on_bus::OnBus;
use super::pool::{Placed, Placement, Pool, ReplicaId, ReplicaKind};
use super::request::{Correlation, Owed, Request, correlation_frame, split_correlation};
use super::sessions::Sessions;
use crate::front::{DisconnectReason, Endpoint, Peer, SocketType};
use crate::health::{Place, Serving, Sole};
use crate::metrics::DropCause;

/// All agents that serve one service on this machine.
#[derive(Debug)]
pub(super) struct Agents {
    name: String,
    context: RouteContext,
    config: Arc<ServiceConfig>,
    /// Where requests without a reply are kept.
    letters: Option<Arc<DeadLetters>>,
    /// Told how many agents there are.
    on_bus: Arc<OnBus>,
    state: Mutex<State>,
    /// Itself, for the sessions of ROUTER agents to report to.
    this: Weak<Self>,
    /// Names for callers that have no connection here: one per request.
    anonymous: AtomicU64,
    /// Other machines serve it too.
    is_elsewhere: AtomicBool,
    /// Told of agents, for polls of other machines.
    place: Option<Arc<Place>>,
}

/// Lock order: `state` first, then whatever an outlet or the watch over requests locks; nothing is sent while it is held.
#[derive(Debug)]
struct State {
    pool: Pool<Request>,
    links: HashMap<ReplicaId, Link>,
    owed: HashMap<Correlation, (ReplicaId, Owed)>,
    next_correlation: Correlation,
}

/// A connected agent.
#[derive(Debug, Clone)]
enum Link {
    Rep(Arc<Peer>),
    Router(Arc<Sessions>),
}

/// What was decided under the lock and is done after it.
enum Dispatch {
    Rep { agent: Arc<Peer>, correlation: Correlation, frames: Frames },
    Router { sessions: Arc<Sessions>, caller: CallerId, request: Request },
}

impl Agents {
    pub(super) fn new(
        context: RouteContext,
        name: &str,
        config: Arc<ServiceConfig>,
        letters: Option<Arc<DeadLetters>>,
        on_bus: Arc<OnBus>,
    ) -> Arc<Self> {
        let place = context.health.as_ref().map(|health| health.place(name));
        let agents = Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            name: name.to_owned(),
            context,
            state: Mutex::new(State {
                pool: Pool::new(config.waiting, config.on_caller_gone),
                links: HashMap::new(),
                owed: HashMap::new(),
                // A random start keeps a late reply of an earlier run from matching a request of this one.
                next_correlation: fastrand::u64(..),
            }),
            config,
            letters,
            on_bus,
            anonymous: AtomicU64::new(0),
            is_elsewhere: AtomicBool::new(false),
            place,
        });
        if let Some(place) = &agents.place {
            let serving: Weak<Self> = Arc::downgrade(&agents);
            place.serve(serving);
        }
        agents
    }

    /// What the service has to do with polls.
    pub(super) fn place(&self) -> Option<Arc<Place>> {
        self.place.clone()
    }

    pub(super) fn connected(&self) -> usize {
        self.state.lock().links.len()
    }

    pub(super) fn set_elsewhere(&self, is_elsewhere: bool) {
        self.is_elsewhere.store(is_elsewhere, Ordering::Relaxed);
    }

    pub(super) fn waiting(&self) -> usize {
        self.state.lock().pool.waiting()
    }

    pub(super) fn queued(&self) -> Queued {
        let state = self.state.lock();
        Queued { bytes: state.pool.waiting_bytes(), messages: state.pool.waiting() }
    }

    /// Requests that agents work on, and whose callers are still there to be answered.
    pub(super) fn owed(&self) -> usize {
        let state = self.state.lock();
        let by_reps = state.owed.values().filter(|(_, owed)| owed.is_awaited()).count();
        let sessions = |link: &Link| if let Link::Router(sessions) = link { Some(Arc::clone(sessions)) } else { None };
        let by_routers: Vec<_> = state.links.values().filter_map(sessions).collect();
        drop(state);
        by_reps + by_routers.iter().map(|sessions| sessions.owed()).sum::<usize>()
    }

    /// Takes a request: sends it, lets it wait, or answers it with the route's fail-fast text.
    fn submit(&self, request: Request) -> Option<Pressure> {
        let caller = self.caller_of(&request);
        let bytes = request.len();
        let reply = self.letters.as_ref().and_then(|_| request.reply.clone());
        let mut state = self.state.lock();
        match state.pool.submit(caller, request, bytes, Request::detached) {
            Placed::Waits => {
                self.waits(reply.as_ref(), true);
                None
            }
            Placed::WaitsInsteadOf(evicted) => {
                self.waits(reply.as_ref(), true);
                drop(state);
                self.context.metrics.requests_evicted.inc_by(evicted.len() as u64);
                self.lose(DropCause::EvictLongest, evicted);
                None
            }
            Placed::Full(request) => {
                drop(state);
                self.context.metrics.requests_refused.inc();
                self.lose(DropCause::DropNewest, [request]);
                None
            }
            Placed::Now(placement) => {
                let dispatch = self.prepare(&mut state, placement);
                drop(state);
                dispatch.and_then(|dispatch| self.send(dispatch))
            }
        }
    }

    fn caller_of(&self, request: &Request) -> CallerId {
        // The top bit keeps these apart from connections, which are numbered from 1.
        request
            .reply
            .as_ref()
            .and_then(ReplyTo::caller)
            .map_or_else(|| self.anonymous.fetch_add(1, Ordering::Relaxed) | 1 << 63, |caller| caller.connection)
    }

    /// Turns a placement into what is to be sent, and notes what will be owed. A request no REP would take is dropped, and the window it
    /// frees goes to the next one.
    fn prepare(&self, state: &mut State, placement: Placement<Request>) -> Option<Dispatch> {
        let mut next = Some(placement);
        while let Some(Placement { replica, caller, request }) = next {
            self.waits(request.reply.as_ref(), false);
            match state.links.get(&replica).expect("the pool places on linked replicas").clone() {
                Link::Router(sessions) => return Some(Dispatch::Router { sessions, caller, request }),
                Link::Rep(agent) if request.has_delimiter() => {
                    let correlation = state.next_correlation;
                    state.next_correlation = correlation.wrapping_add(1);
                    let frames = request.frames();
                    state.owed.insert(correlation, (replica, request.owed(self.config.fail_fast.is_some())));
                    return Some(Dispatch::Rep { agent, correlation, frames });
                }
                Link::Rep(_) => {
                    self.context.metrics.requests_malformed.inc();
                    self.lost(request.reply.as_ref(), DeadReason::Malformed, "it has no empty frame, which a REP needs");
                    next = state.pool.completed(replica);
                }
            }
        }
        None
    }

    /// Sends outside the lock. A REP's window bounds what its outlet holds; a ROUTER has none, so its callers may have to wait.
    fn send(&self, dispatch: Dispatch) -> Option<Pressure> {
        match dispatch {
            Dispatch::Rep { agent, correlation, frames } => {
                // If the connection has failed, the request is owed until that is reported.
                agent.send_prefixed(&correlation_frame(correlation), &frames);
                None
            }
            Dispatch::Router { sessions, caller, request } => sessions.send(caller, request),
        }
    }

    /// A request waits here from now on, or no longer.
    fn waits(&self, reply: Option<&ReplyTo>, is_waiting: bool) {
        if let Some(letters) = &self.letters {
            letters.waits(reply, is_waiting);
        }
    }

    /// Nobody will answer a request.
    fn lost(&self, reply: Option<&ReplyTo>, reason: DeadReason, error: &'static str) {
        if let Some(letters) = &self.letters {
            letters.lost(reply, reason, error);
        }
    }

    fn fail(&self, owed: Owed) {
        if let Some(text) = &self.config.fail_fast {
            owed.fail(&self.context.bus, text);
        }
    }

    /// Counts requests that found no place, and tells their callers if the route says so.
    fn lose(&self, cause: DropCause, requests: impl IntoIterator<Item = Request>) {
        for request in requests {
            self.context.front.count_drops(cause, 1);
            self.lost(request.reply.as_ref(), DeadReason::NoRoute, "the queue of the service is full");
            self.fail(request.owed(true));
        }
    }

    /// Counts requests that were dropped because nobody waits for them.
    fn abandon(&self, requests: usize) {
        self.context.metrics.requests_abandoned.inc_by(requests as u64);
        self.context.front.count_drops(DropCause::CallerGone, requests as u64);
    }

    /// A caller's connection closed.
    pub(super) fn caller_gone(&self, caller: CallerId) {
        let dropped = self.state.lock().pool.caller_gone(caller);
        self.abandon(dropped);
    }

    /// A ROUTER agent's conversation with a caller is over.
    pub(super) fn left(&self, replica: ReplicaId, caller: CallerId) {
        self.state.lock().pool.left(replica, caller);
    }

    fn reply(&self, agent: &Peer, frames: &Frames) {
        let Some((correlation, frames)) = split_correlation(frames) else {
            self.context.metrics.replies_unmatched.inc();
            return;
        };
        let mut state = self.state.lock();
        // Only the connection a request went out on may answer it.
        match state.owed.get(&correlation) {
            Some((replica, _)) if *replica == agent.id().get() => {}
            _ => {
                drop(state);
                self.context.metrics.replies_unmatched.inc();
                return;
            }
        }
        let (replica, owed) = state.owed.remove(&correlation).expect("it was just seen");
        let next = state.pool.completed(replica).and_then(|placement| self.prepare(&mut state, placement));
        drop(state);
        owed.settle(&self.context.bus, frames);
        if let Some(next) = next {
            // It waited in the queue; its caller is not being read for now, or has gone on long ago.
            drop(self.send(next));
        }
    }
}

/// The bus side of `Agents`.
#[derive(Debug)]
pub(super) struct Handler(pub(super) Arc<Agents>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let mut pressure = None;
        for body in delivery.bodies {
            // All bodies of a delivery are one caller's, so the latest pressure speaks for the earlier ones.
            pressure = self.0.submit(Request { body: body.clone(), reply: delivery.reply.cloned() }).or(pressure);
        }
        pressure
    }

    fn load(&self) -> usize {
        let state = self.0.state.lock();
        // Whoever has left for another machine has taken its callers along: they do not wait for it here.
        if state.links.is_empty() && self.0.is_elsewhere.load(Ordering::Relaxed) { usize::MAX } else { state.pool.load() }
    }

    fn is_busy(&self) -> bool {
        self.0.state.lock().pool.is_busy()
    }
}

impl Serving for Agents {
    fn sole(&self) -> Sole {
        let state = self.state.lock();
        let mut links = state.links.values();
        match (links.next(), links.next()) {
            (None, _) => Sole::Nobody,
            // What the route says in place of an agent must not be taken for its word.
            (Some(Link::Rep(_)), None) if self.config.fail_fast.is_none() => Sole::Rep,
            (Some(_), None) => Sole::Unfit,
            (Some(_), Some(_)) => Sole::Several,
        }
    }

    fn check(&self, request: Frames, reply: ReplyTo) {
        // Whoever asks here waits for the answer before it asks again.
        drop(self.submit(Request { body: Body::Frames(request), reply: Some(reply) }));
    }
}

impl Agents {
    /// An agent is there. `at` is where a ROUTER listens: each of its callers gets a connection of its own to it.
    pub(super) fn attached(&self, peer: &Arc<Peer>, at: &Endpoint) {
        let replica = peer.id().get();
        let (link, kind) = match peer.socket_type() {
            SocketType::Router => {
                let sessions = Sessions::new(self.context.clone(), at.clone(), replica, Weak::clone(&self.this));
                (Link::Router(Arc::new(sessions)), ReplicaKind::Router)
            }
            _ => (Link::Rep(Arc::clone(peer)), ReplicaKind::Rep { window: self.config.window }),
        };
        tracing::info!(service = self.name, agent = %at, socket = %peer.socket_type(), "agent attached");
        let mut state = self.state.lock();
        let is_new = state.links.insert(replica, link).is_none();
        let placed = state.pool.attached(replica, kind);
        let dispatches: Vec<_> = placed.into_iter().filter_map(|placement| self.prepare(&mut state, placement)).collect();
        drop(state);
        if is_new {
            self.on_bus.attached();
            if let Some(place) = &self.place {
                place.attached();
            }
        }
        for dispatch in dispatches {
            drop(self.send(dispatch));
        }
    }

    /// What an agent says.
    pub(super) fn received(&self, peer: &Peer, batch: &mut Vec<Body>) {
        for body in batch.drain(..) {
            if let Body::Frames(frames) = body {
                self.reply(peer, &frames);
            }
        }
    }

    /// An agent has gone.
    pub(super) fn detached(&self, peer: &Peer, reason: &DisconnectReason) {
        let replica = peer.id().get();
        let mut state = self.state.lock();
        let link = state.links.remove(&replica);
        let abandoned = state.pool.detached(replica);
        let lost: Vec<Owed> = state.owed.extract_if(|_, (owner, _)| *owner == replica).map(|(_, (_, owed))| owed).collect();
        drop(state);
        if link.is_none() {
            // It was turned away.
            return;
        }
        self.on_bus.detached();
        if let Some(place) = &self.place {
            place.detached();
        }
        tracing::info!(service = self.name, agent = %peer.remote(), %reason, unanswered = lost.len(), "agent detached");
        self.abandon(abandoned);
        self.context.metrics.requests_unanswered.inc_by(lost.len() as u64);
        for owed in lost {
            self.lost(owed.reply(), DeadReason::Timeout, "the connection of the agent that had it ended");
            self.fail(owed);
        }
    }
}
