//! The agents beside a hostile one: calls, published messages and jobs, each answered before the next is sent.

use super::arena::Places;
use crate::wait::{PATIENCE, eventually};
use crate::zmtp::{Options, Peer, RecvError};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// From one message of a neighbour to its next; latency counts from when it was due, so a late one makes the following late too.
const PERIOD: Duration = Duration::from_millis(10);

/// After so long a message counts as lost, and the neighbour gives up.
const LOST_AFTER: Duration = Duration::from_secs(20);

/// One call in so many comes from a socket of its own, so that connecting is part of what is measured.
const FRESH_SOCKET_EVERY: u64 = 4;

/// Messages of each neighbour that must be served after the attack.
const ROUNDS_AFTER: usize = 20;

/// A call over a connection of its own wakes the caller, the sidecar and the agent about eight times in all; a trip past the sidecar wakes two
/// threads.
const TRIPS_OF_A_CALL: u32 = 4;

/// Messages of others that are kept, for the text of a failure.
const STRANGERS_MAX: usize = 16;

/// The neighbours, in the order of their latencies.
const NAMES: [&str; 3] = ["caller", "publisher", "producer"];

/// What the neighbours' own messages begin with.
const MARK: &[u8] = b"neighbour";

/// How the neighbours fared.
#[derive(Debug, Clone)]
pub struct Served {
    /// From the moment a message was due until its answer was there, of every neighbour, sorted.
    pub latencies: Vec<Duration>,
    /// The longest of each neighbour.
    pub slowest: [(&'static str, Duration); 3],
    /// Messages of others that a neighbour received, cut short.
    pub strangers: Vec<String>,
    /// Resident bytes of the sidecar before the attack.
    pub memory_before: u64,
    /// What was added to them at most.
    pub memory_grown: u64,
    /// From the moment a byte was due until it was back, past no sidecar, sorted: what this machine makes everybody wait.
    pub machine: Vec<Duration>,
}

impl Served {
    /// The latency that 99 of 100 messages stayed within.
    #[must_use]
    pub fn p99(&self) -> Duration {
        p99(&self.latencies)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        self.latencies.last().copied().unwrap_or_default()
    }

    /// What the machine alone made 99 of 100 wait at most.
    #[must_use]
    pub fn machine_p99(&self) -> Duration {
        p99(&self.machine)
    }

    /// What the machine made somebody wait at worst, without any help of the sidecar.
    #[must_use]
    pub fn machine_max(&self) -> Duration {
        self.machine.last().copied().unwrap_or_default()
    }

    /// A deadline on this machine: it may keep each of the processes on a message's way waiting as long as it kept others.
    #[must_use]
    pub fn allowed(&self, deadline: Duration) -> Duration {
        deadline + self.machine_max() * TRIPS_OF_A_CALL
    }

    /// Nobody waited longer than `deadline`, beyond what the machine makes everybody wait, and the sidecar held at most `memory_max` more bytes than before.
    ///
    /// # Panics
    /// When either is not so.
    #[track_caller]
    pub fn check(&self, deadline: Duration, memory_max: u64) {
        let (slowest, p99, count, allowed) = (&self.slowest, self.p99(), self.latencies.len(), self.allowed(deadline));
        assert!(self.max() <= allowed, "a neighbour waited longer than {allowed:?}: {slowest:?}, p99 {p99:?} of {count}");
        assert!(self.memory_grown <= memory_max, "{} KiB more than before, {} are allowed", self.memory_grown >> 10, memory_max >> 10);
    }

    /// Nothing of the attack reached a neighbour.
    ///
    /// # Panics
    /// When something did.
    #[track_caller]
    pub fn check_no_strangers(&self) {
        assert!(self.strangers.is_empty(), "neighbours got what was not for them: {:?}", self.strangers);
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
}

/// Threads that stop when they are told, or dropped.
#[derive(Debug)]
pub(super) struct Neighbours {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    agent_stop: AtomicBool,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    latencies: [Vec<Duration>; 3],
    machine: Vec<Duration>,
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
            thread("producer", &shared, move |shared| produce(places.producers, places.consumers, shared)),
            thread("machine", &shared, trips),
        ];
        let neighbours = Self { shared, threads };
        neighbours.wait_rounds([1; 3]);
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
        let mut log = self.shared.log();
        let slowest = std::array::from_fn(|which| (NAMES[which], log.latencies[which].iter().copied().max().unwrap_or_default()));
        let mut latencies = log.latencies.concat();
        latencies.sort_unstable();
        let mut machine = std::mem::take(&mut log.machine);
        machine.sort_unstable();
        Served { latencies, slowest, strangers: std::mem::take(&mut log.strangers), memory_before: 0, memory_grown: 0, machine }
    }

    #[track_caller]
    fn wait_rounds(&self, counts: [usize; 3]) {
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
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stranger(&self, frames: &[Vec<u8>]) {
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
    fn paced(&self, mut round: impl FnMut(u64, Instant)) {
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

/// A byte to a thread that sends it back, over the same kernel and past the sidecar.
fn trips(shared: &Shared) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let mut here = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let (mut there, _) = listener.accept().expect("it was connected to");
    here.set_nodelay(true).and_then(|()| there.set_nodelay(true)).expect("a TCP socket takes the option");
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::copy(&mut there.try_clone().expect("a descriptor"), &mut there));
        shared.paced(|_, due| {
            here.write_all(b"x").and_then(|()| here.read_exact(&mut [0])).expect("the other thread sends it back");
            shared.log().machine.push(due.elapsed());
        });
        drop(here);
    });
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

fn produce(producers: SocketAddr, consumers: SocketAddr, shared: &Shared) {
    let mut push = Peer::connect(producers, "PUSH");
    let mut pull = Peer::connect(consumers, "PULL");
    shared.rounds(2, |_, body| {
        push.send(&[body]);
        shared.expect(&mut pull, body);
    });
}
