//! How agents of another process end, as others see it: a drained bus says goodbye for them, and a process that is gone without a word makes them
//! suspect within three intervals, never dead. Over a real NATS server, because there somebody else has to notice.

use std::time::{Duration, Instant};

use myelin_bus::conformance::Cut;
use myelin_bus::presence::{Agent, AgentCard, Presence, PresenceConfig, Reason, State};
use myelin_bus::wire::AgentId;
use myelin_bus::{Bus, NatsConfig};
use myelin_testkit::NatsServer;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(500);

fn config() -> PresenceConfig {
    let mut config = PresenceConfig::default();
    config.interval = INTERVAL;
    config
}

fn card(name: &str) -> AgentCard {
    AgentCard::new(AgentId::new(name).expect("an id"))
}

async fn known(presence: &Presence, name: &str, state: State) -> Agent {
    let found = async {
        loop {
            if let Some(agent) = presence.get(name).filter(|agent| agent.state == state) {
                return agent;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{name} is not {state} in time: {:?}", presence.get(name)))
}

async fn connect(url: &str) -> Bus {
    Bus::connect_with(&NatsConfig::new([url])).await.expect("connected")
}

#[tokio::test]
async fn a_drained_bus_says_goodbye_for_its_agents() {
    let server = NatsServer::start();
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let watching = there.presence().expect("presence");
    let announced = here.presence_with(&config()).expect("presence").announce(card("a")).expect("announced");
    known(&watching, "a", State::Alive).await;
    here.drain(PATIENCE).await;
    let agent = known(&watching, "a", State::Left).await;
    assert_eq!(agent.reason, Reason::MachineLeft);
    drop(announced);
}

/// The connection is cut: for others that is as if the process had been killed.
#[tokio::test]
async fn a_process_that_falls_silent_makes_its_agents_suspect_and_never_dead() {
    let server = NatsServer::start();
    let url = server.url();
    let there = connect(&url).await;
    let watching = there.presence().expect("presence");
    let cut = Cut::before(url.strip_prefix("nats://").expect("a URL")).await;
    let here = connect(&cut.url()).await;
    let announced = here.presence_with(&config()).expect("presence").announce(card("a")).expect("announced");
    known(&watching, "a", State::Alive).await;
    // It lives on beats for longer than it may be silent.
    sleep(INTERVAL * 4).await;
    assert_eq!(watching.get("a").expect("known").state, State::Alive);

    drop(cut);
    let cut_at = Instant::now();
    let agent = known(&watching, "a", State::Suspect).await;
    let after = cut_at.elapsed();
    println!("suspect after {after:?}, {:.2} intervals", after.as_secs_f64() / INTERVAL.as_secs_f64());
    assert!(after <= INTERVAL * 3 + Duration::from_millis(500), "{after:?}");
    assert_eq!(agent.reason, Reason::MachineSilent);
    assert!(!agent.axes.reachable && !agent.axes.ready);
    sleep(INTERVAL * 4).await;
    assert_eq!(watching.get("a").expect("known").state, State::Suspect, "it is not known to be dead");
    drop(announced);
}

/// What a process had is announced by the next one on its machine: that is the same agent, whatever is still known of the process before.
#[tokio::test]
async fn who_is_announced_again_on_its_machine_is_not_two() {
    let server = NatsServer::start();
    let url = server.url();
    let there = connect(&url).await;
    let watching = there.presence().expect("presence");
    let mut machine = config();
    (machine.machine, machine.interval) = ("one".into(), Duration::from_secs(30));
    let cut = Cut::before(url.strip_prefix("nats://").expect("a URL")).await;
    let first = connect(&cut.url()).await;
    let before = first.presence_with(&machine).expect("presence").announce(card("a")).expect("announced");
    known(&watching, "a", State::Alive).await;
    drop(cut);
    let second = connect(&url).await;
    let after = second.presence_with(&machine).expect("presence").announce(card("a")).expect("announced");
    let replaced = async {
        loop {
            let of_it: Vec<_> = watching.list().into_iter().filter(|agent| agent.id().as_str() == "a").collect();
            let is_replaced = |agent: &Agent| agent.incarnation == before.incarnation() && agent.reason == Reason::Replaced;
            if of_it.iter().any(is_replaced) && of_it.iter().any(|agent| agent.takes_work() && agent.incarnation == after.incarnation()) {
                return of_it;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let of_it = timeout(PATIENCE, replaced).await.expect("in time");
    assert_eq!(of_it.iter().filter(|agent| agent.takes_work()).count(), 1);
}

/// The task of presence does not keep the bus, and ends with it.
#[tokio::test]
async fn a_bus_that_nobody_holds_any_more_is_not_kept_by_presence() {
    let server = NatsServer::start();
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let watching = there.presence().expect("presence");
    let presence = here.presence_with(&config()).expect("presence");
    let announced = presence.announce(card("a")).expect("announced");
    known(&watching, "a", State::Alive).await;
    drop((presence, here));
    assert_eq!(known(&watching, "a", State::Suspect).await.reason, Reason::MachineSilent);
    drop(announced);
}

/// While the server is away each side misses the other; once it is back both know what happened meanwhile.
#[tokio::test]
async fn what_happened_while_the_server_was_away_is_known_afterwards() {
    let mut server = NatsServer::start();
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let (speaks, watching) = (here.presence_with(&config()).expect("presence"), there.presence_with(&config()).expect("presence"));
    let announced = speaks.announce(card("a")).expect("announced");
    let leaves = speaks.announce(card("b")).expect("announced");
    known(&watching, "b", State::Alive).await;
    server.process().kill9();
    known(&watching, "a", State::Suspect).await;
    announced.update(|axes| axes.healthy = Some(false));
    leaves.goodbye();
    server.restart();
    let agent = known(&watching, "a", State::Alive).await;
    assert_eq!(agent.incarnation, announced.incarnation(), "it is the same life");
    known(&watching, "b", State::Left).await;
    assert_eq!(known(&watching, "a", State::Alive).await.axes.healthy, Some(false));
}
