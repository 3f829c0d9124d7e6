//! The agents beside a hostile one: calls and published messages, each answered before the next is sent, and jobs, which nobody waits for to send
//! the next.

use super::arena::Places;
use super::machine::{syncs, trips};
use super::production::produce;
use super::served::{NAMES, Served};
use crate::wait::{PATIENCE, eventually};
use crate::zmtp::{Options, Peer, RecvError};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From one message of a neighbour to its next; latency counts from when it was due, so a late one makes the following late too, where the next
/// waits for it.
pub(super) const PERIOD: Duration = Duration::from_millis(10);

/// After so long a message counts as lost, and the neighbour gives up.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(20);

/// One call in so many comes from a socket of its own, so that connecting is part of what is measured.
const FRESH_SOCKET_EVERY: u64 = 4;

/// Messages of each neighbour that must be served after the attack.
const ROUNDS_AFTER: usize = 20;

/// Messages of others that are kept, for the text of a failure.
const STRANGERS_MAX: usize = 16;

/// What the neighbours' own messages begin with.
pub(super) const MARK: &[u8] = b"neighbour";

/// Threads that stop when they are told, or dropped.
#[derive(Debug)]
pub(super) struct Neighbours {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) stop: AtomicBool,
    agent_stop: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) latencies: [Vec<Duration>; NAMES.len()],
    pub(super) machine: Vec<Duration>,
    pub(super) disk: Vec<Duration>,
    strangers: Vec<String>,
}

impl Neighbours {
    /// Starts them and waits until each has been served.
    #[track_caller]
    pub(super) fn begin(places: Places) -> Self {
        let shared = Arc::new(Shared::default());
        let agent = Peer::connect(places.agents, "REP");
        let threads = vec![
            thread("agent", &shared, move |shared| serve(agent, shared)),
            thread("caller", &shared, move |shared| call(places.callers, shared)),
            thread("publisher", &shared, move |shared| publish(places.publishers, places.subscribers, shared)),
            thread("producer", &shared, move |shared| produce(2, places.producers, places.consumers, shared)),
            thread("memory", &shared, move |shared| produce(3, places.memory_producers, places.memory_consumers, shared)),
            thread("machine", &shared, trips),
            thread("disk", &shared, syncs),
        ];
        let neighbours = Self { shared, threads };
        neighbours.wait_rounds([1; NAMES.len()]);
        neighbours
    }

    /// What was before does not count.
    pub(super) fn forget(&self) {
        *self.shared.log() = Log::default();
    }

    /// Waits for a few more rounds, stops, and tells how they fared; of memory they know nothing.
    #[track_caller]
    pub(super) fn finish(mut self) -> Served {
        let done = self.shared.log().latencies.each_ref().map(Vec::len);
        self.wait_rounds(done.map(|done| done + ROUNDS_AFTER));
        self.stop();
        let log = std::mem::take(&mut *self.shared.log());
        let slowest = std::array::from_fn(|which| (NAMES[which], log.latencies[which].iter().copied().max().unwrap_or_default()));
        let [latencies, machine, disk] = [log.latencies.concat(), log.machine, log.disk].map(|mut all| {
            all.sort_unstable();
            all
        });
        Served { latencies, slowest, strangers: log.strangers, memory_before: 0, memory_grown: 0, machine, disk }
    }

    #[track_caller]
    fn wait_rounds(&self, counts: [usize; NAMES.len()]) {
        eventually("every neighbour is served", LOST_AFTER, || {
            let lost = self.threads.iter().any(JoinHandle::is_finished);
            assert!(!lost, "a neighbour has given up: {:?}", self.threads.iter().find(|thread| thread.is_finished()));
            let log = self.shared.log();
            log.latencies.iter().zip(counts).all(|(latencies, count)| latencies.len() >= count).then_some(())
        });
    }

    #[track_caller]
    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The agent goes last: the caller may still wait for its reply.
        for thread in self.threads.drain(1..) {
            thread.join().expect("a neighbour is served to the end");
        }
        self.shared.agent_stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the agent serves to the end");
        }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.agent_stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stranger(&self, frames: &[Vec<u8>]) {
        let mut log = self.log();
        if log.strangers.len() < STRANGERS_MAX {
            let cut = frames.iter().map(|frame| String::from_utf8_lossy(&frame[..frame.len().min(40)]).into_owned());
            log.strangers.push(cut.collect::<Vec<_>>().join("|"));
        }
    }

    /// Runs one round after the other, each due [`PERIOD`] after the one before, until told to stop.
    fn rounds(&self, which: usize, mut round: impl FnMut(u64, &[u8])) {
        self.paced(|number, due| {
            round(number, &[MARK, number.to_string().as_bytes()].concat());
            self.log().latencies[which].push(due.elapsed());
        });
    }

    /// Tells the number of each round and when it was due.
    pub(super) fn paced(&self, mut round: impl FnMut(u64, Instant)) {
        let begin = Instant::now();
        for number in 0.. {
            let due = begin + PERIOD * u32::try_from(number).expect("a test ends before that");
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            round(number, due);
        }
    }

    /// The next message that is ours and not of an earlier round.
    fn expect(&self, peer: &mut Peer, body: &[u8]) {
        loop {
            match peer.try_message(LOST_AFTER) {
                Ok(frames) if frames.last().is_some_and(|last| last == body) => return,
                Ok(frames) if frames.last().is_some_and(|last| last.starts_with(MARK)) => {}
                Ok(frames) => self.stranger(&frames),
                Err(error) => panic!("lost {}: {error}", String::from_utf8_lossy(body)),
            }
        }
    }
}

fn thread(name: &str, shared: &Arc<Shared>, run: impl FnOnce(&Shared) + Send + 'static) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(format!("neighbour-{name}")).spawn(move || run(&shared)).expect("the machine can start a thread")
}

/// A REP that sends every request back.
fn serve(mut agent: Peer, shared: &Shared) {
    while !shared.agent_stop.load(Ordering::Relaxed) {
        match agent.try_message(PERIOD) {
            Ok(frames) => agent.send(&frames),
            Err(RecvError::Timeout) => {}
            Err(RecvError::Closed) => panic!("the agent's connection was closed"),
        }
    }
}

fn call(callers: SocketAddr, shared: &Shared) {
    let mut socket = None;
    shared.rounds(0, |number, body| {
        let mut peer = match socket.take() {
            Some(peer) if !number.is_multiple_of(FRESH_SOCKET_EVERY) => peer,
            _ => Peer::connect_with(callers, "REQ", &Options::default()),
        };
        peer.send(&[b"".as_slice(), body]);
        shared.expect(&mut peer, body);
        socket = Some(peer);
    });
}

fn publish(publishers: SocketAddr, subscribers: SocketAddr, shared: &Shared) {
    let mut publisher = Peer::connect(publishers, "PUB");
    let mut subscriber = Peer::connect(subscribers, "SUB");
    subscriber.subscribe(MARK);
    let begin = Instant::now();
    // Until the subscription is in effect, messages are lost, as with any publisher.
    while subscriber.try_message(PERIOD).is_err() {
        publisher.send(&[MARK]);
        assert!(begin.elapsed() < PATIENCE, "no message reaches the subscriber");
    }
    shared.rounds(1, |_, body| {
        publisher.send(&[body]);
        shared.expect(&mut subscriber, body);
    });
}
