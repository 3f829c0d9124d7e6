//! Presence: who is there, and who can do something.
//!
//! The two handles of a fixture are two processes where there are connections, and one where there are none; presence behaves the same.

use std::time::Duration;

use super::fixture::{Fixture, eventually, text, within};
use super::{PATIENCE, QUIET};
use crate::presence::{Agent, AgentCard, Announced, BUSY, CapabilityError, Evidence, Presence, PresenceEvent, Reason, State, Watch};
use crate::wire::{AgentId, Body};
use crate::{Bus, SubscribeOptions};

fn here(on: &Fixture) -> Presence {
    on.bus().presence().unwrap()
}

fn there(on: &Fixture) -> Presence {
    on.second().presence().unwrap()
}

/// A card of this case alone.
fn card(on: &Fixture, name: &str) -> AgentCard {
    let id = AgentId::new(&format!("{}-{name}", on.prefix())).unwrap();
    AgentCard::new(id).subject(on.subject(name))
}

/// A capability of this case alone.
fn can(on: &Fixture, what: &str) -> String {
    format!("{}:{what}", on.prefix())
}

/// Waits until an agent is known as it should be.
async fn known(presence: &Presence, announced: &Announced, what: &str, holds: impl Fn(&Agent) -> bool) -> Agent {
    eventually(what, async || presence.get(announced.id().as_str()).filter(&holds)).await
}

/// A watcher that has read the list of everybody.
async fn watching(presence: &Presence) -> Watch {
    let mut watch = presence.watch();
    assert!(matches!(within("the list", watch.next()).await, Some(PresenceEvent::Resync(_))));
    watch
}

/// The next event about an agent.
async fn next_of(watch: &mut Watch, id: &AgentId) -> (Agent, Option<State>) {
    loop {
        match within("an event", watch.next()).await.expect("presence goes on") {
            PresenceEvent::Changed { agent, before } if agent.id() == id => return (agent, before),
            PresenceEvent::Resync(_) | PresenceEvent::Changed { .. } | PresenceEvent::Forgotten { .. } => {}
        }
    }
}

/// Answers with its name, or as `answer` says.
async fn serve(bus: &Bus, on: &Fixture, name: &'static str, answer: Body) -> tokio::task::JoinHandle<()> {
    let mut requests = bus.subscribe(&on.filter(name), SubscribeOptions::default()).await.unwrap();
    let bus = bus.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            request.respond(&bus, answer.clone());
        }
    })
}

/// What an agent says of itself is known elsewhere, whole.
pub async fn an_announced_agent_is_known_with_its_card(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let card = card(on, "a").kind("planner").capability("plan").capability("tool:x").metadata("version", "1.4");
    let announced = here.announce(card.clone()).unwrap();
    let agent = known(&there, &announced, "the agent", |_| true).await;
    assert_eq!(*agent.card, card);
    assert_eq!((agent.state, agent.reason, agent.node), (State::Alive, Reason::Announced, here.node()));
    assert_eq!(agent.incarnation, announced.incarnation());
    assert!(there.list().iter().any(|listed| listed.id() == announced.id()));
}

/// Who comes later learns of those who were there before.
pub async fn who_comes_later_knows_who_is_there(on: &Fixture) {
    let announced = here(on).announce(card(on, "a")).unwrap();
    here(on).flush(PATIENCE).await;
    let agent = known(&there(on), &announced, "the agent", |_| true).await;
    assert_eq!(agent.state, State::Alive);
}

/// Changes arrive one by one, each with the state before.
pub async fn a_change_is_told_with_its_reason(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let mut watch = watching(&there).await;
    let announced = here.announce(card(on, "a")).unwrap();
    let (agent, before) = next_of(&mut watch, announced.id()).await;
    assert_eq!((agent.state, before), (State::Alive, None));
    for (evidence, state, reason) in [
        (Evidence::Unanswered, State::Suspect, Reason::Unanswered),
        (Evidence::Answered, State::Alive, Reason::Answered),
        (Evidence::PutToSleep, State::Asleep, Reason::PutToSleep),
        (Evidence::Woken, State::Alive, Reason::Woken),
    ] {
        announced.saw(evidence);
        let (agent, _) = next_of(&mut watch, announced.id()).await;
        assert_eq!((agent.state, agent.reason), (state, reason), "{evidence:?}");
        assert_eq!(agent.axes.ready, state == State::Alive, "only who is alive takes work");
    }
}

