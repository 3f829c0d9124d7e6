//! What consumers have taken is acked here, together for all of them, and who still works gets more time.

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::streams::{ConsumeError, Lease, StreamError};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::error;

use super::consumers::{Consumers, send_barrier};
use crate::front::DisconnectReason;

/// Between two tries when the store cannot be used.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often consumers are looked at: an eighth of `ack_wait`, within this.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Acks what was taken and grants time, for as long as it is polled. A consumer's place is free for more once its ack is on the disk, so what waits
/// to be acked is bounded by what consumers may have in hand.
pub(super) async fn settle(consumers: Arc<Consumers>) {
    loop {
        let (taken, extending) = consumers.with(|line| (std::mem::take(&mut line.taken), std::mem::take(&mut line.extending)));
        if taken.is_empty() && extending.is_empty() {
            consumers.taken.notified().await;
            continue;
        }
        extend(&consumers, &extending).await;
        let leases: Vec<Lease> = taken.iter().flat_map(|(_, part)| part.leases.iter().copied()).collect();
        ack(&consumers, &leases).await;
        consumers.with(|line| {
            for (id, part) in &taken {
                if let Some(seat) = line.seat(*id) {
                    seat.settled(part);
                }
            }
        });
        consumers.turned.notify_waiters();
    }
}

async fn ack(consumers: &Consumers, leases: &[Lease]) {
    let mut is_told = false;
    while !leases.is_empty() {
        match consumers.consumer().ack_all(leases).await {
            // Or gone with their stream.
            Ok(_) | Err(ConsumeError::Stream(StreamError::NoStream { .. } | StreamError::NoConsumer { .. })) => return,
            Err(error) if is_told => drop(error),
            Err(error) => {
                is_told = true;
                error!(%error, messages = leases.len(), "what consumers took cannot be acked yet");
            }
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

async fn extend(consumers: &Consumers, leases: &[Lease]) {
    if !leases.is_empty()
        && let Err(error) = consumers.consumer().extend_all(leases).await
    {
        tracing::debug!(%error, "consumers got no more time: they are served again");
    }
}

/// Looks at the consumers from time to time, for as long as it is polled.
pub(super) async fn look_after(consumers: Arc<Consumers>) {
    let patience = consumers.patience;
    let mut ticks = interval((patience.ack_wait / 8).clamp(LOOK_MIN, LOOK_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let (mut is_turned, mut peers) = (false, Vec::new());
        let is_extending = consumers.with(|line| {
            let mut extending = Vec::new();
            for place in line.places() {
                let mut due = place.seat.look(place.peer.outlet().queued().bytes, now, &patience);
                is_turned |= due.is_turned;
                extending.append(&mut due.extend);
                if due.ask.is_some() || due.is_dead || due.is_unfenced {
                    peers.push((Arc::clone(&place.peer), due));
                }
            }
            line.extending.append(&mut extending);
            !line.extending.is_empty()
        });
        for (peer, due) in peers {
            send_barrier(&peer, due.ask);
            if due.is_unfenced {
                consumers.mark(&peer, true);
            }
            if due.is_dead {
                peer.close(DisconnectReason::HeartbeatMissed { missed: consumers.missed_max() });
            }
        }
        if is_turned {
            consumers.turned.notify_waiters();
        }
        if is_extending {
            consumers.taken.notify_one();
        }
    }
}
