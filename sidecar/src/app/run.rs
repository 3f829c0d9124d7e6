//! From ready to stopped.

use std::time::{Duration, Instant};

use myelin_bus::Bus;
use myelin_bus::listener::Listener as NatsListener;
use myelin_bus::streams::StreamServer;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bridge::Bridge;
use super::build::App;
use super::phase::Phase;
use crate::memory::MemoryServer;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything that was under way is done.
    Clean,
    /// Something was given up: the deadline passed, or a second signal came.
    Forced,
}

/// How long closing the sockets may take once the deadline has passed.
const FORCED_GRACE: Duration = Duration::from_millis(200);

/// The part of the deadline that is kept for writing out what is queued: agents that never answer must not use it up.
const WRITING_PART: u32 = 10;

/// How often to look whether agents have answered; they serve about ten requests a second.
const SETTLE_INTERVAL: Duration = Duration::from_millis(10);

impl App {
    /// Serves until `stop`, then drains until done, until the deadline, or until `force`.
    ///
    /// # Cancel safety
    /// Dropping it stops without draining.
    pub(crate) async fn run(self, stop: CancellationToken, force: CancellationToken) -> Outcome {
        stop.cancelled().await;
        let Self { bus, streams, memory, nats, bridge, http, phase, drain_timeout, tracker, token, .. } = self;
        let deadline = Instant::now() + drain_timeout;
        // From here on /readyz says no, so that whoever routes to us stops, and who asks all the same is refused at once.
        enter(&phase, Phase::Refusing);
        bus.refuse();
        let ending = async {
            enter(&phase, Phase::Draining);
            // While the bus still carries it.
            bridge.leave().await;
            // While the bus still carries replies: a caller over NATS waits for its one on a subscription, which draining ends.
            settle(&bridge, deadline).await;
            // Before the bus, whose drain closes the store.
            let stored = bridge.finish_pipelines(left(deadline)).await & bridge.finish_letters(left(deadline)).await;
            let (answered, remembered) = tokio::join!(finish(&streams, deadline), remember(&memory, deadline));
            let drained = drain(&bus, deadline).await;
            let closed = close(nats, &bridge, deadline).await;
            let saved = save(&tracker, &token, deadline).await;
            enter(&phase, Phase::Flushed);
            if stored && answered && remembered && drained && closed && saved { Outcome::Clean } else { Outcome::Forced }
        };
        let outcome = tokio::select! {
            outcome = ending => outcome,
            () = force.cancelled() => {
                tracing::warn!("second signal, stopping at once");
                Outcome::Forced
            }
        };
        let undelivered = bridge.undelivered();
        undelivered.log();
        let total = undelivered.total();
        http.stop();
        enter(&phase, Phase::Stopped);
        tracing::info!(?outcome, undelivered_messages = total.messages, undelivered_bytes = total.bytes, "stopped");
        outcome
    }
}

fn enter(phase: &watch::Sender<Phase>, next: Phase) {
    tracing::info!(phase = next.as_str(), "phase");
    phase.send_replace(next);
}

/// Lets requests of our own get their replies and subscribers their messages. Returns whether all did.
async fn drain(bus: &Bus, deadline: Instant) -> bool {
    let drained = bus.drain(left(deadline)).await;
    if !drained.is_clean() {
        tracing::warn!(requests = drained.requests, messages = drained.messages, "serve.drain_timeout passed, giving up what is left");
    }
    drained.is_clean()
}

/// Lets requests about streams get their answers, and stores what was published. Returns whether all was done.
async fn finish(streams: &StreamServer, deadline: Instant) -> bool {
    let finished = streams.shutdown(left(deadline)).await;
    if !finished {
        tracing::warn!("serve.drain_timeout passed before all requests about streams were answered");
    }
    finished
}

/// Lets requests about memory get their answers, and writes out what they changed. Returns whether all was done.
async fn remember(memory: &MemoryServer, deadline: Instant) -> bool {
    let finished = memory.shutdown(left(deadline)).await;
    if !finished {
        tracing::warn!("serve.drain_timeout passed before all requests about memory were answered");
    }
    finished
}

/// Waits for the replies to requests that agents and other responders work on, as long as their callers wait too.
///
/// Some agents never answer, which is no fault of a stop: it stays clean.
async fn settle(bridge: &Bridge, deadline: Instant) {
    let patience = Instant::now() + left(deadline) / WRITING_PART * (WRITING_PART - 1);
    loop {
        let owed = bridge.replies_owed();
        if owed.is_empty() {
            return;
        }
        if Instant::now() >= patience {
            for (route, requests) in owed {
                tracing::warn!(route, requests, "not answered before the stop");
            }
            return;
        }
        tokio::time::sleep(SETTLE_INTERVAL).await;
    }
}

/// Writes out what the sockets still hold, then closes them. Returns whether the deadline cut nobody off who was still reading.
async fn close(nats: NatsListener, bridge: &Bridge, deadline: Instant) -> bool {
    let grace = left(deadline).max(FORCED_GRACE);
    // Peers have until the deadline; their connections close a moment later.
    let front = tokio::time::timeout(grace + FORCED_GRACE, bridge.front.shutdown_within(grace));
    let (nats, front) = tokio::join!(nats.shutdown(grace), front);
    let is_late = Instant::now() >= deadline;
    let closed = nats && front.is_ok_and(|undelivered| undelivered.is_empty() || !is_late);
    if !closed {
        tracing::warn!("serve.drain_timeout passed, some peers did not read what waited for them");
    }
    closed
}

/// Ends our own tasks; the last thing they do is to write state.
async fn save(tracker: &TaskTracker, token: &CancellationToken, deadline: Instant) -> bool {
    token.cancel();
    tracker.close();
    let saved = tokio::time::timeout(left(deadline).max(FORCED_GRACE), tracker.wait()).await.is_ok();
    if !saved {
        tracing::warn!("serve.drain_timeout passed before all state was written");
    }
    saved
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
