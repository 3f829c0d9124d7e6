//! Who comes and goes: each slot plays one role, life after life, so that the mixture stays the same while everybody in it changes.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::life::{Life, Stage};
use super::requests::{Manner, call, call_registered, name, serve_connected, serve_registered};
use super::world::{Book, LISTENERS, World};
use super::{jobs, requests, rough, topics};

/// The name of the agent that never restarts.
pub(crate) const STAYING_AGENT: &str = "SoakStays";
/// What a slot rests between two lives, at most.
const REST_MAX: Duration = Duration::from_millis(300);
/// Within this the whole crowd arrives.
const ARRIVAL: Duration = Duration::from_secs(2);

/// What a slot plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Req,
    Dealer,
    CallerOfRegistered,
    ConnectedAgent,
    RegisteredAgent,
    Publisher,
    Subscriber,
    HubPublisher,
    Producer,
    RoughProducer,
    RoughConsumer,
    Pair,
    NatsClient,
    DeafSubscriber,
    DeafCaller,
    DeafConsumer,
    HalfOpen,
    CutOff,
    Foreigner,
}

impl Role {
    /// The mixture, in slots of a thousand.
    const MIXTURE: [(Self, usize); 19] = [
        (Self::Req, 130),
        (Self::Dealer, 90),
        (Self::CallerOfRegistered, 80),
        (Self::ConnectedAgent, 60),
        (Self::RegisteredAgent, 40),
        (Self::Publisher, 60),
        (Self::Subscriber, 195),
        (Self::HubPublisher, 20),
        (Self::Producer, 80),
        (Self::RoughProducer, 60),
        (Self::RoughConsumer, 48),
        (Self::Pair, 2),
        (Self::NatsClient, 30),
        (Self::DeafSubscriber, 5),
        (Self::DeafCaller, 8),
        (Self::DeafConsumer, 2),
        (Self::HalfOpen, 40),
        (Self::CutOff, 30),
        (Self::Foreigner, 20),
    ];

    async fn live(self, world: &World, life: Life, place: usize) {
        match self {
            Self::Req => call(world, life, &world.places.callers, ordinary(true)).await,
            Self::Dealer => call(world, life, &world.places.callers, ordinary(false)).await,
            Self::CallerOfRegistered => call_registered(world, life).await,
            Self::ConnectedAgent => serve_connected(world, life).await,
            Self::RegisteredAgent => serve_registered(world, life, &name(place)).await,
            Self::Publisher => topics::publish(world, life, 3.0).await,
            Self::Subscriber => topics::subscribe(world, life).await,
            Self::HubPublisher => topics::publish_to_hub(world, life, 2.0).await,
            Self::Producer => jobs::produce(world, life, Book::Jobs, 3.0).await,
            Self::RoughProducer => jobs::produce(world, life, Book::RoughJobs, 3.0).await,
            Self::RoughConsumer => jobs::consume(world, life, Book::RoughJobs).await,
            Self::Pair => jobs::pair(world, life, place % 2).await,
            Self::NatsClient => rough::nats_client(world, life).await,
            Self::DeafSubscriber => rough::deaf_subscriber(world, life).await,
            Self::DeafCaller => rough::deaf_caller(world, life).await,
            Self::DeafConsumer => rough::deaf_consumer(world, life).await,
            Self::HalfOpen => rough::half_open(world, life).await,
            Self::CutOff => rough::cut_off(world, life).await,
            Self::Foreigner => rough::foreigner(world, life).await,
        }
    }
}

fn ordinary(is_req: bool) -> Manner {
    Manner { is_req, is_strict: false, per_second: 2.0 }
}

/// The role of each of `peers` slots, and its place among those of the same role: at least two of each.
pub(crate) fn cast(peers: usize) -> Vec<(Role, usize)> {
    let of = |(role, share): &(Role, usize)| (0..(share * peers / 1_000).max(2)).map(|place| (*role, place)).collect::<Vec<_>>();
    Role::MIXTURE.iter().flat_map(of).collect()
}

/// How many names register.
pub(crate) fn names(peers: usize) -> usize {
    cast(peers).iter().filter(|(role, _)| *role == Role::RegisteredAgent).count()
}

