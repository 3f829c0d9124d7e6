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
    assert_eq!(pool.submit_as_is(1, 10, 1), Placed::Now(to(7, 1, 10)));
    assert_eq!(pool.submit_as_is(1, 11, 1), Placed::Waits);
    assert_eq!(pool.completed(7), Some(to(7, 1, 11)));
    assert_eq!(pool.completed(7), None);
    assert_eq!(pool.submit_as_is(1, 12, 1), Placed::Now(to(7, 1, 12)));
}

#[test]
fn requests_spread_over_replicas_and_rotate() {
    let mut pool = pool(OnCallerGone::Deliver);
    for id in [1, 2] {
        assert!(pool.attached(id, ReplicaKind::Rep { window: 1 }).is_empty());
    }
    assert_eq!(pool.submit_as_is(1, 0, 1), Placed::Now(to(1, 1, 0)));
    assert_eq!(pool.submit_as_is(1, 1, 1), Placed::Now(to(2, 1, 1)));
    assert_eq!(pool.completed(1), None);
    assert_eq!(pool.completed(2), None);
    assert_eq!(pool.submit_as_is(1, 2, 1), Placed::Now(to(1, 1, 2)));
    assert_eq!(pool.completed(1), None);
    assert_eq!(pool.submit_as_is(1, 3, 1), Placed::Now(to(2, 1, 3)));
}

#[test]
fn what_waited_for_a_replica_goes_out_when_it_attaches() {
    let mut pool = pool(OnCallerGone::Deliver);
    assert_eq!(pool.submit_as_is(1, 5, 1), Placed::Waits);
    assert_eq!(pool.submit_as_is(2, 6, 1), Placed::Waits);
    assert_eq!(pool.attached(3, ReplicaKind::Rep { window: 1 }), [to(3, 1, 5)]);
    assert_eq!(pool.completed(3), Some(to(3, 2, 6)));
}

#[test]
fn a_gone_callers_requests_are_delivered_only_if_they_could_have_been() {
    let mut pool = pool(OnCallerGone::Deliver);
    assert_eq!(pool.submit_as_is(1, 5, 1), Placed::Waits);
    assert_eq!(pool.caller_gone(1), 1, "no replica: without us it would have died with its caller");
    assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
    assert_eq!(pool.submit_as_is(2, 6, 1), Placed::Now(to(3, 2, 6)));
    assert_eq!(pool.submit_as_is(2, 7, 1), Placed::Waits);
    assert_eq!(pool.caller_gone(2), 0);
    assert_eq!(pool.completed(3), Some(to(3, 2, 7)));
}

#[test]
fn drop_spares_the_agent_what_nobody_waits_for() {
    let mut pool = pool(OnCallerGone::Drop);
    assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
    assert_eq!(pool.submit_as_is(2, 6, 1), Placed::Now(to(3, 2, 6)));
    assert_eq!(pool.submit_as_is(2, 7, 1), Placed::Waits);
    assert_eq!(pool.caller_gone(2), 1);
    assert_eq!(pool.completed(3), None);
}

#[test]
fn a_router_keeps_its_callers() {
    let mut pool = pool(OnCallerGone::Deliver);
    for id in [1, 2] {
        assert!(pool.attached(id, ReplicaKind::Router).is_empty());
    }
    assert_eq!(pool.submit_as_is(10, 0, 1), Placed::Now(to(1, 10, 0)));
    assert_eq!(pool.submit_as_is(11, 1, 1), Placed::Now(to(2, 11, 1)));
    for request in 2..5 {
        assert_eq!(pool.submit_as_is(10, request, 1), Placed::Now(to(1, 10, request)));
    }
    assert_eq!(pool.detached(1), 0);
    assert_eq!(pool.submit_as_is(10, 9, 1), Placed::Now(to(2, 10, 9)));
}

#[test]
fn a_router_forgets_whom_it_has_left() {
    let mut pool = pool(OnCallerGone::Deliver);
    assert!(pool.attached(1, ReplicaKind::Router).is_empty());
    for caller in 10..20 {
        assert_eq!(pool.submit_as_is(caller, 0, 1), Placed::Now(to(1, caller, 0)));
        pool.left(1, caller);
        pool.left(1, caller);
    }
    assert_eq!((pool.load(), pool.sticky.len()), (0, 0));
}

#[test]
fn the_next_replica_does_not_inherit_what_nobody_waits_for() {
    let mut pool = pool(OnCallerGone::Deliver);
    assert!(pool.attached(3, ReplicaKind::Rep { window: 1 }).is_empty());
    assert_eq!(pool.submit_as_is(1, 5, 1), Placed::Now(to(3, 1, 5)));
    assert_eq!(pool.submit_as_is(1, 6, 1), Placed::Waits);
    assert_eq!(pool.submit_as_is(2, 7, 1), Placed::Waits);
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
                    if let Placed::Now(placement) = pool.submit_as_is(id, number, 1) { placed.push(placement); }
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
