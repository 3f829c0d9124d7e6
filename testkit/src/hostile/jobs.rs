//! Numbered jobs for the second pipelines, and who got which.

use crate::zmtp::{Peer, RecvError, message};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whoever takes jobs looks so often whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

/// All jobs of an attack, in a debug build on a busy machine.
const ALL_AFTER: Duration = Duration::from_secs(60);

/// Tells others to stop when it is dropped, a panic included: they would be waited for in vain.
#[derive(Debug)]
pub(super) struct Stop<'a>(pub(super) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A job as it goes on the wire: its number, and as many bytes in all.
pub(super) fn job(number: u64, bytes: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(bytes.max(body.len()), b'j');
    message(&[body])
}

/// Sends jobs, with a pause behind each.
#[track_caller]
pub(super) fn push(producers: SocketAddr, numbers: Range<u64>, bytes: usize, pause: Duration) {
    let mut push = Peer::connect(producers, "PUSH");
    for number in numbers {
        push.raw().send(&job(number, bytes));
        std::thread::sleep(pause);
    }
}

/// The numbers of jobs that came to somebody.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<BTreeSet<u64>>);

impl Taken {
    pub(super) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(super) fn note(&self, frames: &[Vec<u8>]) {
        let [frame] = frames else { panic!("{} frames are no job", frames.len()) };
        let number = frame.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number.expect("a job has a number"));
    }

    /// Takes jobs, and answers for them, until told to stop.
    #[track_caller]
    pub(super) fn take(&self, mut peer: Peer, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            match peer.try_message(LOOK) {
                Ok(frames) => self.note(&frames),
                Err(RecvError::Timeout) => {}
                Err(RecvError::Closed) => panic!("a consumer that reads was closed"),
            }
        }
    }
}

/// Waits until each of the jobs has come to one of these.
///
/// # Panics
/// When one does not come.
#[track_caller]
pub(super) fn expect_all(takers: &[&Taken], jobs: impl Iterator<Item = u64> + Clone) {
    let begin = Instant::now();
    loop {
        let all: BTreeSet<u64> = takers.iter().flat_map(|taken| taken.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect();
        let missing: Vec<u64> = jobs.clone().filter(|number| !all.contains(number)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(begin.elapsed() < ALL_AFTER, "{} jobs are lost: {:?} …", missing.len(), &missing[..missing.len().min(20)]);
        std::thread::sleep(LOOK);
    }
}
