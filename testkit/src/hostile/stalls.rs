//! Peers that stop reading while messages for them go on, and then vanish.

use super::arena::Arena;
use crate::free_port;
use crate::wait::PATIENCE;
use crate::zmtp::{Listener, Options, Peer, RecvError, message};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A send to a sidecar that does not read waits so long; the attackers look at the clock in between.
const SEND_SLICE: Duration = Duration::from_millis(50);

/// A DEALER sends `requests` to the REP that the neighbours call too, never reads a reply, and vanishes after `stall` (D2).
///
/// # Panics
/// When the sidecar closes it before.
#[track_caller]
pub fn deaf_caller_of_rep(arena: &Arena, requests: usize, stall: Duration) {
    let mut caller = Peer::connect(arena.places().callers, "DEALER");
    let request = message(&[b"".as_slice(), &[b'd'; 1024]]);
    let begin = Instant::now();
    let flood = request.repeat(requests);
    caller.raw().set_send_timeout(SEND_SLICE);
    let mut sent = 0;
    while sent < flood.len() && begin.elapsed() < stall {
        sent += caller.raw().send_some(&flood[sent..]).expect("the connection lives while it stalls");
    }
    std::thread::sleep(stall.saturating_sub(begin.elapsed()));
    caller.into_raw().reset();
}

/// A ROUTER agent answers one request with `replies` of 1 KiB; the caller never reads, and vanishes after `stall`, while the same agent goes on
/// to answer others (D2). Needs `router_route` in the configuration of the arena's sidecar. Returns how long one of the others waited at most.
///
/// # Panics
/// When others are not answered.
#[must_use]
#[track_caller]
pub fn deaf_caller_of_router(route: &RouterRoute, replies: usize, stall: Duration) -> Duration {
    let mut slowest = Duration::ZERO;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| route.serve(replies, &stop));
        let mut deaf = Peer::connect(route.callers, "DEALER");
        deaf.send(&[b"".as_slice(), b"flood"]);
        let begin = Instant::now();
        while begin.elapsed() < stall {
            let asked = Instant::now();
            let mut other = Peer::connect(route.callers, "REQ");
            other.send(&[b"".as_slice(), b"one"]);
            let answer = other.try_message(PATIENCE).expect("others are answered");
            assert_eq!(answer, [b"".as_slice(), b"one"]);
            slowest = slowest.max(asked.elapsed());
        }
        deaf.into_raw().reset();
        stop.store(true, Ordering::Relaxed);
    });
    slowest
}

/// A service whose agent is a ROUTER of the test.
#[derive(Debug)]
pub struct RouterRoute {
    callers: SocketAddr,
    listener: Listener,
}

impl RouterRoute {
    /// On ports of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { callers: SocketAddr::from(([127, 0, 0, 1], free_port())), listener: Listener::bind(free_port()) }
    }

    /// What the sidecar's configuration has to contain.
    #[must_use]
    pub fn toml(&self) -> String {
        let (callers, agent) = (self.callers, self.listener.address());
        format!(
            "[[route]]\nname = \"router-calls\"\nkind = \"service\"\ncallers = {{ bind = [\"tcp://{callers}\"] }}\n\
             agents = {{ connect = [\"tcp://{agent}\"] }}\n"
        )
    }

    /// One connection per caller, as the sidecar makes them; each is answered on a thread of its own.
    fn serve(&self, replies: usize, stop: &AtomicBool) {
        std::thread::scope(|scope| {
            while !stop.load(Ordering::Relaxed) {
                if let Some(raw) = self.listener.try_accept_raw(SEND_SLICE)
                    && let Ok(peer) = Peer::handshake(raw, "ROUTER", &Options::default(), PATIENCE)
                {
                    scope.spawn(move || answer(peer, replies, stop));
                }
            }
        });
    }
}

impl Default for RouterRoute {
    fn default() -> Self {
        Self::new()
    }
}