/// "*reachable*, *ready*, *busy*, *healthy*" are kept apart.
pub async fn the_axes_are_told_apart(on: &Fixture) {
    let announced = here(on).announce(card(on, "a")).unwrap();
    let there = there(on);
    announced.update(|axes| axes.busy = 40);
    let agent = known(&there, &announced, "busy", |agent| agent.axes.busy == 40).await;
    assert!(agent.axes.reachable && agent.axes.ready && agent.axes.healthy.is_none());
    announced.update(|axes| axes.healthy = Some(false));
    let agent = known(&there, &announced, "unwell", |agent| agent.axes.healthy == Some(false)).await;
    assert!(agent.axes.reachable && agent.axes.ready && agent.axes.busy == 40);
    announced.update(|axes| axes.ready = false);
    let agent = known(&there, &announced, "not ready", |agent| !agent.axes.ready).await;
    assert_eq!((agent.state, agent.axes.busy, agent.axes.healthy), (State::Alive, 40, Some(false)));
}

/// "A goodbye message makes a clean exit immediate."
pub async fn a_goodbye_is_known_at_once(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let announced = here.announce(card(on, "a")).unwrap();
    known(&there, &announced, "the agent", |_| true).await;
    let mut watch = watching(&there).await;
    let id = announced.id().clone();
    announced.goodbye();
    let (agent, _) = next_of(&mut watch, &id).await;
    assert_eq!((agent.state, agent.reason), (State::Left, Reason::Goodbye));
}

/// "A connection loss is seen in ≤ 1 s": at once as suspect, and dead if it does not come back.
pub async fn a_lost_connection_is_known_within_a_second(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let announced = here.announce(card(on, "a")).unwrap();
    known(&there, &announced, "the agent", |_| true).await;
    announced.saw(Evidence::ConnectionLost);
    let agent = known(&there, &announced, "a lost connection", |agent| agent.state == State::Suspect).await;
    assert!(agent.reason == Reason::ConnectionLost && !agent.axes.reachable);
    let agent = known(&there, &announced, "a dead agent", |agent| agent.state == State::Dead).await;
    assert_eq!(agent.reason, Reason::ConnectionLost);
}

/// A connection that is back in time was nobody's death; one that is back later is another life.
pub async fn a_connection_that_is_back_is_no_death(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let announced = here.announce(card(on, "a")).unwrap();
    let first = announced.incarnation();
    announced.saw(Evidence::ConnectionLost);
    announced.saw(Evidence::ConnectionBack);
    let agent = known(&there, &announced, "alive", |agent| agent.reason == Reason::ConnectionBack).await;
    assert_eq!((agent.state, agent.incarnation), (State::Alive, first));
    announced.saw(Evidence::ConnectionLost);
    known(&there, &announced, "dead", |agent| agent.state == State::Dead).await;
    announced.saw(Evidence::ConnectionBack);
    let agent = known(&there, &announced, "another life", |agent| agent.state == State::Alive).await;
    assert!(agent.incarnation > first && agent.incarnation == announced.incarnation());
}

/// "An incarnation number beats stale entries": who is announced again is there, whatever is known of its last life.
pub async fn another_life_has_a_higher_number(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let first = here.announce(card(on, "a")).unwrap();
    let number = first.incarnation();
    first.goodbye();
    let second = here.announce(card(on, "a").kind("second")).unwrap();
    assert!(second.incarnation() > number);
    let agent = known(&there, &second, "the second life", |agent| agent.incarnation == second.incarnation()).await;
    assert_eq!((agent.state, agent.card.kind_of()), (State::Alive, "second"));
    let of_it = there.list().into_iter().filter(|agent| agent.id() == second.id()).count();
    assert_eq!(of_it, 1, "the first life is forgotten");
}

