//! Random traffic over several outlets of one budget whose peers read nothing: the sum is bounded, and only queues that hold much are refused.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Allowance, Budget, FLOOR_BYTES};
use crate::Overflow;
use crate::outlet::{Outlet, OutletConfig, OutletError};

const BUDGET: usize = 1 << 20;
const MESSAGE_MAX: usize = 40_000;
const OUTLETS: usize = 12;

fn outlet(overflow: Overflow, budget: &Budget) -> Outlet {
    // Its own bounds are out of reach: whatever is refused is refused by the budget.
    Outlet::with_budget(OutletConfig { bytes_max: usize::MAX, messages_max: usize::MAX, overflow }, budget)
}

fn message(len: usize) -> Bytes {
    Bytes::from(vec![0; len])
}

#[derive(Debug, Clone)]
enum Step {
    Push { outlet: usize, len: usize, count: usize },
    Close { outlet: usize },
    Replace { outlet: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => (0..OUTLETS, prop_oneof![1..2000usize, 1..MESSAGE_MAX], 1..12usize)
            .prop_map(|(outlet, len, count)| Step::Push { outlet, len, count }),
        1 => (0..OUTLETS).prop_map(|outlet| Step::Close { outlet }),
        2 => (0..OUTLETS).prop_map(|outlet| Step::Replace { outlet }),
    ];
    prop::collection::vec(step, 1..300)
}

fn run(overflow: Overflow, steps: Vec<Step>) {
    let budget = Budget::new(BUDGET);
    let mut outlets: Vec<Outlet> = (0..OUTLETS).map(|_| outlet(overflow, &budget)).collect();
    for step in steps {
        match step {
            Step::Push { outlet, len, count } => push(&outlets[outlet], overflow, len, count),
            Step::Close { outlet } => outlets[outlet].close(),
            Step::Replace { outlet: index } => outlets[index] = outlet(overflow, &budget),
        }
        let sum: usize = outlets.iter().map(|outlet| outlet.queued().bytes).sum();
        assert_eq!(sum, budget.queued_bytes(), "every byte is charged once");
        let extra = if overflow == Overflow::Block { 12 * MESSAGE_MAX } else { FLOOR_BYTES.max(MESSAGE_MAX) };
        assert!(sum <= BUDGET + OUTLETS * extra, "{sum}");
    }
    drop(outlets);
    assert_eq!(budget.queued_bytes(), 0, "all of it comes back");
}

fn push(outlet: &Outlet, overflow: Overflow, len: usize, count: usize) {
    let before = outlet.queued().bytes;
    if outlet.is_closed() || (overflow == Overflow::Block && !outlet.has_room()) {
        // A producer that keeps to the rules waits.
        return;
    }
    let batch = vec![message(len); count];
    let pushed = outlet.push_batch(&batch);
    // At the floor itself the next byte would be one too many, and a `block` producer is told so in advance.
    if before + len * count < FLOOR_BYTES {
        assert_eq!((pushed.accepted, pushed.dropped, pushed.over, outlet.is_closed()), (count, 0, false, false), "it holds little");
    }
    match overflow {
        Overflow::Block => assert_eq!((pushed.accepted, pushed.dropped), (count, 0)),
        Overflow::DropNewest => assert_eq!(pushed.accepted + pushed.dropped, count),
        Overflow::DropOldest => assert_eq!(pushed.accepted, count),
        Overflow::Disconnect => assert_eq!(outlet.is_closed(), pushed.dropped > 0),
    }
}

proptest! {
    #[test]
    fn block_is_bounded(steps in steps()) { run(Overflow::Block, steps); }

    #[test]
    fn drop_newest_is_bounded(steps in steps()) { run(Overflow::DropNewest, steps); }

    #[test]
    fn drop_oldest_is_bounded(steps in steps()) { run(Overflow::DropOldest, steps); }

    #[test]
    fn disconnect_is_bounded(steps in steps()) { run(Overflow::Disconnect, steps); }

    /// Whoever holds less than one that is admitted is admitted too.
    #[test]
    fn the_fullest_is_refused_first(others in 0..2 * BUDGET, own in 0..BUDGET, less in 0..BUDGET, more in 1..MESSAGE_MAX) {
        let less = less.min(own);
        // The same sum, seen from either.
        let seen_by = |held: usize| Allowance { bytes_max: BUDGET, others: others + own - held };
        prop_assert!(!seen_by(own).admits(own, more) || seen_by(less).admits(less, more));
    }
}

#[test]
fn a_large_peer_meets_its_policy_while_small_ones_go_on() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Block] {
        let budget = Budget::new(BUDGET);
        let (large, small) = (outlet(overflow, &budget), outlet(Overflow::Disconnect, &budget));
        let pushes: Vec<_> = (0..100).map(|_| large.push(&[], &message(10_000))).collect();
        let held = large.queued().bytes;
        if overflow == Overflow::Block {
            let taken = pushes.iter().take_while(|pushed| !pushed.over).count();
            assert!((70..=80).contains(&taken), "three quarters: {taken}");
            assert!(!large.has_room());
        } else {
            assert!((700_000..=BUDGET * 3 / 4 + FLOOR_BYTES).contains(&held), "{overflow}: {held}");
            assert_eq!(budget.drops(), large.dropped());
        }
        for _ in 0..16 {
            assert_eq!(small.push(&[], &message(1_000)).accepted, 1);
        }
    }
}

#[tokio::test]
async fn a_peer_that_the_budget_disconnects_is_told_so() {
    let budget = Budget::new(BUDGET);
    let large = outlet(Overflow::Disconnect, &budget);
    while large.push(&[], &message(10_000)).dropped == 0 {}
    assert!(matches!(large.drive().await, OutletError::Budget { bytes_max: BUDGET }));
    assert_eq!((budget.queued_bytes(), budget.drops()), (0, 1));
}
