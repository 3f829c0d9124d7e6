//! Health polls end here: what asks an agent of another machine how it is gets the agent's last answer on the spot, while that is known to be no
//! older than a bound; else it travels on, as if we were not there.
//!
//! The path of a poll, three hops: `routes::service::callers` → `Place::answer` → `asking` (is it known, and how old?). The path of what is known: the
//! sidecar beside the agent asks it (`checking`), says what changed, and answers once in two seconds that everything else is as it was.
//!
//! `asking` and `checking` are the synchronous cores, `message` the bytes, `attend` the task between them and the bus. What crosses is described in
//! `docs/health.md`.
//!
//! Invariants:
//! - **Verbatim.** What is answered is what the agent sent, frame for frame, behind the caller's own envelope.
//! - **Never healthy for what is not known to be.** See the heads of the two cores. What cannot be known is not answered.
//! - **In order.** A poll is answered here only when nothing else of its connection waits for an answer.
//!
//! What it does not do: answer for an agent of this machine (that costs no network), or for one with replicas, or for a ROUTER, whose answers carry
//! nothing that tells which request they belong to.

mod asking;
mod attend;
mod checking;
mod config;
mod ears;
mod key;
mod masks;
pub(crate) mod message;
mod metrics;
mod pattern;
mod place;

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashMap;
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, SubscribeError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::asking::{Asking, To};
use self::checking::{Checking, Serves};
use self::config::Timing;
pub use self::config::{BOUND_DEFAULT, BOUND_MAX, BOUND_MIN, HealthConfig};
pub use self::masks::{Masks, VOLATILE_DEFAULT};
use self::message::{Message, NodeId, Said};
pub use self::metrics::HealthMetrics;
pub use self::pattern::{PatternError, PollPattern};
pub(crate) use self::place::{Place, Serving, Sole};
use crate::meter::Meter;

/// What the subjects begin with; a node's id or [`EVERYBODY`] follows.
const SUBJECTS: &str = "$MYELIN.HEALTH";

/// The last token of the subject that all sidecars listen to.
const EVERYBODY: &str = "ALL";

/// The kind of agents of which nobody knows more.
const KIND_UNKNOWN: &str = "unknown";

/// Tells what kind of agent serves a name.
type Kinds = dyn Fn(&str) -> Option<String> + Send + Sync;

/// All of it. Cloning gives the same one.
#[derive(Clone, Debug)]
pub struct Health(Arc<Shared>);

struct Shared {
    bus: Bus,
    node: NodeId,
    config: HealthConfig,
    /// Lock order: never two of these at a time.
    asking: Mutex<Asking>,
    checking: Mutex<Checking>,
    places: Mutex<HashMap<Arc<str>, Weak<Place>>>,
    kinds: OnceLock<Box<Kinds>>,
    /// Wakes the task: there is something to do before the time that it knows.
    work: Notify,
    meter: Meter,
    metrics: HealthMetrics,
}

impl Health {
    /// Begins to listen to other sidecars, which takes a bus with a link to them to be of use. Ends with `token`.
    ///
    /// # Errors
    /// When the bus refuses the subscriptions.
    pub fn start(
        bus: &Bus,
        config: HealthConfig,
        (meter, metrics): (Meter, HealthMetrics),
        tracker: &TaskTracker,
        token: CancellationToken,
    ) -> Result<Self, SubscribeError> {
        let timing = Timing::new(config.bound);
        let shared = Arc::new(Shared {
            bus: bus.clone(),
            node: NodeId(fastrand::u64(..)),
            asking: Mutex::new(Asking::new(timing)),
            checking: Mutex::new(Checking::new(config.masks.clone())),
            config,
            places: Mutex::default(),
            kinds: OnceLock::new(),
            work: Notify::new(),
            meter,
            metrics,
        });
        let ears = ears::listen(&shared)?;
        let attending = attend::attend(Arc::clone(&shared));
        tracker.spawn(async move {
            let _ended = token.run_until_cancelled(attending).await;
            drop(ears);
        });
        Ok(Self(shared))
    }

    /// Sets who tells what kind of agent serves a name, for the meter; only the first one counts.
    pub fn set_kinds(&self, kinds: impl Fn(&str) -> Option<String> + Send + Sync + 'static) {
        drop(self.0.kinds.set(Box::new(kinds)));
    }

    /// The place of a service, the same one for all services of the name.
    pub(crate) fn place(&self, service: &str) -> Arc<Place> {
        let mut places = self.0.places.lock();
        if let Some(place) = places.get(service).and_then(Weak::upgrade) {
            return place;
        }
        let name: Arc<str> = service.into();
        let place = Arc::new(Place::new(Arc::clone(&name), Arc::downgrade(&self.0)));
        places.insert(name, Arc::downgrade(&place));
        place
    }
}

impl Shared {
    fn place(&self, service: &str) -> Option<Arc<Place>> {
        self.places.lock().get(service).and_then(Weak::upgrade)
    }

    /// Who serves a name on this machine.
    fn serves(&self, service: &str) -> Serves {
        let sole = self.place(service).map_or(Sole::Nobody, |place| place.sole());
        match sole {
            Sole::Nobody => Serves::Nobody,
            Sole::Several => Serves::Several,
            Sole::Unfit => Serves::Unfit,
            Sole::Rep => Serves::One(self.kind(service)),
        }
    }

    /// What kind of agent serves a name; its health socket is of the same kind.
    fn kind(&self, service: &str) -> Arc<str> {
        let agent = service.strip_suffix(".health").unwrap_or(service);
        let kind = self.kinds.get().and_then(|kinds| kinds(agent).or_else(|| kinds(service)));
        let kind = kind.filter(|kind| !kind.is_empty() && kind.len() <= message::KIND_BYTES_MAX);
        kind.map_or_else(|| KIND_UNKNOWN.into(), Into::into)
    }

    async fn say(&self, to: To, said: Said) {
        let subject = match to {
            To::Everybody => subject(EVERYBODY),
            To::One(node) => subject(&node.to_string()),
        };
        let message = message::encode(&Message { from: self.node, said });
        self.metrics.sent(message.len());
        if let Err(error) = self.bus.publish(&subject, Body::Blob(message)).await {
            tracing::debug!(%error, "another sidecar is not told");
        }
    }

    /// Takes a message of another sidecar.
    fn hear(&self, message: Message) {
        let Message { from, said } = message;
        let now = Instant::now();
        match said {
            Said::Ask { bound, keys } => {
                for key in keys {
                    let serves = self.serves(key.service());
                    self.checking.lock().asked(from, bound, &key, serves, now);
                }
            }
            Said::Renew { number } => self.checking.lock().renewed(from, number, now),
            Said::Drop { keys } => self.checking.lock().dropped(from, &keys),
            Said::Lease { number, told, oldest } => self.asking.lock().lease(from, (number, told), oldest, now),
            Said::Document { told, key, kind, content } => self.asking.lock().document(from, told, &key, (&kind, content), now),
            Said::Withdraw { told, key, why } => self.asking.lock().withdraw(from, told, &key, why, now),
        }
        self.work.notify_one();
    }
}

/// `$MYELIN.HEALTH.<whom>`
fn subject(whom: &str) -> Subject {
    Subject::new(&format!("{SUBJECTS}.{whom}")).expect("hex digits and words are tokens")
}

/// Feeds arbitrary bytes to what reads messages of other sidecars, and checks what must hold for any of them.
///
/// # Panics
/// When it does not hold.
#[doc(hidden)]
pub fn fuzz_message(data: &[u8]) {
    message::fuzz(data);
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
