//! Which request goes to which replica, and when: the synchronous core of a `service` route.
//!
//! Invariants:
//! - **Window.** A replica never has more than its window outstanding. A REP agent serves one request after the other; what we sent it cannot be
//!   taken back when the caller goes, so what waits, waits here.
//! - **Least outstanding first**, ties in rotation.
//! - **Work conserving.** Nothing waits while an attached replica has a free window.
//! - **Sticky sessions.** A ROUTER replica keeps the callers it has: its program may hold a conversation with each.

use hashbrown::HashMap;

use super::fair_queue::{CallerId, FairQueue, QueueBounds};

/// Names a replica within its pool.
pub(crate) type ReplicaId = u64;

/// What happens to a waiting request when the connection it came from closes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnCallerGone {
    /// It is delivered all the same, as libzmq would have done: the request is in the agent's queue by then. What waits while *no* replica is
    /// attached is dropped even so, because without us it would never have left its caller, or would have died with the agent.
    #[default]
    Deliver,
    /// It is dropped, which spares a slow agent the work nobody waits for.
    Drop,
}

/// How a replica takes requests; its handshake tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplicaKind {
    /// A REP: at most this many requests outstanding.
    Rep { window: usize },
    /// A ROUTER: any number, callers are sticky.
    Router,
}

/// A request, and the replica to send it to now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placement<R> {
    pub(crate) replica: ReplicaId,
    pub(crate) caller: CallerId,
    pub(crate) request: R,
}

/// Where a submitted request went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed<R> {
    /// To a replica.
    Now(Placement<R>),
    /// It waits for a window.
    Waits,
    /// It waits, and what others had waiting beyond their share had to go for it.
    WaitsInsteadOf(Vec<R>),
    /// The queue is full; the request is given back.
    Full(R),
}

#[derive(Debug)]
pub(crate) struct Pool<R> {
    on_caller_gone: OnCallerGone,
    queue: FairQueue<R>,
    replicas: Vec<Replica>,
    sticky: HashMap<CallerId, ReplicaId>,
    clock: u64,
}

#[derive(Debug)]
struct Replica {
    id: ReplicaId,
    kind: ReplicaKind,
    outstanding: usize,
    last_used: u64,
}

impl Replica {
    fn has_window(&self) -> bool {
        match self.kind {
            ReplicaKind::Rep { window } => self.outstanding < window,
            ReplicaKind::Router => true,
        }
    }
}

impl<R> Pool<R> {
    pub(crate) fn new(bounds: QueueBounds, on_caller_gone: OnCallerGone) -> Self {
        Self { on_caller_gone, queue: FairQueue::new(bounds), replicas: Vec::new(), sticky: HashMap::new(), clock: 0 }
    }

    /// Requests that wait, and those that replicas work on: the load by which queue groups choose among machines. A pool without replicas comes
    /// last: there, requests only wait.
    pub(crate) fn load(&self) -> usize {
        if self.replicas.is_empty() {
            return usize::MAX - 1;
        }
        self.queue.len() + self.replicas.iter().map(|replica| replica.outstanding).sum::<usize>()
    }

    /// Whether a request would have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.queue.len() > 0 || !self.replicas.iter().any(Replica::has_window)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Places a request of `bytes`. One that has to wait is passed through `keep` first, which frees it of what it borrows.
    pub(crate) fn submit(&mut self, caller: CallerId, request: R, bytes: usize, keep: impl FnOnce(R) -> R) -> Placed<R> {
        // Those who wait go first, or a caller could overtake the line.
        if self.queue.len() == 0
            && let Some(replica) = self.choose(caller)
        {
            return Placed::Now(Placement { replica, caller, request });
        }
        match self.queue.push(caller, keep(request), bytes) {
            Ok(evicted) if evicted.is_empty() => Placed::Waits,
            Ok(evicted) => Placed::WaitsInsteadOf(evicted),
            Err(request) => Placed::Full(request),
        }
    }

    #[cfg(test)]
    pub(crate) fn submit_as_is(&mut self, caller: CallerId, request: R, bytes: usize) -> Placed<R> {
        self.submit(caller, request, bytes, |request| request)
    }

    /// A replica is attached: returns what it should be sent at once.
    #[must_use]
    pub(crate) fn attached(&mut self, id: ReplicaId, kind: ReplicaKind) -> Vec<Placement<R>> {
        self.replicas.retain(|replica| replica.id != id);
        self.replicas.push(Replica { id, kind, outstanding: 0, last_used: 0 });
        std::iter::from_fn(|| self.next()).collect()
    }

    /// A replica is gone: its outstanding requests may have run, so nobody repeats them. Returns how many waiting requests were dropped, because
    /// it was the last replica and their callers have gone: the next one must not begin with a backlog that nobody waits for.
    pub(crate) fn detached(&mut self, id: ReplicaId) -> usize {
        self.replicas.retain(|replica| replica.id != id);
        self.sticky.retain(|_, replica| *replica != id);
        if self.replicas.is_empty() { self.queue.remove_abandoned() } else { 0 }
    }

    /// A replica answered one request: returns the next one for whoever has a window now.
    #[must_use]
    pub(crate) fn completed(&mut self, id: ReplicaId) -> Option<Placement<R>> {
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) {
            replica.outstanding = replica.outstanding.saturating_sub(1);
        }
        self.next()
    }

    /// A caller's connection closed: returns how many of its waiting requests were dropped.
    pub(crate) fn caller_gone(&mut self, caller: CallerId) -> usize {
        if self.on_caller_gone == OnCallerGone::Drop || self.replicas.is_empty() {
            return self.queue.remove(caller);
        }
        self.queue.abandon(caller);
        0
    }

    /// A ROUTER replica's conversation with a caller is over.
    pub(crate) fn left(&mut self, id: ReplicaId, caller: CallerId) {
        if self.sticky.get(&caller) != Some(&id) {
            return;
        }
        self.sticky.remove(&caller);
        if let Some(replica) = self.replicas.iter_mut().find(|replica| replica.id == id) {
            replica.outstanding = replica.outstanding.saturating_sub(1);
        }
    }

    fn next(&mut self) -> Option<Placement<R>> {
        if !self.replicas.iter().any(Replica::has_window) {
            return None;
        }
        let (caller, request) = self.queue.pop()?;
        let replica = self.choose(caller).expect("a replica with a window was just seen");
        Some(Placement { replica, caller, request })
    }

    fn choose(&mut self, caller: CallerId) -> Option<ReplicaId> {
        if let Some(id) = self.sticky.get(&caller) {
            return Some(*id);
        }
        self.clock += 1;
        let replica = self
            .replicas
            .iter_mut()
            .filter(|replica| replica.has_window())
            .min_by_key(|replica| (replica.outstanding, replica.last_used))?;
        replica.outstanding += 1;
        replica.last_used = self.clock;
        if replica.kind == ReplicaKind::Router {
            // `outstanding` of a ROUTER counts its callers: its replies need not match requests one to one.
            self.sticky.insert(caller, replica.id);
        }
        Some(replica.id)
    }
}

#[cfg(test)]
mod tests;
