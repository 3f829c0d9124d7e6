//! The task of one agent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_all;
use myelin_bus::presence::Announced;
use tokio::sync::watch;
use tracing::debug;

use super::look::Seen;
use super::verdict::Verdict;
use super::{Registered, Shared, card};
use crate::front::ConnectorState;

/// The pause before the look that decides whether an agent is dead: less than half of the time that presence gives it.
const DECIDES_AFTER: Duration = Duration::from_millis(200);

/// The least time between two looks, however often its connection changes.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Attends one agent until it is registered no more.
pub(super) async fn attend(shared: Arc<Shared>, mut registered: watch::Receiver<Registered>) {
    let (mut announced, mut verdict, mut dead_looks): (Option<Announced>, _, u32) = (None, Verdict::default(), 0);
    loop {
        let known = registered.borrow_and_update().clone();
        let mut connections = (shared.connections)(known.agent.name.as_str());
        connections.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let pause = shared.pause();
        let seen = if shared.has_spoken(&connections, pause / 2) {
            Seen::Greeted
        } else {
            let endpoints: Vec<SocketAddr> = known.agent.replicas.iter().map(|replica| replica.endpoint).collect();
            shared.look(&endpoints).await
        };
        note(&shared, &known, &mut announced, verdict.of(seen), seen);
        dead_looks = if verdict.is_urgent() { dead_looks.saturating_add(1) } else { 0 };
        // Two looks decide; after that the address is tried as rarely as any.
        let pause = if (1..=2).contains(&dead_looks) && announced.is_some() { DECIDES_AFTER } else { pause };
        tokio::time::sleep(PAUSE_MIN).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = changed(&mut connections) => {}
            changed = registered.changed() => if changed.is_err() {
                return;
            }
        }
    }
}

/// Tells presence what was seen, and what is known beside it.
fn note(shared: &Shared, known: &Registered, announced: &mut Option<Announced>, evidence: Vec<myelin_bus::presence::Evidence>, seen: Seen) {
    let Some(agent) = announced else {
        if seen == Seen::Greeted {
            *announced = card::card(&known.agent).and_then(|card| {
                let told = shared.presence.announce(card);
                told.inspect_err(|error| debug!(agent = %known.agent.name, %error, "agent is not shown as present")).ok()
            });
        }
        return;
    };
    for evidence in evidence {
        agent.saw(evidence);
    }
    agent.update(|axes| axes.healthy = known.healthy);
    if let Some(card) = card::card(&known.agent) {
        // Told only if it differs.
        agent.set_card(card).inspect_err(|error| debug!(agent = %known.agent.name, %error, "card is not told")).ok();
    }
}

/// One of the connections has changed; for ever when there is none.
async fn changed(connections: &mut [watch::Receiver<ConnectorState>]) {
    if connections.is_empty() {
        return std::future::pending().await;
    }
    let waiting = connections.iter_mut().map(|state| {
        Box::pin(async move {
            if state.changed().await.is_err() {
                // That connection is not ours any more; a registration says what is.
                std::future::pending::<()>().await;
            }
        })
    });
    select_all(waiting).await;
}
