//! Producers that push at a pipeline where nothing is taken, and vanish.

use super::arena::Arena;
use super::jobs::{Stop, Taken, expect_all, job};
use crate::zmtp::Peer;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A message that the sidecar does not read goes as far as the socket takes it in this time.
const SEND_SLICE: Duration = Duration::from_millis(50);

/// Which of the second pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The one on the disk.
    Durable,
    /// The one in memory.
    InMemory,
}

impl Kind {
    fn places(self, arena: &Arena) -> (SocketAddr, SocketAddr) {
        let places = arena.places();
        match self {
            Self::Durable => (places.other_producers, places.other_consumers),
            Self::InMemory => (places.other_memory_producers, places.other_memory_consumers),
        }
    }
}

/// So many producers are connected; each sends one job of `bytes` and vanishes: the even ones once all of it is on its way, the others, and whoever
/// finds that the socket takes no more, in the middle of it. Returns the jobs of which all was sent.
///
/// # Panics
/// When hardly a job could be sent.
#[must_use]
#[track_caller]
pub fn vanishing_producers(arena: &Arena, kind: Kind, producers: u64, bytes: usize) -> Vec<u64> {
    let (to, _) = kind.places(arena);
    let connected: Vec<Peer> = (0..producers).map(|_| Peer::connect(to, "PUSH")).collect();
    let mut whole = Vec::new();
    for (number, mut producer) in (0..producers).zip(connected) {
        producer.raw().set_send_timeout(SEND_SLICE);
        let job = job(number, bytes);
        let part = if number.is_multiple_of(2) { job.len() } else { job.len() / 2 };
        let sent = producer.raw().send_some(&job[..part]).expect("a producer that sends is not closed");
        if sent == job.len() {
            whole.push(number);
            producer.into_raw().close();
        } else {
            producer.into_raw().reset();
        }
    }
    assert!(whole.len() as u64 >= producers / 4, "only {} of {producers} producers could send their job", whole.len());
    whole
}

/// A consumer comes, and gets these jobs and no others.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn all_come(arena: &Arena, kind: Kind, jobs: &[u64]) {
    let (_, from) = kind.places(arena);
    let (taken, stop) = (Taken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let consumer = Peer::connect(from, "PULL");
        scope.spawn(|| taken.take(consumer, &stop));
        expect_all(&[&taken], jobs.iter().copied());
    });
    assert_eq!(taken.count(), jobs.len() as u64, "what was cut off is no job");
}
