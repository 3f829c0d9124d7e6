//! What all peers of a soak share: where the sidecar is, what was sent and received, and when to stop.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::awake::Awake;
use super::ledger::Ledger;
use super::life::{Birth, Life, Stage};
use super::tally::{Count, Tally};
use super::wire::{Farewell, Peer};

/// No step of a well-behaved peer takes this long.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// The addresses of the sidecar's sockets, as `host:port`.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) discovery: String,
    pub(crate) nats: String,
    pub(crate) hub_publishers: String,
    pub(crate) hub_subscribers: String,
    pub(crate) callers: String,
    pub(crate) agents: String,
    pub(crate) publishers: String,
    pub(crate) subscribers: String,
    /// The pipeline whose consumers stay.
    pub(crate) producers: String,
    pub(crate) consumers: String,
    /// The pipeline whose consumers come and go.
    pub(crate) rough_producers: String,
    pub(crate) rough_consumers: String,
    pub(crate) pair: [String; 2],
}

/// Which ledger a sender's messages are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Book {
    /// The pipeline whose consumers stay.
    Jobs,
    /// The pipeline whose consumers come and go.
    RoughJobs,
    /// The topic, as the first and the second of the subscribers that stay hear it.
    Heard(usize),
}

/// Subscribers of the topic that stay.
pub(crate) const LISTENERS: usize = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) places: Places,
    pub(crate) tally: Tally,
    pub(crate) awake: Arc<Awake>,
    /// Names of the agents that register, restart, and register again.
    pub(crate) names: usize,
    /// Which subscribers that stay have heard something.
    pub(crate) listening: [AtomicBool; LISTENERS],
    life_max: Duration,
    seed: u64,
    books: [Mutex<Ledger>; 2 + LISTENERS],
    lives: AtomicU32,
    stage: watch::Sender<Stage>,
}

impl World {
    pub(crate) fn new(places: Places, names: usize, life_max: Duration, seed: u64) -> Self {
        Self {
            places,
            tally: Tally::default(),
            awake: Arc::new(Awake::new(std::time::Instant::now())),
            names,
            listening: Default::default(),
            life_max,
            seed,
            books: Default::default(),
            lives: AtomicU32::new(0),
            stage: watch::Sender::new(Stage::Running),
        }
    }

    /// A life of one second to the longest, decided by the seed, the slot and how many lives that slot had.
    pub(crate) fn life(&self, slot: usize, generation: u64) -> Life {
        let mut random = Rng::with_seed(self.seed ^ ((slot as u64) << 32) ^ generation);
        let length = Duration::from_secs(1) + self.life_max.saturating_sub(Duration::from_secs(1)).mul_f64(random.f64());
        let farewell = if random.u8(..4) == 0 { Farewell::Reset } else { Farewell::Close };
        self.begin(random, Instant::now() + length, farewell, Stage::Settling)
    }

    /// A life that ends, politely, with a stage of the run.
    pub(crate) fn long_life(&self, seed: u64, last: Stage) -> Life {
        const DAY: Duration = Duration::from_secs(86_400);
        self.begin(Rng::with_seed(self.seed ^ !seed), Instant::now() + DAY, Farewell::Close, last)
    }

    fn begin(&self, random: Rng, until: Instant, farewell: Farewell, last: Stage) -> Life {
        let number = self.lives.fetch_add(1, Ordering::Relaxed);
        Life::new(Birth { number, random, until, farewell, last }, &self.awake, self.stage.subscribe())
    }

    /// Lives so far.
    pub(crate) fn lives(&self) -> u32 {
        self.lives.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.send_replace(stage);
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.stage.borrow() == Stage::Running
    }

    pub(crate) fn book(&self, book: Book) -> MutexGuard<'_, Ledger> {
        let at = match book {
            Book::Jobs => 0,
            Book::RoughJobs => 1,
            Book::Heard(listener) => 2 + listener,
        };
        self.books[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A well-behaved peer met what it should not have: a finding, unless a pause of the run explains it.
    pub(crate) fn unexpected(&self, what: impl FnOnce() -> String) {
        if self.awake.in_doubt(std::time::Instant::now()) {
            self.tally.add(Count::Excused, 1);
        } else {
            self.tally.wrong(what());
        }
    }

    /// Connects a well-behaved peer; `None`, and a finding, when it cannot.
    pub(crate) async fn join(&self, role: &str, address: &str, socket_type: &str) -> Option<Peer> {
        match self.step(Peer::connect(address, socket_type)).await {
            Ok(peer) => {
                self.tally.add(Count::Joined, 1);
                Some(peer)
            }
            Err(error) => {
                self.unexpected(|| format!("{role}: cannot connect as {socket_type}: {error}"));
                None
            }
        }
    }

    /// Bounds what must not take long.
    ///
    /// # Errors
    /// Those of the step, or that it took longer than half a minute.
    pub(crate) async fn step<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// One question to discovery, over a connection of its own.
    ///
    /// # Errors
    /// No connection, or no answer.
    pub(crate) async fn ask(&self, question: &Value) -> io::Result<Value> {
        self.step(async {
            let mut peer = Peer::connect(&self.places.discovery, "REQ").await?;
            peer.writer.send(&[b"", question.to_string().as_bytes()]).await?;
            let answer = serde_json::from_slice(peer.reader.next().await?.last)?;
            peer.leave(Farewell::Close).await;
            Ok(answer)
        })
        .await
    }
}