/// A watcher begins with everybody, and goes on with what changes.
pub async fn a_watcher_begins_with_everybody(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let announced = here.announce(card(on, "a")).unwrap();
    known(&there, &announced, "the agent", |_| true).await;
    let mut watch = there.watch();
    let Some(PresenceEvent::Resync(everybody)) = within("the list", watch.next()).await else { panic!("the first event is the list") };
    assert!(everybody.iter().any(|agent| agent.id() == announced.id()));
}

/// "A slow watcher gets a resync event with the full list rather than unbounded backlog."
pub async fn a_slow_watcher_begins_anew(on: &Fixture) {
    let presence = here(on);
    let announced = presence.announce(card(on, "a")).unwrap();
    let mut watch = watching(&presence).await;
    for turn in 0..10_000 {
        announced.update(|axes| axes.healthy = Some(turn % 2 == 0));
    }
    let Some(PresenceEvent::Resync(everybody)) = within("the list", watch.next()).await else { panic!("it was too slow") };
    let agent = everybody.into_iter().find(|agent| agent.id() == announced.id()).expect("it is listed");
    assert_eq!(agent.axes.healthy, Some(false), "the list is of now");
    announced.update(|axes| axes.ready = false);
    let (agent, _) = next_of(&mut watch, announced.id()).await;
    assert!(!agent.axes.ready, "single events count again");
}

/// One process has one agent of a name; what cannot be told is refused.
pub async fn what_cannot_be_announced_is_refused(on: &Fixture) {
    use crate::presence::AnnounceError;
    let presence = here(on);
    let announced = presence.announce(card(on, "a")).unwrap();
    assert!(matches!(presence.announce(card(on, "a")), Err(AnnounceError::Taken { .. })));
    assert!(matches!(presence.announce(card(on, "b").capability("")), Err(AnnounceError::Card(_))));
    assert!(matches!(presence.announce(card(on, "b").metadata("m", &"x".repeat(5_000))), Err(AnnounceError::Card(_))));
    assert!(matches!(announced.set_card(card(on, "b")), Err(AnnounceError::AnotherAgent { .. })));
}

/// A request by capability goes to one agent that has it.
pub async fn a_capability_is_served_by_one_that_has_it(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let serving = [serve(on.bus(), on, "a", "from a".into()).await, serve(on.bus(), on, "b", "from b".into()).await];
    let a = here.announce(card(on, "a").capability(&can(on, "plan"))).unwrap();
    let b = here.announce(card(on, "b").capability(&can(on, "draw"))).unwrap();
    known(&there, &b, "both", |_| true).await;
    known(&there, &a, "both", |_| true).await;
    for (capability, answer) in [("plan", "from a"), ("draw", "from b")] {
        let answered = there.request_capability(&can(on, capability), "x".into(), PATIENCE).await.unwrap();
        assert_eq!(text(&answered.message.body), answer);
    }
    serving.iter().for_each(tokio::task::JoinHandle::abort);
}

/// The least busy is asked first.
pub async fn the_least_busy_is_asked(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let serving = [serve(on.bus(), on, "a", "from a".into()).await, serve(on.bus(), on, "b", "from b".into()).await];
    let a = here.announce(card(on, "a").capability(&can(on, "plan"))).unwrap();
    let b = here.announce(card(on, "b").capability(&can(on, "plan"))).unwrap();
    for (busy, idle, answer) in [(&a, &b, "from b"), (&b, &a, "from a")] {
        idle.update(|axes| axes.busy = 0);
        busy.update(|axes| axes.busy = 60);
        known(&there, busy, "busy", |agent| agent.axes.busy == 60).await;
        known(&there, idle, "idle", |agent| agent.axes.busy == 0).await;
        let answered = there.request_capability(&can(on, "plan"), "x".into(), PATIENCE).await.unwrap();
        assert_eq!(text(&answered.message.body), answer);
    }
    serving.iter().for_each(tokio::task::JoinHandle::abort);
}

