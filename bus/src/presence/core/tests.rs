//! The bounds of what is kept of others, and what goes first.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::*;
use crate::presence::message::{Head, Item, List, Told};
use crate::presence::{Reason, State};

const AGENTS_MAX: usize = 20;

fn core(now: Instant) -> Core {
    let long = Duration::from_secs(3_600);
    let timing = Timing { interval: Duration::from_secs(30), lost_grace: Duration::from_millis(500), gone_keep: long, silent_keep: long };
    let limits = Limits { own_agents_max: 4, nodes_max: 3, agents_max: AGENTS_MAX, bytes_max: 1 << 20 };
    Core::new(NodeId(1), "here".into(), timing, limits, Rng::with_seed(1), now)
}

/// All that a node says of agents `from + 1` to `to`, of which those behind `over` have left.
fn list(node: u64, (from, to): (u64, u64), over: u64) -> Message {
    let item = |version: u64| {
        let id = AgentId::new(&format!("agent-{node}-{version}")).expect("an id");
        let state = if version > over { State::Left } else { State::Alive };
        let card = Some(Arc::new(AgentCard::new(id.clone())));
        let told = Told { incarnation: 1, state, reason: Reason::Announced, age: Duration::ZERO, axes: Axes::default(), card };
        Item { id, version, told: Some(told) }
    };
    // A digest that this list has: it is computed by whoever keeps the list.
    let head = Head { node: NodeId(node), interval: Duration::from_secs(30), version: to, digest: 0 };
    Message::List(head, List { machine: format!("m{node}").into(), from, to, items: (from + 1..=to).map(item).collect() })
}

fn alive(core: &Core) -> usize {
    core.agents().iter().filter(|agent| agent.state == State::Alive).count()
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let now = Instant::now();
    let mut core = core(now);
    core.hear(list(7, (0, 30), 30), now);
    let (_, agents, _, refused) = core.totals();
    assert_eq!((agents, alive(&core)), (AGENTS_MAX, AGENTS_MAX));
    assert_eq!(refused, 10);
}

#[test]
fn who_has_left_makes_room_for_who_comes() {
    let now = Instant::now();
    let mut core = core(now);
    core.hear(list(7, (0, 20), 5), now);
    assert_eq!(alive(&core), 5);
    core.hear(list(8, (0, 15), 15), now + Duration::from_secs(2));
    assert_eq!(alive(&core), 20, "fifteen that had left are gone");
    assert_eq!(core.totals().3, 0);
}

#[test]
fn who_is_silent_makes_room_after_who_has_left() {
    let now = Instant::now();
    let mut core = core(now);
    core.hear(list(7, (0, 20), 20), now);
    let later = now + Duration::from_secs(91);
    while core.say(later).is_some() {}
    assert_eq!(alive(&core), 0, "three intervals without a word");
    core.hear(list(8, (0, 20), 20), later);
    assert_eq!((alive(&core), core.totals().1), (20, 20));
}

#[test]
fn nodes_are_bounded_too() {
    let now = Instant::now();
    let mut core = core(now);
    for node in 2..10 {
        core.hear(list(node, (0, 1), 1), now);
    }
    let (nodes, agents, _, refused) = core.totals();
    assert_eq!((nodes, agents, refused), (3, 3, 5));
}

#[test]
fn agents_of_ones_own_are_bounded() {
    let now = Instant::now();
    let mut core = core(now);
    let card = |name: &str| Arc::new(AgentCard::new(AgentId::new(name).expect("an id")));
    for name in ["a", "b", "c", "d"] {
        assert!(core.announce(card(name), Axes::default(), 1, now).is_some());
    }
    assert!(core.announce(card("e"), Axes::default(), 1, now).is_none());
    assert!(core.announce(card("a"), Axes::default(), 1, now).is_some(), "another life of one takes no more room");
}

/// A clock that was set back must not make a later life the earlier one.
#[test]
fn a_later_life_has_the_higher_number_whatever_the_clock_says() {
    let now = Instant::now();
    let mut core = core(now);
    core.hear(list(7, (0, 1), 1), now);
    let card = Arc::new(AgentCard::new(AgentId::new("agent-7-1").expect("an id")));
    let first = core.announce(Arc::clone(&card), Axes::default(), 0, now).expect("there is room");
    let second = core.announce(card, Axes::default(), 0, now).expect("there is room");
    assert_eq!((first, second), (2, 3));
}
