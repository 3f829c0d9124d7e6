//! Watches of other processes. Whoever watches subscribes to a subject of its choice, asks, and answers every message that it is told there: the
//! answer says that it is alive and may be told more. So a slow watcher holds back its own watch and nothing else, one that is gone is noticed
//! at once (nobody is subscribed) or by its silence, and what is not told yet stays in the store's bounded list of changes, not here.
//!
//! At most [`WATCHES_MAX`] at once: a watch reads ahead 64 entries, which are 64 MiB at worst.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use myelin_bus::RequestError;
use myelin_bus::wire::Subject;
use myelin_mesh::error::WatchError;
use myelin_mesh::{Change, Changed, Watch, WatchEvent, WatchPosition};
use parking_lot::Mutex;

use super::answer::{prefix, space};
use super::server::Serving;
use super::{EVENTS, HEARTBEAT, Refusal, pack, wire};

/// Watches at once.
const WATCHES_MAX: usize = 64;

/// How long a watcher may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before a store that cannot be asked is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Events in one message.
const EVENTS_MAX: usize = 64;

/// Bytes of values after which a message takes no more events.
const BATCH_BYTES: usize = 256 << 10;

/// What an event takes beside its value, rounded up.
const EVENT_OVERHEAD_BYTES: usize = 2 << 10;

/// Bytes of an id.
const ID_BYTES_MAX: usize = 64;

/// The ids that are in use.
#[derive(Debug, Clone, Default)]
pub(super) struct Watches(Arc<Mutex<HashSet<Box<str>>>>);

/// One of them, for as long as it lives.
#[derive(Debug)]
struct Place {
    watches: Watches,
    id: Box<str>,
}