/// Those who stay while the others come and go, and by whom promises are judged: see [`Stage`] for when they leave.
#[derive(Debug)]
pub(crate) struct Stayers {
    /// They owe somebody something until all others have left.
    receivers: JoinSet<()>,
    senders: JoinSet<()>,
}

impl Stayers {
    /// Starts them; first those that receive.
    pub(crate) fn start(world: &Arc<World>) -> Self {
        let mut stayers = Self { receivers: JoinSet::new(), senders: JoinSet::new() };
        for listener in 0..LISTENERS {
            let (world, life) = (Arc::clone(world), world.long_life(listener as u64, Stage::Leaving));
            stayers.receivers.spawn(async move { topics::listen(&world, life, listener).await });
        }
        for seed in [10, 11] {
            let (own, life) = (Arc::clone(world), world.long_life(seed, Stage::Leaving));
            stayers.receivers.spawn(async move { jobs::consume(&own, life, Book::Jobs).await });
            let (own, life) = (Arc::clone(world), world.long_life(seed + 10, Stage::Leaving));
            stayers.receivers.spawn(async move { serve_connected(&own, life).await });
        }
        let (own, life) = (Arc::clone(world), world.long_life(30, Stage::Leaving));
        stayers.receivers.spawn(async move { serve_registered(&own, life, STAYING_AGENT).await });
        stayers
    }

    /// Starts those who ask and speak, once the port of the staying agent is known.
    pub(crate) fn speak(&mut self, world: &Arc<World>, staying_agent: &str) {
        for seed in 40..44 {
            let (own, life, address) = (Arc::clone(world), world.long_life(seed, Stage::Settling), staying_agent.to_owned());
            let manner = Manner { is_req: seed % 2 == 0, is_strict: true, per_second: 10.0 };
            self.senders.spawn(async move { call(&own, life, &address, manner).await });
        }
        for seed in [50, 51] {
            let (own, life) = (Arc::clone(world), world.long_life(seed, Stage::Settling));
            self.senders.spawn(async move { topics::publish(&own, life, 20.0).await });
            let (own, life) = (Arc::clone(world), world.long_life(seed + 10, Stage::Settling));
            self.senders.spawn(async move { topics::publish_to_hub(&own, life, 10.0).await });
        }
    }

    /// Waits until those who speak have left.
    pub(crate) async fn senders_left(&mut self) {
        while self.senders.join_next().await.is_some() {}
    }

    /// Waits until all have left.
    pub(crate) async fn left(mut self) {
        while self.receivers.join_next().await.is_some() {}
    }

    /// How many of those who receive are still there: all, unless one was thrown out.
    pub(crate) fn receivers(&mut self) -> usize {
        while self.receivers.try_join_next().is_some() {}
        self.receivers.len()
    }
}

/// Starts the crowd; it ends with [`Stage::Running`].
pub(crate) fn gather(world: &Arc<World>, peers: usize, seed: u64) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for (slot, (role, place)) in cast(peers).into_iter().enumerate() {
        let world = Arc::clone(world);
        crowd.spawn(async move {
            let mut random = Rng::with_seed(seed ^ slot as u64);
            sleep(ARRIVAL.mul_f64(random.f64())).await;
            for generation in 0.. {
                if !world.is_running() {
                    break;
                }
                role.live(&world, world.life(slot, generation), place).await;
                sleep(REST_MAX.mul_f64(random.f64())).await;
            }
        });
    }
    crowd
}

/// Registers every name once, so that their ports are open before anything is compared.
pub(crate) async fn open_ports(world: &Arc<World>) {
    let mut agents = JoinSet::new();
    for (number, name) in (0..world.names).map(name).chain([STAYING_AGENT.to_owned()]).enumerate() {
        let world = Arc::clone(world);
        agents.spawn(async move {
            let mut life = world.life(usize::MAX, number as u64);
            life.until = tokio::time::Instant::now() + Duration::from_secs(1);
            requests::serve_registered(&world, life, &name).await;
        });
    }
    while agents.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixture_of_a_thousand_is_a_thousand_and_no_role_is_left_out_of_a_small_one() {
        assert_eq!(cast(1_000).len(), 1_000);
        let small = cast(100);
        assert!((95..125).contains(&small.len()), "{}", small.len());
        assert!(Role::MIXTURE.iter().all(|(role, _)| small.iter().filter(|(cast, _)| cast == role).count() >= 2));
    }
}
