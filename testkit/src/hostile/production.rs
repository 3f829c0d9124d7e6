//! The neighbour at a pipeline.

use super::jobs::Stop;
use super::neighbours::{LOST_AFTER, MARK, PERIOD, Shared};
use crate::zmtp::{Peer, RecvError};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Tells the jobs of one producer from those of another.
static RUN: AtomicU64 = AtomicU64::new(0);

/// Jobs, one each period whatever becomes of those before: nobody tells a producer what did. Each counts from when it was due until it is here, once.
pub(super) fn produce(which: usize, producers: SocketAddr, consumers: SocketAddr, shared: &Shared) {
    let mut pull = Peer::connect(consumers, "PULL");
    let mut push = Peer::connect(producers, "PUSH");
    // What earlier neighbours left in a durable pipeline comes again, and is none of these.
    let mark = [MARK, format!(" {} job ", RUN.fetch_add(1, Ordering::Relaxed)).as_bytes()].concat();
    let (begin, sent, is_over) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            shared.paced(|number, _| {
                push.send(&[[&mark, number.to_string().as_bytes()].concat()]);
                sent.store(number + 1, Ordering::Release);
            });
            is_over.store(true, Ordering::Release);
        });
        // Should this one give up, the other would go on for ever.
        let _stop = Stop(&shared.stop);
        let mut missing = Missing::default();
        let mut heard = Instant::now();
        loop {
            // Asked in this order: nothing is sent after the end.
            let ends = is_over.load(Ordering::Acquire);
            missing.expect(sent.load(Ordering::Acquire));
            if missing.numbers.is_empty() {
                if ends {
                    return;
                }
                heard = Instant::now();
            }
            assert!(heard.elapsed() < LOST_AFTER, "lost {} jobs, the first is {:?}", missing.numbers.len(), missing.numbers.first());
            match pull.try_message(PERIOD) {
                Ok(frames) => match job(&frames, &mark) {
                    Some(number) => {
                        missing.expect(number + 1);
                        if missing.numbers.remove(&number) {
                            heard = Instant::now();
                            let due = begin + PERIOD * u32::try_from(number).expect("a test ends before that");
                            shared.log().latencies[which].push(due.elapsed());
                        }
                    }
                    None if frames.last().is_some_and(|last| last.starts_with(MARK)) => {}
                    None => shared.stranger(&frames),
                },
                Err(RecvError::Timeout) => {}
                Err(RecvError::Closed) => panic!("the consumer's connection was closed"),
            }
        }
    });
}

/// Jobs that were sent and have not come.
#[derive(Debug, Default)]
struct Missing {
    numbers: BTreeSet<u64>,
    next: u64,
}

impl Missing {
    fn expect(&mut self, sent: u64) {
        self.numbers.extend(self.next..sent);
        self.next = self.next.max(sent);
    }
}

fn job(frames: &[Vec<u8>], mark: &[u8]) -> Option<u64> {
    let [frame] = frames else { return None };
    std::str::from_utf8(frame.strip_prefix(mark)?).ok()?.parse().ok()
}