impl Watches {
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }

    fn take(&self, id: &str) -> Result<Place, Refusal> {
        let mut ids = self.0.lock();
        if ids.contains(id) {
            return Err(Refusal::invalid("id", "another watch has it"));
        }
        if ids.len() >= WATCHES_MAX {
            return Err(Refusal::later("too_many_watches", format!("{WATCHES_MAX} watches are there already")));
        }
        ids.insert(id.into());
        Ok(Place { watches: self.clone(), id: id.into() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.watches.0.lock().remove(&self.id);
    }
}

impl Serving {
    /// Begins a watch, which goes on until its watcher is gone or the server ends.
    pub(super) async fn watch(self: &Arc<Self>, asked: &wire::Watch) -> Result<wire::Watching, Refusal> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=ID_BYTES_MAX).contains(&asked.id.len()) || !asked.id.bytes().all(is_fine) {
            return Err(Refusal::invalid("id", format!("is 1 to {ID_BYTES_MAX} of A-Z a-z 0-9 - _")));
        }
        let subject = Subject::new(&format!("{EVENTS}{}", asked.id)).map_err(|error| Refusal::invalid("id", error))?;
        let (space, prefix) = (space(&self.store.mesh().await?, &asked.space)?, prefix(&asked.prefix)?);
        let from = asked.from.as_deref().map(|text| text.parse::<WatchPosition>().map_err(|error| Refusal::invalid("from", error)));
        let watch = match from.transpose()? {
            None => space.watch(&prefix),
            Some(position) => space.watch_from(&prefix, position),
        };
        let place = self.watches.take(&asked.id)?;
        let watching = wire::Watching { subject: subject.to_string(), heartbeat_ms: HEARTBEAT.as_millis() as u64 };
        let serving = Arc::clone(self);
        self.metrics.watches.inc();
        self.tracker.spawn(async move {
            let ended = serving.follow(watch, &subject).await;
            tracing::debug!(%subject, error = ended.map(|error| error.to_string()), "a watch has ended");
            serving.metrics.watches.dec();
            drop(place);
        });
        Ok(watching)
    }

    /// Tells until there is nothing to tell or nobody to tell it.
    async fn follow(&self, mut watch: Watch, subject: &Subject) -> Option<RequestError> {
        loop {
            let first = match self.first(&mut watch, subject).await {
                Ok(Some(first)) => first,
                Ok(None) => {
                    // No answer is waited for: a bus that ends carries no requests.
                    let error = Some(Refusal::later("closed", "the sidecar is stopping"));
                    let last = wire::Events { error, is_over: true, ..wire::Events::default() };
                    self.bus.publish(subject, pack(&last).into()).await.ok();
                    return None;
                }
                Err(gone) => return Some(gone),
            };
            let events = self.gather(&mut watch, first);
            let told = self.tell(subject, &events).await;
            if events.is_over || told.is_err() {
                return told.err();
            }
            if events.error.is_some() {
                self.token.run_until_cancelled(tokio::time::sleep(AGAIN)).await;
            }
        }
    }

    /// The next thing to tell; none: the server ends. Meanwhile the watcher is asked whether it is there.
    async fn first(&self, watch: &mut Watch, subject: &Subject) -> Result<Option<Result<WatchEvent, WatchError>>, RequestError> {
        let position = watch.position().map(|position| position.to_string());
        let next = watch.next();
        tokio::pin!(next);
        loop {
            tokio::select! {
                event = &mut next => return Ok(Some(event)),
                () = self.token.cancelled() => return Ok(None),
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            self.tell(subject, &wire::Events { position: position.clone(), ..wire::Events::default() }).await?;
        }
    }

    /// What was read together with the first event, as much as one message takes.
    fn gather(&self, watch: &mut Watch, first: Result<WatchEvent, WatchError>) -> wire::Events {
        let value_max =
            self.bus.payload_bytes_max().saturating_sub(BATCH_BYTES.min(self.bus.payload_bytes_max() / 2) + EVENT_OVERHEAD_BYTES);
        let (mut told, mut bytes, mut next) = (wire::Events::default(), 0, Some(first));
        while let Some(event) = next {
            match event {
                Ok(event) => {
                    let event = describe(event, value_max);
                    bytes += event.entry.as_ref().map_or(0, |entry| entry.value.len()) + EVENT_OVERHEAD_BYTES;
                    told.events.push(event);
                }
                Err(error) => {
                    // Asked again, the watch goes on; only one of a closed mesh does not.
                    let refusal = Refusal::from(error);
                    told.is_over = !refusal.retryable;
                    told.error = Some(refusal);
                    break;
                }
            }
            if told.events.len() >= EVENTS_MAX || bytes >= BATCH_BYTES.min(self.bus.payload_bytes_max() / 2) {
                break;
            }
            next = watch.read_ahead();
        }
        told.position = watch.position().map(|position| position.to_string());
        told
    }

    /// Tells, and waits for the watcher's answer.
    async fn tell(&self, subject: &Subject, events: &wire::Events) -> Result<(), RequestError> {
        self.bus.request(subject, pack(events).into(), PATIENCE).await?;
        self.metrics.told.inc_by(events.events.len() as u64);
        Ok(())
    }
}

fn describe(event: WatchEvent, value_max: usize) -> wire::Event {
    let named = |event: &str| wire::Event { event: event.to_owned(), ..wire::Event::default() };
    match event {
        WatchEvent::Live => named("live"),
        WatchEvent::Resync => named("resync"),
        WatchEvent::Change(Change { key, to }) => {
            let key = Some(key.as_str().to_owned());
            match to {
                Changed::Deleted => wire::Event { key, ..named("deleted") },
                Changed::Expired => wire::Event { key, ..named("expired") },
                Changed::Put(entry) if entry.value.bytes.len() > value_max => {
                    wire::Event { key, left_out_bytes: Some(entry.value.bytes.len() as u64), ..named("put") }
                }
                Changed::Put(entry) => wire::Event { key, entry: Some(entry.into()), ..named("put") },
            }
        }
    }
}