fn answer(mut peer: Peer, replies: usize, stop: &AtomicBool) {
    peer.raw().set_send_timeout(SEND_SLICE);
    while !stop.load(Ordering::Relaxed) {
        match peer.try_message(SEND_SLICE) {
            Ok(frames) if frames.last().is_some_and(|last| last == b"flood") => {
                let flood = message(&[b"".as_slice(), &[b'f'; 1024]]).repeat(replies);
                let mut sent = 0;
                while sent < flood.len() && !stop.load(Ordering::Relaxed) {
                    let Ok(more) = peer.raw().send_some(&flood[sent..]) else { return };
                    sent += more;
                }
            }
            Ok(frames) => {
                if peer.try_send(&frames).is_err() {
                    return;
                }
            }
            Err(RecvError::Timeout) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// A paced flow past a subscriber that does not read.
#[derive(Debug, Clone, Copy)]
pub struct StalledSubscriber {
    /// Messages per second.
    pub rate: u32,
    /// Payload of each.
    pub bytes: usize,
    /// How long.
    pub span: Duration,
}

/// The healthy subscriber is as healthy as its machine: nothing is published so far ahead of it that its own slowness could cost it a message.
const AHEAD_BYTES_MAX: usize = 4 << 20;

/// Two subscribers of everything on the neighbours' topic: one reads nothing, the other must get every message, in order (D3). Returns how
/// many that were.
///
/// # Panics
/// When one is missing.
#[track_caller]
pub fn stalled_subscriber(arena: &Arena, plan: StalledSubscriber) -> u64 {
    let places = arena.places();
    let mut stalled = Peer::connect(places.subscribers, "SUB");
    stalled.subscribe(b"");
    let mut healthy = Peer::connect(places.subscribers, "SUB");
    healthy.subscribe(b"paced");
    let mut publisher = Peer::connect(places.publishers, "PUB");
    crate::flow::open(&mut publisher, &mut healthy, "paced-probe");
    let total = (plan.span.as_secs_f64() * f64::from(plan.rate)) as u64;
    let read = AtomicU64::new(0);
    let ahead_max = (AHEAD_BYTES_MAX / plan.bytes) as u64;
    let payload = vec![b'p'; plan.bytes.saturating_sub(13)];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begin = Instant::now();
            let mut next = 0_u64;
            while next < total {
                let due = ((begin.elapsed().as_secs_f64() * f64::from(plan.rate)) as u64 + 1).min(total);
                let due = due.min(read.load(Ordering::Relaxed) + ahead_max).max(next);
                let mut batch = Vec::new();
                for number in next..due {
                    batch.extend(message(&[[b"paced", &number.to_be_bytes()[..], &payload].concat()]));
                }
                publisher.raw().send(&batch);
                next = due;
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for number in 0..total {
            let got = healthy.message();
            let found = got[0].get(5..13).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
            assert_eq!(found, Some(number), "the healthy subscriber gets all, in order");
            read.store(number + 1, Ordering::Relaxed);
        }
    });
    stalled.into_raw().reset();
    total
}

/// `count` messages of 1 MiB towards a SUB, a PULL of each kind of pipeline, a REP and a DEALER that do not read (D7), which vanish after `stall`.
///
/// # Panics
/// When the sidecar closes a stalled peer that its policy lets live.
#[track_caller]
pub fn large_messages(arena: &Arena, count: usize, stall: Duration) {
    let places = arena.places();
    let large = vec![b'L'; 1 << 20];
    let mut subscriber = Peer::connect(places.subscribers, "SUB");
    subscriber.subscribe(b"L");
    // Subscriptions and messages come in over different connections: a second subscriber tells when both are in effect.
    let mut witness = Peer::connect(places.subscribers, "SUB");
    witness.subscribe(b"witness");
    let mut publisher = Peer::connect(places.publishers, "PUB");
    crate::flow::open(&mut publisher, &mut witness, "witness");
    let mut pull = Peer::connect(places.other_consumers, "PULL");
    // Before that a durable pipeline gives it nothing.
    pull.answer_ping();
    let memory_pull = Peer::connect(places.other_memory_consumers, "PULL");
    let rep = Peer::connect(places.other_agents, "REP");
    let pushed = message(&[&large]);
    let asked = message(&[b"".as_slice(), &large]);
    let fast = Blast { count, pause: Duration::ZERO, span: stall };
    std::thread::scope(|scope| {
        scope.spawn(|| blast(publisher, &pushed, fast));
        scope.spawn(|| blast(Peer::connect(places.other_producers, "PUSH"), &pushed, fast));
        scope.spawn(|| blast(Peer::connect(places.other_memory_producers, "PUSH"), &pushed, fast));
        scope.spawn(|| blast(Peer::connect(places.other_callers, "DEALER"), &asked, fast));
        // This one has an agent that answers, and does not read the answers. It leaves the agent time: the neighbour calls it a hundred times a second,
        // and an agent that has more to do than it can keeps everybody waiting, whoever carries the requests.
        scope.spawn(|| blast(Peer::connect(places.callers, "DEALER"), &asked, Blast { pause: AGENT_PAUSE, ..fast }));
    });
    for stalled in [subscriber, pull, memory_pull, rep] {
        stalled.into_raw().reset();
    }
}

/// An agent returns 1 MiB in some 7 ms while four others fill both cores.
const AGENT_PAUSE: Duration = Duration::from_millis(25);

/// How often, and how fast.
#[derive(Debug, Clone, Copy)]
struct Blast {
    count: usize,
    pause: Duration,
    span: Duration,
}

/// Sends a message `count` times, or as often as the other side takes it in `span`; then stays until that is over.
#[track_caller]
fn blast(mut peer: Peer, bytes: &[u8], plan: Blast) {
    let begin = Instant::now();
    peer.raw().set_send_timeout(SEND_SLICE);
    'messages: for _ in 0..plan.count {
        let mut sent = 0;
        while sent < bytes.len() {
            if begin.elapsed() > plan.span {
                break 'messages;
            }
            sent += peer.raw().send_some(&bytes[sent..]).expect("a peer that sends is not closed");
        }
        std::thread::sleep(plan.pause);
    }
    std::thread::sleep(plan.span.saturating_sub(begin.elapsed()));
    peer.into_raw().reset();
}
