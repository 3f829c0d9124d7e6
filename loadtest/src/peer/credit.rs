//! End-to-end credit: how a publisher is held back by its slowest subscriber when its socket would rather drop.
//!
//! libzmq's PUB drops at its high-water mark; the option that makes it wait (`ZMQ_XPUB_NODROP`) has no safe binding.
//! Instead each subscriber tells the publisher how far it is, beside the measured path, and the publisher never runs
//! more than the window ahead: every queue on the way stays below its mark, so nothing drops on any path.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Doing, Failure, Outcome};
use crate::zmtp::{address_of, listen};

/// A subscriber reports at least each time it has taken this many more messages.
const REPORT_EVERY: u64 = 4_096;
/// A window that stays shut for longer than this means that messages were lost.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How many messages a subscriber takes between two reports: a sixth of what the publisher may run ahead at this high-water mark.
pub(crate) fn report_every(high_water: i32) -> u64 {
    (u64::try_from(high_water).unwrap_or_default() / 16).clamp(1, REPORT_EVERY)
}

/// The publisher's side.
#[derive(Debug)]
pub(crate) struct Window {
    messages: u64,
    endpoint: String,
    progress: Vec<Arc<AtomicU64>>,
    stalls: u64,
}

impl Window {
    /// Listens for `subscribers` reports of progress; the window is in messages.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) fn open(messages: u64, subscribers: usize) -> Outcome<Self> {
        let (listener, endpoint) = listen()?;
        let progress: Vec<_> = (0..subscribers).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let cells = progress.clone();
        thread::spawn(move || {
            for (cell, stream) in cells.into_iter().zip(listener.incoming().map_while(Result::ok)) {
                thread::spawn(move || follow(stream, &cell));
            }
        });
        Ok(Self { messages, endpoint, progress, stalls: 0 })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How often the publisher had to wait.
    pub(crate) fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Blocks until message `sequence` is inside the window.
    ///
    /// # Errors
    /// No progress for ten seconds.
    pub(crate) fn admit(&mut self, sequence: u64) -> Outcome<()> {
        let slowest = || self.progress.iter().map(|cell| cell.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX);
        if sequence < slowest().saturating_add(self.messages) {
            return Ok(());
        }
        let since = Instant::now();
        while sequence >= slowest().saturating_add(self.messages) {
            if since.elapsed() > STALL_TIMEOUT {
                return Err(Failure::new(format!("no subscriber progress past {} for {STALL_TIMEOUT:?}", slowest())));
            }
            thread::sleep(Duration::from_micros(50));
        }
        self.stalls += 1;
        Ok(())
    }
}

fn follow(mut stream: TcpStream, cell: &AtomicU64) {
    let mut report = [0; 8];
    while stream.read_exact(&mut report).is_ok() {
        cell.store(u64::from_le_bytes(report), Ordering::Relaxed);
    }
}

/// The subscriber's side.
#[derive(Debug)]
pub(crate) struct Reporter(TcpStream);

impl Reporter {
    /// # Errors
    /// The publisher does not listen.
    pub(crate) fn connect(endpoint: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(address_of(endpoint)?).doing(|| format!("connecting to {endpoint}"))?;
        stream.set_nodelay(true).doing(|| "setting TCP_NODELAY".to_owned())?;
        Ok(Self(stream))
    }

    /// # Errors
    /// The publisher is gone.
    pub(crate) fn report(&mut self, next: u64) -> Outcome<()> {
        self.0.write_all(&next.to_le_bytes()).doing(|| "reporting progress".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_subscriber_opens_the_window() {
        let mut window = Window::open(10, 2).unwrap();
        let mut fast = Reporter::connect(window.endpoint()).unwrap();
        let mut slow = Reporter::connect(window.endpoint()).unwrap();
        window.admit(9).unwrap();
        assert_eq!(window.stalls(), 0);
        fast.report(1_000).unwrap();
        let late = thread::spawn(move || slow.report(5).map(|()| slow));
        window.admit(14).unwrap();
        drop(late.join().unwrap().unwrap());
    }
}
