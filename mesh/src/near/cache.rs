//! The table, its bounds, its lease.

use super::counts::Counts;
use super::flight::{Begin, Fill, Wait};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Milliseconds on a monotonic clock of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

/// What the cache may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NearLimits {
    /// Keys, values and the overhead of keeping them.
    pub(crate) bytes_max: usize,
    /// Entries.
    pub(crate) entries_max: usize,
}

/// A bounded table of values that somebody else may change.
#[derive(Debug)]
pub(crate) struct Near<V> {
    values: Cache<Arc<[u8]>, Kept<V>, Weight, DefaultHashBuilder, Evicted>,
    /// Every change of the table except a hit goes through this lock, so that keeping a value and voiding its ticket exclude each other.
    flights: Mutex<Flights<V>>,
    /// Hits are served before this moment.
    lease: AtomicU64,
    counts: Counts,
}

#[derive(Debug)]
struct Flights<V> {
    running: HashMap<Arc<[u8]>, Flight<V>>,
    next: u64,
}

/// A fill that runs: its ticket, and where its value lands.
#[derive(Debug)]
struct Flight<V> {
    ticket: u64,
    landed: watch::Receiver<Option<V>>,
}

#[derive(Debug, Clone)]
struct Kept<V> {
    value: V,
    bytes: usize,
    expires: Millis,
}

/// What an entry costs beyond its key and value: the slab's slot, the table's slot, two reference counts and the ghost it may leave.
const OVERHEAD_BYTES: usize = 192;
/// Locks of the table. More would only make the largest value that fits into one of them smaller.
const SHARDS_MAX: usize = 16;
/// A shard smaller than this turns away values that a user would expect to be kept.
const SHARD_BYTES_MIN: usize = 4 << 20;

impl<V: Clone + Send + Sync> Near<V> {
    /// An empty cache without a lease: nothing is served before [`Near::renew`].
    ///
    /// # Panics
    /// When a limit is zero.
    pub(crate) fn new(limits: NearLimits, counts: Counts) -> Self {
        assert!(limits.bytes_max > 0 && limits.entries_max > 0, "a near cache of nothing is none: do not make one");
        let shards = (limits.bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(limits.entries_max)
            // The table rounds each shard's share up; what it rounds up is taken off here.
            .weight_capacity(wide(limits.bytes_max.saturating_sub(SHARDS_MAX)).max(1))
            .build()
            .expect("both capacities are given");
        let weight = Weight { least: wide(limits.bytes_max.div_ceil(limits.entries_max)) };
        let values = Cache::with_options(options, weight, DefaultHashBuilder::default(), Evicted(counts.clone()));
        let flights = Mutex::new(Flights { running: HashMap::new(), next: 0 });
        Self { values, flights, lease: AtomicU64::new(0), counts }
    }

    /// The value of a key, when it is here, has not expired, and the lease holds.
    pub(crate) fn get(&self, key: &[u8], now: Millis) -> Option<V> {
        let value = self.look(key, now);
        match value {
            Some(_) => self.counts.hits.inc(),
            None => self.counts.misses.inc(),
        };
        value
    }

    fn look(&self, key: &[u8], now: Millis) -> Option<V> {
        if now.0 >= self.lease.load(Ordering::Acquire) {
            return None;
        }
        let kept = self.values.get(key)?;
        (now < kept.expires).then_some(kept.value)
    }

    /// After a miss: fill, or wait for who does.
    pub(crate) fn begin(&self, key: &[u8], now: Millis) -> Begin<'_, V> {
        let mut flights = self.flights.lock();
        if now.0 >= self.lease.load(Ordering::Acquire) {
            return Begin::Bypass;
        }
        if let Some(value) = self.look(key, now) {
            self.counts.hits.inc();
            return Begin::Hit(value);
        }
        if let Some(flight) = flights.running.get(key) {
            return Begin::Wait(Wait(flight.landed.clone()));
        }
        let key: Arc<[u8]> = key.into();
        let (landed, waiting) = watch::channel(None);
        let ticket = flights.next;
        flights.next += 1;
        flights.running.insert(Arc::clone(&key), Flight { ticket, landed: waiting });
        Begin::Fill(Fill { near: self, key, ticket, landed })
    }

    /// The server says that a key changed: forgets it, and voids the fill that runs for it.
    pub(crate) fn invalidate(&self, key: &[u8]) {
        self.counts.invalidations.inc();
        self.forget(key);
    }

    /// Forgets a key, and voids the fill that runs for it.
    pub(crate) fn forget(&self, key: &[u8]) {
        let mut flights = self.flights.lock();
        flights.running.remove(key);
        self.values.remove(key);
    }

    /// Forgets everything, voids every fill, and serves nothing until the lease is renewed.
    pub(crate) fn close(&self) {
        let mut flights = self.flights.lock();
        self.lease.store(0, Ordering::Release);
        self.empty(&mut flights);
    }

    /// Forgets everything and voids every fill.
    pub(crate) fn clear(&self) {
        self.empty(&mut self.flights.lock());
    }

    /// Extends the lease to `until`. A lease that had lapsed by `now` begins with an empty cache.
    pub(crate) fn renew(&self, now: Millis, until: Millis) {
        let mut flights = self.flights.lock();
        let lease = self.lease.load(Ordering::Acquire);
        if now.0 >= lease {
            self.empty(&mut flights);
        }
        self.lease.store(lease.max(until.0), Ordering::Release);
    }

    fn empty(&self, flights: &mut Flights<V>) {
        flights.running.clear();
        if !self.values.is_empty() {
            self.counts.emptied.inc();
        }
        self.values.clear();
    }

    /// Keeps what a fill has read, if its ticket is good.
    pub(super) fn keep(&self, key: &Arc<[u8]>, ticket: u64, value: V, bytes: usize, expires: Millis) -> bool {
        let flights = self.flights.lock();
        let good = flights.running.get(key).is_some_and(|flight| flight.ticket == ticket);
        if good {
            self.values.insert(Arc::clone(key), Kept { value, bytes, expires });
        } else {
            self.counts.overtaken.inc();
        }
        good
    }

    /// How full it is: entries, and bytes with overhead.
    pub(crate) fn size(&self) -> (usize, u64) {
        (self.values.len(), self.values.weight())
    }
}

impl<V> Near<V> {
    /// The end of a fill, with or without a value.
    pub(super) fn land(&self, key: &[u8], ticket: u64) {
        let mut flights = self.flights.lock();
        // A voided fill may have a successor by now, which stays.
        if flights.running.get(key).is_some_and(|flight| flight.ticket == ticket) {
            flights.running.remove(key);
        }
    }
}

/// Bytes of an entry, and at least its share of the bound on entries.
#[derive(Debug, Clone, Copy)]
struct Weight {
    least: u64,
}

impl<V> Weighter<Arc<[u8]>, Kept<V>> for Weight {
    fn weight(&self, key: &Arc<[u8]>, kept: &Kept<V>) -> u64 {
        wide(key.len() + kept.bytes + OVERHEAD_BYTES).max(self.least)
    }
}

#[derive(Debug, Clone)]
struct Evicted(Counts);

impl<V> Lifecycle<Arc<[u8]>, Kept<V>> for Evicted {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Arc<[u8]>, _: Kept<V>) {
        self.0.evictions.inc();
    }
}

const fn wide(bytes: usize) -> u64 {
    bytes as u64
}
