//! What goes on beside the messages: hearing the other nodes, telling them about us, noticing that the link is down or back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use super::Shared;
use super::announcement::{Announcement, NodeId, SUBJECTS};
use super::interest::{BEAT, Heard};
use crate::engine::EngineOps;
use crate::router::{Interest, Receiver};
use crate::wire::{Body, Filter, Subject};
use crate::{Delivery, InlineHandler, Pressure};

/// How often it is looked for what has expired.
const SWEEP: Duration = Duration::from_secs(1);

/// Hears the others from now on, and speaks when there is a connection.
pub(super) async fn start(shared: &Arc<Shared>) {
    let everybody = Filter::new(&format!("{SUBJECTS}.*")).expect("a valid constant");
    let hearing = Receiver::Handler(Arc::new(Ears { shared: Arc::downgrade(shared) }));
    // It ends with the connection.
    let _attached = shared.main.attach(Interest { filter: everybody, group: None }, hearing);
    let (main, groups) = (shared.main.connected(), shared.groups.connected());
    let weak = Arc::downgrade(shared);
    let watching = async move {
        let (mut main, mut groups) = (main, groups);
        loop {
            let is_up = *main.borrow_and_update() && *groups.borrow_and_update();
            let Some(shared) = weak.upgrade() else { return };
            shared.link_is(is_up).await;
            drop(shared);
            let changed = tokio::select! {
                changed = main.changed() => changed,
                changed = groups.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    };
    shared.tracker.spawn(shared.closing.clone().run_until_cancelled_owned(watching));
    let weak = Arc::downgrade(shared);
    let beating = async move {
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = next_beat();
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    let Some(shared) = weak.upgrade() else { return };
                    shared.sweep(Instant::now());
                }
                () = sleep_until(beat) => {
                    let Some(shared) = weak.upgrade() else { return };
                    shared.tell_wants();
                    beat = next_beat();
                }
            }
        }
    };
    shared.tracker.spawn(shared.closing.clone().run_until_cancelled_owned(beating));
}

/// Up to a fifth earlier than the others expect, so that the sidecars of a fleet do not all speak at once.
fn next_beat() -> Instant {
    Instant::now() + BEAT.mul_f64(0.8 + fastrand::f64() / 5.0)
}

/// Takes what other nodes say.
struct Ears {
    shared: std::sync::Weak<Shared>,
}

impl InlineHandler for Ears {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let shared = self.shared.upgrade()?;
        for body in delivery.bodies {
            shared.hear(delivery.subject, body, Instant::now());
        }
        None
    }
}

impl Shared {
    async fn link_is(&self, is_up: bool) {
        if is_up {
            // What was subscribed while it was down is on its way before we say that we are here.
            self.main.attached().await;
            self.groups.attached().await;
        }
        let was_up = self.up.swap(is_up, std::sync::atomic::Ordering::Relaxed);
        self.metrics.connected.set(i64::from(is_up));
        match (was_up, is_up) {
            (false, true) => {
                info!("linked to other machines");
                let (theirs, ours) = (self.main.payload_bytes_max(), self.local.payload_bytes_max());
                if theirs < ours {
                    warn!(
                        max_payload = theirs,
                        ours, "the NATS server takes smaller payloads than this machine does: the larger ones do not cross"
                    );
                }
                self.announce(&Announcement::Hello { host: self.host.clone() });
                self.tell_wants();
                self.ups.send_replace(true);
            }
            (true, false) => {
                warn!("the link to other machines is down, what is here goes on");
                self.ups.send_replace(false);
            }
            _ => {}
        }
    }

    fn tell_wants(&self) {
        let filters = self.wants.lock().all(&self.leased);
        self.announce(&Announcement::Wants { host: self.host.clone(), filters });
    }

    fn sweep(&self, now: Instant) {
        self.unserved.expire(now);
        let silent = self.interests.lock().expire(now);
        for node in silent {
            warn!(%node, "another machine has been silent for too long");
            self.arrived.node_gone(node);
        }
        self.count_nodes();
    }

    fn count_nodes(&self) {
        self.metrics.nodes.set(i64::try_from(self.interests.lock().nodes()).unwrap_or(i64::MAX));
    }

    fn hear(&self, subject: &Subject, body: &Body, now: Instant) {
        let bytes = match body {
            Body::Blob(blob) => blob.clone(),
            Body::Frames(frames) => frames.first(),
        };
        let announced = NodeId::of(subject).and_then(|node| Ok((node, Announcement::decode(&bytes)?)));
        let (node, (announcement, number)) = match announced {
            Ok(announced) => announced,
            Err(error) => {
                self.metrics.malformed.inc();
                debug!(%subject, %error, "left out an announcement");
                return;
            }
        };
        if node == self.node {
            return;
        }
        self.metrics.heard.inc();
        let mut interests = self.interests.lock();
        // A connection that closed stays closed, whatever was said since.
        if interests.is_late(node, number) && !matches!(announcement, Announcement::Left { .. }) {
            debug!(%node, ?announcement, "left out a word that came behind a later one");
            return;
        }
        let heard = interests.hear(node, announcement, now);
        drop(interests);
        match heard {
            Heard::Noted | Heard::Ignored => {}
            Heard::Tell => self.tell_wants(),
            Heard::Left(callers) => self.arrived.left(node, &callers),
            Heard::Gone => self.arrived.node_gone(node),
        }
        self.count_nodes();
    }
}
