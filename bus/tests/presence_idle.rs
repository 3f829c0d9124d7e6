//! An idle fleet says what `docs/presence.md` says: one small message per interval and node, whatever the number of its agents. Counted by a witness
//! that hears everything, in time that is not waited for.

use std::time::Duration;

use myelin_bus::presence::{AgentCard, PresenceConfig};
use myelin_bus::wire::{AgentId, Body, Filter};
use myelin_bus::{Bus, EmbeddedConfig, SubscribeOptions, Subscription};
use tokio::time::sleep;

async fn witness(bus: &Bus) -> Subscription {
    bus.subscribe(&Filter::new("$MYELIN.PRESENCE.>").expect("a filter"), SubscribeOptions::default()).await.expect("subscribed")
}

/// The sizes of the messages that came so far.
async fn heard(witness: &mut Subscription) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !witness.is_empty() {
        let message = witness.next().await.expect("the bus goes on");
        let Body::Blob(bytes) = message.body else { panic!("presence sends blobs") };
        sizes.push(bytes.len());
    }
    sizes
}

fn card(number: usize) -> AgentCard {
    AgentCard::new(AgentId::new(&format!("agent-{number}")).expect("an id")).capability("plan").metadata("version", "1.4")
}

#[tokio::test(start_paused = true)]
async fn a_thousand_idle_agents_cost_one_small_message_per_interval() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut witness = witness(&bus).await;
    let config = PresenceConfig::default();
    let presence = bus.presence_with(&config).expect("presence");
    let announced: Vec<_> = (0..1_000).map(|number| presence.announce(card(number)).expect("announced")).collect();
    sleep(Duration::from_secs(60)).await;
    let began = heard(&mut witness).await;
    assert!(began.len() < 10, "a few lists bring all of them: {began:?}");
    assert!(began.iter().all(|bytes| *bytes <= 64 * 1024));

    sleep(Duration::from_secs(600)).await;
    let idle = heard(&mut witness).await;
    println!("1,000 idle agents, 10 minutes: {} messages, {} bytes", idle.len(), idle.iter().sum::<usize>());
    assert!((20..=25).contains(&idle.len()), "2 to 2.5 a minute: {}", idle.len());
    assert!(idle.iter().all(|bytes| *bytes <= 64), "{idle:?}");
    let (messages, bytes) = config.metrics.sent();
    let all = began.iter().chain(&idle);
    assert_eq!((messages as usize, bytes as usize), (began.len() + idle.len(), all.sum()), "it counts what it sends");
    drop(announced);
}

#[tokio::test(start_paused = true)]
async fn who_only_listens_says_one_hello() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut witness = witness(&bus).await;
    let presence = bus.presence().expect("presence");
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(heard(&mut witness).await.len(), 1);
    assert!(presence.list().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_only_changes_how_busy_is_told_once_a_second() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let presence = bus.presence().expect("presence");
    let announced = presence.announce(card(0)).expect("announced");
    sleep(Duration::from_secs(5)).await;
    let mut witness = witness(&bus).await;
    for turn in 0..1_000_u32 {
        announced.update(|axes| axes.busy = u8::try_from(turn % 100).expect("a per cent"));
        sleep(Duration::from_millis(10)).await;
    }
    let heard = heard(&mut witness).await;
    assert!((8..=11).contains(&heard.len()), "10 seconds: {}", heard.len());
    // Without its card: that is known.
    assert!(heard.iter().all(|bytes| *bytes <= 128), "{heard:?}");
}
