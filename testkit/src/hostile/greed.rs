//! A caller that asks for more than an agent can do.

use super::arena::Arena;
use crate::wait::PATIENCE;
use crate::zmtp::{Peer, RecvError, message};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A send waits so long for room; whoever floods looks at the clock in between.
const SEND_SLICE: Duration = Duration::from_millis(50);

/// One caller that asks without end, and a modest one beside it.
#[derive(Debug, Clone, Copy)]
pub struct GreedyCaller {
    /// Bytes of each of its requests.
    pub bytes: usize,
    /// What the agent needs for a request.
    pub work: Duration,
    /// How long this goes on.
    pub span: Duration,
}

/// At the second service, whose agent takes its time: a DEALER sends requests as fast as its socket takes them and reads nothing. Returns how
/// long each call of another caller took, which has one request at a time.
///
/// # Panics
/// When a call of the other is not answered.
#[must_use]
#[track_caller]
pub fn greedy_caller(arena: &Arena, plan: GreedyCaller) -> Vec<Duration> {
    let places = arena.places();
    let stop = AtomicBool::new(false);
    let mut agent = Peer::connect(places.other_agents, "REP");
    let mut greedy = Peer::connect(places.other_callers, "DEALER");
    let batch = message(&[b"".as_slice(), &vec![b'g'; plan.bytes]]).repeat(1 + (256 << 10) / plan.bytes);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                match agent.try_message(SEND_SLICE) {
                    Ok(frames) => {
                        std::thread::sleep(plan.work);
                        agent.send(&frames);
                    }
                    Err(RecvError::Timeout) => {}
                    Err(RecvError::Closed) => panic!("the agent's connection was closed"),
                }
            }
        });
        scope.spawn(|| {
            greedy.raw().set_send_timeout(SEND_SLICE);
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                at += greedy.raw().send_some(&batch[at..]).expect("a caller that asks is not closed");
                at %= batch.len();
            }
        });
        // By then its requests fill whatever it may fill.
        std::thread::sleep(plan.span / 2);
        let begin = Instant::now();
        let mut latencies = Vec::new();
        let mut modest = Peer::connect(places.other_callers, "REQ");
        while begin.elapsed() < plan.span / 2 {
            let asked = Instant::now();
            let body = latencies.len().to_string();
            modest.send(&[b"".as_slice(), body.as_bytes()]);
            let reply = modest.try_message(PATIENCE);
            if reply.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(reply.expect("the modest caller is answered").last().map(Vec::as_slice), Some(body.as_bytes()));
            latencies.push(asked.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        latencies
    })
}
