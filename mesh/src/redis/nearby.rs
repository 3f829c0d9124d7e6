//! Entries that are kept in this process: the near cache with a clock.

use super::address::slot_of;
use super::config::NearConfig;
use super::entries::{entry_name, get, stored, write_entry_name};
use super::store::Redis;
use crate::error::ReadError;
use crate::mesh::Shared;
use crate::near::{Begin, Counts, Millis, Near, NearLimits};
use crate::{Entry, Key, Namespace, Revision, Value};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What is kept longest: entries that live for ever, and the fact that there is none. Both are told when they change; this only bounds how long a
/// mistake of ours could last.
const KEPT_MAX: Duration = Duration::from_secs(600);

thread_local! {
    /// The name that is looked up, so that a hit allocates none.
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Entries of a Redis that were read and have not changed since.
#[derive(Debug)]
pub(crate) struct Nearby {
    near: Near<Kept>,
    begin: Instant,
}

/// An entry, or that there is none.
#[derive(Debug, Clone)]
struct Kept {
    entry: Option<(Value, Revision)>,
    /// When its time is over; `None`: never, or there is none.
    until: Option<Millis>,
}

impl Nearby {
    pub(super) fn new(config: NearConfig, counts: Counts) -> Self {
        let limits = NearLimits { bytes_max: config.bytes_max, entries_max: config.entries_max };
        Self { near: Near::new(limits, counts), begin: Instant::now() }
    }

    fn millis(&self, at: Instant) -> Millis {
        // One more than has passed: at zero there is no lease.
        Millis(u64::try_from(at.saturating_duration_since(self.begin).as_millis()).unwrap_or(u64::MAX - 1) + 1)
    }

    pub(super) fn renew(&self, until: Instant) {
        self.near.renew(self.millis(Instant::now()), self.millis(until));
    }

    pub(super) fn close(&self) {
        self.near.close();
    }

    pub(super) fn empty(&self) {
        self.near.clear();
    }

    pub(super) fn invalidate(&self, name: &[u8]) {
        self.near.invalidate(name);
    }

    /// Entries and bytes that are kept, overhead included.
    pub(crate) fn size(&self) -> (usize, u64) {
        self.near.size()
    }
}

impl Kept {
    fn entry(self, now: Millis) -> Option<Entry> {
        let (value, revision) = self.entry?;
        // What is served has not expired, so at least a millisecond is left.
        let ttl = self.until.map(|until| Duration::from_millis(until.0.saturating_sub(now.0).max(1)));
        Some(Entry { value, revision, ttl })
    }

    fn bytes(&self) -> usize {
        self.entry.as_ref().map_or(0, |(value, _)| value.bytes.len())
    }
}

/// Forgets entries when it is made and when it is dropped: what was read while they changed is old.
#[derive(Debug)]
pub(crate) struct Forgetting {
    nearby: Arc<Nearby>,
    names: Vec<String>,
}

impl Forgetting {
    fn new(nearby: Arc<Nearby>, names: Vec<String>) -> Self {
        let forgetting = Self { nearby, names };
        forgetting.forget();
        forgetting
    }

    fn forget(&self) {
        for name in &self.names {
            self.nearby.near.forget(name.as_bytes());
        }
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Redis {
    /// To be held while these entries are changed from here.
    pub(crate) fn forgetting(&self, space: &Namespace, keys: &[Key]) -> Option<Forgetting> {
        let nearby = self.tracking.nearby()?;
        Some(Forgetting::new(Arc::clone(nearby), keys.iter().map(|key| entry_name(space, key)).collect()))
    }

    /// What is kept here, if anything is.
    pub(crate) fn nearby(&self) -> Option<&Arc<Nearby>> {
        self.tracking.nearby()
    }

    /// An entry that is kept here; `None`: it has to be asked for. Allocates nothing.
    pub(crate) fn hit(&self, space: &Namespace, key: &Key) -> Option<Option<Entry>> {
        let nearby = self.tracking.nearby()?;
        let now = nearby.millis(Instant::now());
        NAME.with_borrow_mut(|name| {
            name.clear();
            write_entry_name(space, key, name);
            nearby.near.get(name.as_bytes(), now)
        })
        .map(|kept| kept.entry(now))
    }

    /// One entry that was not kept here a moment ago. `Ok(None)`: it has to be read from the store, and cannot be kept.
    ///
    /// # Cancel safety
    /// Nothing is left behind; who waits for this reader's answer reads on its own.
    pub(crate) async fn near_entry(&self, shared: &Shared, space: &Namespace, key: &Key) -> Result<Option<Option<Entry>>, ReadError> {
        let Some(nearby) = self.tracking.nearby() else { return Ok(None) };
        let name = entry_name(space, key);
        // Boxed, so that nobody who reads pays for the size of a miss.
        Box::pin(self.fill(shared, nearby, name.as_bytes(), space, key)).await
    }

    async fn fill(
        &self,
        shared: &Shared,
        nearby: &Nearby,
        name: &[u8],
        space: &Namespace,
        key: &Key,
    ) -> Result<Option<Option<Entry>>, ReadError> {
        loop {
            let now = nearby.millis(Instant::now());
            match nearby.near.begin(name, now) {
                Begin::Hit(kept) => return Ok(Some(kept.entry(now))),
                Begin::Bypass => return Ok(None),
                Begin::Wait(wait) => match timeout(self.response_timeout, wait.value()).await {
                    Ok(Some(kept)) => return Ok(Some(kept.entry(nearby.millis(Instant::now())))),
                    Ok(None) => {}
                    // Whoever fills is not polled, or waits for a server that is silent.
                    Err(_) => return Ok(None),
                },
                Begin::Fill(fill) => {
                    let Some((kept, expires)) = self.read_closely(shared, nearby, space, key).await? else { return Ok(None) };
                    let bytes = kept.bytes();
                    fill.finish(kept.clone(), bytes, expires);
                    return Ok(Some(kept.entry(nearby.millis(Instant::now()))));
                }
            }
        }
    }

    /// Reads over the connection on which the node tells what changes. `None`: it answers no such question now.
    async fn read_closely(
        &self,
        shared: &Shared,
        nearby: &Nearby,
        space: &Namespace,
        key: &Key,
    ) -> Result<Option<(Kept, Millis)>, ReadError> {
        let Some(node) = self.caller.topology.node_of(slot_of(space)) else { return Ok(None) };
        let asked = Instant::now();
        let answer = self.tracking.read(&node, &get(space, key)).await;
        // An error is looked into on the way that every other read takes.
        let Some(Ok(value)) = answer else { return Ok(None) };
        let most = nearby.millis(asked + KEPT_MAX);
        let Some(stored) = stored(value, &node).await? else {
            return Ok(Some((Kept { entry: None, until: None }, most)));
        };
        let until = stored.ttl.map(|ttl| nearby.millis(Instant::now() + ttl));
        let Some(value) = shared.values(vec![stored.record]).await?.pop() else { return Ok(None) };
        Ok(Some((Kept { entry: Some((value?, stored.revision)), until }, until.map_or(most, |until| until.min(most)))))
    }

    /// Lets a watch know of the next change by the connection on which the node tells; false: it cannot.
    pub(super) async fn watch_closely(&self, space: &Namespace) -> bool {
        let Some(node) = self.caller.topology.node_of(slot_of(space)) else { return false };
        let mut question = redis::cmd("HGET");
        question.arg(super::entries::part_name(space, 'v')).arg("n");
        matches!(self.tracking.read(&node, &question).await, Some(Ok(_)))
    }
}