/// "Spill-over": who is not there or says that it is full has begun nothing, so the next one is asked.
pub async fn a_request_spills_over_to_who_takes_it(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let full = serve(on.bus(), on, "full", Body::Blob(BUSY)).await;
    let free = serve(on.bus(), on, "free", "done".into()).await;
    let away = here.announce(card(on, "away").capability(&can(on, "plan"))).unwrap();
    let refuses = here.announce(card(on, "full").capability(&can(on, "plan"))).unwrap();
    let takes = here.announce(card(on, "free").capability(&can(on, "plan"))).unwrap();
    takes.update(|axes| axes.busy = 50);
    known(&there, &away, "all", |_| true).await;
    known(&there, &refuses, "all", |_| true).await;
    known(&there, &takes, "all", |agent| agent.axes.busy == 50).await;
    let answered = there.request_capability(&can(on, "plan"), "x".into(), PATIENCE).await.unwrap();
    assert_eq!((text(&answered.message.body).as_str(), answered.agent.id()), ("done", takes.id()));
    free.abort();
    full.abort();
}

/// "A reason when nobody fits."
pub async fn when_nobody_fits_it_is_said_why(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let unfit = async |presence: &Presence| match presence.request_capability(&can(on, "plan"), "x".into(), PATIENCE).await {
        Err(error @ CapabilityError::NobodyFits { .. }) => {
            assert!(!error.may_have_happened());
            let CapabilityError::NobodyFits { unfit, .. } = error else { unreachable!("it was just seen") };
            unfit
        }
        other => panic!("nobody fits: {other:?}"),
    };
    assert_eq!(unfit(&there).await.total(), 0, "nobody has it");
    let a = here.announce(card(on, "a").capability(&can(on, "plan"))).unwrap();
    a.update(|axes| axes.busy = 100);
    known(&there, &a, "busy", |agent| agent.axes.busy == 100).await;
    assert_eq!(unfit(&there).await.busy, 1);
    a.update(|axes| (axes.busy, axes.ready) = (0, false));
    known(&there, &a, "not ready", |agent| !agent.axes.ready).await;
    assert_eq!(unfit(&there).await.not_ready, 1);
    a.update(|axes| axes.ready = true);
    a.saw(Evidence::PutToSleep);
    known(&there, &a, "asleep", |agent| agent.state == State::Asleep).await;
    assert_eq!(unfit(&there).await.asleep, 1);
    a.saw(Evidence::Woken);
    a.saw(Evidence::Unanswered);
    known(&there, &a, "suspect", |agent| agent.state == State::Suspect).await;
    assert_eq!(unfit(&there).await.suspect, 1);
    let id = a.id().clone();
    a.goodbye();
    eventually("it has left", async || there.get(id.as_str()).filter(|agent| agent.state == State::Left)).await;
    assert_eq!(unfit(&there).await.over, 1);
}

/// "Never repeating a request that may have run."
pub async fn what_may_have_run_is_not_given_to_another(on: &Fixture) {
    let (here, there) = (here(on), there(on));
    let mut silent = on.bus().subscribe(&on.filter("silent"), SubscribeOptions::default()).await.unwrap();
    let mut other = on.bus().subscribe(&on.filter("other"), SubscribeOptions::default()).await.unwrap();
    let asked = here.announce(card(on, "silent").capability(&can(on, "plan"))).unwrap();
    let spare = here.announce(card(on, "other").capability(&can(on, "plan"))).unwrap();
    spare.update(|axes| axes.busy = 90);
    known(&there, &asked, "both", |_| true).await;
    known(&there, &spare, "both", |agent| agent.axes.busy == 90).await;
    let error = there.request_capability(&can(on, "plan"), "x".into(), Duration::from_millis(500)).await.unwrap_err();
    assert!(matches!(&error, CapabilityError::Unanswered { agent, .. } if agent == asked.id()), "{error:?}");
    assert!(error.may_have_happened());
    within("the request", silent.next()).await.expect("it was asked");
    assert!(tokio::time::timeout(QUIET, other.next()).await.is_err(), "nobody else was");
}
