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

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Places a request of `bytes`.
    pub(crate) fn submit(&mut self, caller: CallerId, request: R, bytes: usize) -> Placed<R> {
        // Those who wait go first, or a caller could overtake the line.
        if self.queue.len() == 0
            && let Some(replica) = self.choose(caller)
        {
            return Placed::Now(Placement { replica, caller, request });
        }
        match self.queue.push(caller, request, bytes) {
            Ok(()) => Placed::Waits,
            Err(request) => Placed::Full(request),
        }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: QueueBounds = QueueBounds { bytes_max: 1000, requests_max: 100 };

    fn to(replica: ReplicaId, caller: CallerId, request: u32) -> Placement<u32> {
        Placement { replica, caller, request }
    }

    fn pool(on_caller_gone: OnCallerGone) -> Pool<u32> {
        Pool::new(BOUNDS, on_caller_gone)
    }

    #[test]
    fn a_rep_gets_one_request_at_a_time() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert!(pool.attached(7, ReplicaKind::Rep { window: 1 }).is_empty());
        assert_eq!(pool.submit(1, 10, 1), Placed::Now(to(7, 1, 10)));
        assert_eq!(pool.submit(1, 11, 1), Placed::Waits);
        assert_eq!(pool.completed(7), Some(to(7, 1, 11)));
        assert_eq!(pool.completed(7), None);
        assert_eq!(pool.submit(1, 12, 1), Placed::Now(to(7, 1, 12)));
    }

    #[test]
    fn requests_spread_over_replicas_and_rotate() {
        let mut pool = pool(OnCallerGone::Deliver);
        for id in [1, 2] {
            assert!(pool.attached(id, ReplicaKind::Rep { window: 1 }).is_empty());
        }
        assert_eq!(pool.submit(1, 0, 1), Placed::Now(to(1, 1, 0)));
        assert_eq!(pool.submit(1, 1, 1), Placed::Now(to(2, 1, 1)));
        assert_eq!(pool.completed(1), None);
        assert_eq!(pool.completed(2), None);
        assert_eq!(pool.submit(1, 2, 1), Placed::Now(to(1, 1, 2)));
        assert_eq!(pool.completed(1), None);
        assert_eq!(pool.submit(1, 3, 1), Placed::Now(to(2, 1, 3)));
    }

    #[test]
    fn what_waited_for_a_replica_goes_out_when_it_attaches() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert_eq!(pool.submit(1, 5, 1), Placed::Waits);
        assert_eq!(pool.submit(2, 6, 1), Placed::Waits);
        assert_eq!(pool.attached(3, ReplicaKind::Rep { window: 1 }), [to(3, 1, 5)]);
        assert_eq!(pool.completed(3), Some(to(3, 2, 6)));
    }

    #[test]
    fn a_gone_callers_requests_are_delivered_only_if_they_could_have_been() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert_eq!(pool.submit(1, 5, 1), Placed::Waits);
        assert_eq!(pool.caller_gone(1), 1, "no replica: without us it would have died with its caller");
        assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
        assert_eq!(pool.submit(2, 6, 1), Placed::Now(to(3, 2, 6)));
        assert_eq!(pool.submit(2, 7, 1), Placed::Waits);
        assert_eq!(pool.caller_gone(2), 0);
        assert_eq!(pool.completed(3), Some(to(3, 2, 7)));
    }

    #[test]
    fn drop_spares_the_agent_what_nobody_waits_for() {
        let mut pool = pool(OnCallerGone::Drop);
        assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
        assert_eq!(pool.submit(2, 6, 1), Placed::Now(to(3, 2, 6)));
        assert_eq!(pool.submit(2, 7, 1), Placed::Waits);
        assert_eq!(pool.caller_gone(2), 1);
        assert_eq!(pool.completed(3), None);
    }

    #[test]
    fn a_router_keeps_its_callers() {
        let mut pool = pool(OnCallerGone::Deliver);
        for id in [1, 2] {
            assert!(pool.attached(id, ReplicaKind::Router).is_empty());
        }
        assert_eq!(pool.submit(10, 0, 1), Placed::Now(to(1, 10, 0)));
        assert_eq!(pool.submit(11, 1, 1), Placed::Now(to(2, 11, 1)));
        for request in 2..5 {
            assert_eq!(pool.submit(10, request, 1), Placed::Now(to(1, 10, request)));
        }
        assert_eq!(pool.detached(1), 0);
        assert_eq!(pool.submit(10, 9, 1), Placed::Now(to(2, 10, 9)));
    }

    #[test]
    fn a_router_forgets_whom_it_has_left() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert!(pool.attached(1, ReplicaKind::Router).is_empty());
        for caller in 10..20 {
            assert_eq!(pool.submit(caller, 0, 1), Placed::Now(to(1, caller, 0)));
            pool.left(1, caller);
            pool.left(1, caller);
        }
        assert_eq!((pool.load(), pool.sticky.len()), (0, 0));
    }

    #[test]
    fn the_next_replica_does_not_inherit_what_nobody_waits_for() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
        assert_eq!(pool.submit(1, 5, 1), Placed::Now(to(3, 1, 5)));
        assert_eq!(pool.submit(1, 6, 1), Placed::Waits);
        assert_eq!(pool.submit(2, 7, 1), Placed::Waits);
        assert_eq!(pool.caller_gone(1), 0);
        assert_eq!(pool.detached(3), 1);
        assert_eq!(pool.attached(4, ReplicaKind::Rep { window: 1 }), [to(4, 2, 7)]);
    }

    #[test]
    fn a_pool_without_replicas_is_the_last_to_be_chosen() {
        let mut pool = pool(OnCallerGone::Deliver);
        assert_eq!(pool.load(), usize::MAX - 1);
        assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
        assert_eq!(pool.load(), 0);
    }

    proptest! {
        /// Whatever happens: windows hold, nothing is placed twice, nothing waits beside a free window.
        #[test]
        fn windows_hold_and_nobody_waits_in_vain(steps in prop::collection::vec((0u8..6, 0u64..4), 0..200)) {
            let mut pool = pool(OnCallerGone::Drop);
            let mut outstanding: HashMap<ReplicaId, Vec<u32>> = HashMap::new();
            let mut number = 0;
            for (kind, id) in steps {
                let mut placed = Vec::new();
                match kind {
                    0..=2 => {
                        number += 1;
                        if let Placed::Now(placement) = pool.submit(id, number, 1) { placed.push(placement); }
                    }
                    3 => {
                        outstanding.insert(id, Vec::new());
                        placed = pool.attached(id, ReplicaKind::Rep { window: 2 });
                    }
                    4 => {
                        if let Some(requests) = outstanding.get_mut(&id) && requests.pop().is_some() {
                            placed.extend(pool.completed(id));
                        }
                    }
                    _ => {
                        outstanding.remove(&id);
                        pool.detached(id);
                    }
                }
                for Placement { replica, request, .. } in placed {
                    let requests = outstanding.get_mut(&replica).expect("placed on an attached replica");
                    requests.push(request);
                    prop_assert!(requests.len() <= 2);
                }
                prop_assert!(pool.waiting() == 0 || outstanding.values().all(|requests| requests.len() == 2));
            }
        }
    }
}
