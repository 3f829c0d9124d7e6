//! Many REQ callers that check each reply: own reply or nothing.

use crate::zmtp::{Options, Peer, RecvError};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What the callers do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Places to call, taken in turn by each caller.
    pub targets: Vec<SocketAddr>,
    /// Callers at once, each on a thread.
    pub clients: usize,
    /// Requests of all callers together.
    pub requests: u64,
    /// How long a caller waits for its reply before it closes its socket and opens another.
    pub timeout: Duration,
    /// A caller closes a healthy socket after so many requests too; 1 is a fresh socket per call.
    pub requests_per_socket: u64,
}

/// What became of the requests: `sent = answered + silent + wrong`.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests that were sent.
    pub sent: u64,
    /// The reply carried the token of its request.
    pub answered: u64,
    /// No reply before the timeout or the end of the connection.
    pub silent: u64,
    /// Replies that belong to another request: the token asked for, and what came.
    pub wrong: Vec<(String, String)>,
}

/// Runs the plan to its end. `progress` counts finished requests, for whoever disturbs the run meanwhile.
///
/// The reply of an agent must contain the token, which is unique among all requests of the run.
///
/// # Panics
/// When a caller's thread panics.
#[must_use]
pub fn run(plan: &Plan, progress: &AtomicU64) -> Outcome {
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..plan.clients)
            .map(|client| {
                scope.spawn({
                    let (next, failed) = (&next, &failed);
                    move || call(plan, client, next, failed, progress)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).fold(Outcome::default(), Outcome::plus)
    })
}

impl Outcome {
    fn plus(mut self, other: Self) -> Self {
        self.sent += other.sent;
        self.answered += other.answered;
        self.silent += other.silent;
        self.wrong.extend(other.wrong);
        self
    }
}

fn call(plan: &Plan, client: usize, next: &AtomicU64, failed: &AtomicBool, progress: &AtomicU64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut socket: Option<(Peer, u64)> = None;
    let mut turn = client;
    while !failed.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= plan.requests {
            break;
        }
        let (mut peer, used) = match socket.take() {
            Some(open) => open,
            None => {
                turn += 1;
                (connect(plan, turn), 0)
            }
        };
        let token = format!("token-{client}-{number}");
        let request = format!("{{\"action\": \"token\", \"token\": \"{token}\"}}");
        outcome.sent += 1;
        let reply = peer.try_send(&[b"".as_slice(), request.as_bytes()]).and_then(|()| peer.try_message(plan.timeout));
        match reply {
            Ok(frames) => {
                let text = frames.iter().map(|frame| String::from_utf8_lossy(frame)).collect::<Vec<_>>().join("|");
                if frames.len() == 2 && frames[0].is_empty() && text.contains(&format!("\"{token}\"")) {
                    outcome.answered += 1;
                } else {
                    outcome.wrong.push((token, text));
                    failed.store(true, Ordering::Relaxed);
                }
                if used + 1 < plan.requests_per_socket {
                    socket = Some((peer, used + 1));
                }
            }
            // As a client with RCVTIMEO and LINGER 0: the socket is closed, the next one is new.
            Err(RecvError::Timeout | RecvError::Closed) => outcome.silent += 1,
        }
        progress.fetch_add(1, Ordering::Relaxed);
    }
    outcome
}

/// The sidecar stays up in these runs: a port that does not answer is a finding, not a state to wait for.
fn connect(plan: &Plan, turn: usize) -> Peer {
    let target = plan.targets[turn % plan.targets.len()];
    Peer::connect_with(target, "REQ", &Options::default())
}
