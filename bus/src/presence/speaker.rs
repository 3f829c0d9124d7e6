//! The task that says what is to be said, when it is to be said.
//!
//! It keeps the bus only while it speaks, so that a bus that nobody holds any more ends, and this with it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::core::To;
use super::service::{Hub, all, subject_of};
use crate::Bus;
use crate::bus::Shared;
use crate::engine::Engine;

/// When there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// How long the network may take to take what was said.
const PATIENCE: Duration = Duration::from_millis(500);

/// Runs until it is cancelled or the bus is gone.
pub(super) async fn speak(hub: Arc<Hub>, bus: Weak<Shared>, mut ups: Option<watch::Receiver<bool>>) {
    // Whoever answers the first word must be heard.
    let Some(shared) = bus.upgrade() else { return };
    let _late = timeout(PATIENCE, Bus::from_shared(shared).flush()).await.is_err();
    loop {
        let Some(shared) = bus.upgrade() else { return };
        // What is said into a connection that is away would all be sent when it is back.
        let is_mute = matches!(&shared.engine, Engine::Nats(nats) if !nats.is_connected());
        let next = if is_mute {
            drop(shared);
            hub.with(|core, now| {
                core.expire(now);
                core.next_expiry_at()
            })
        } else {
            say_all(&hub, &Bus::from_shared(shared)).await;
            hub.with(|core, now| core.next_at(now))
        };
        let next = next.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = hub.work.notified() => {}
            () = tokio::time::sleep_until(next) => {}
            () = back(&mut ups, is_mute) => hub.with(|core, now| core.greet(now)),
        }
    }
}

/// Says everything that is due, and waits until the network has it, as far as it says so.
async fn say_all(hub: &Hub, bus: &Bus) {
    let (mut has_spoken, changes) = (false, hub.changes());
    while let Some((to, message)) = hub.with(|core, now| core.say(now)) {
        let subject = match to {
            To::All => all(),
            To::Node(node) => subject_of(node),
        };
        hub.say(bus.shared(), &subject, &message);
        has_spoken = true;
    }
    if has_spoken && timeout(PATIENCE, bus.flush()).await.is_err() {
        hub.with(|core, now| core.unheard(now));
    } else if hub.with(|core, _| core.is_told()) {
        hub.said.send_replace(changes);
    }
}

/// The connection to the others is back after it was away, as it may be already.
async fn back(ups: &mut Option<watch::Receiver<bool>>, is_away: bool) {
    let Some(ups) = ups else { return std::future::pending().await };
    let is_down = if is_away { Ok(()) } else { ups.wait_for(|is_up| !is_up).await.map(drop) };
    let is_back = ups.wait_for(|is_up| *is_up).await.map(drop);
    if is_down.and(is_back).is_err() {
        // The bus has ended.
        std::future::pending().await
    }
}
