//! The connection of a node that reads of single entries share.
//!
//! Such a read takes a few microseconds, of which a pool's bookkeeping would be a tenth. So each call borrows one of a stack of clones of one connection,
//! which costs a lock taken twice and no clock, and how many are borrowed is counted.

use super::address::Address;
use super::dial::Dial;
use super::link::{Lease, Links};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One connection, lent to so many calls at once.
#[derive(Debug)]
pub(super) struct Quick {
    links: Links,
    idle: Mutex<Vec<Lease>>,
    lent: AtomicUsize,
    lent_max: usize,
    is_closed: AtomicBool,
}

/// A place among the calls, and the connection.
#[derive(Debug)]
pub(super) struct QuickLease<'a> {
    quick: &'a Quick,
    /// There until it is dropped.
    lease: Option<Lease>,
}

impl Quick {
    pub(super) fn new(address: Address, dial: Dial, lent_max: usize) -> Self {
        let lent_max = lent_max.max(1);
        Self {
            links: Links::new(address, dial, 1),
            idle: Mutex::default(),
            lent: AtomicUsize::new(0),
            lent_max,
            is_closed: AtomicBool::new(false),
        }
    }

    /// The connection, if nobody has to be waited for but who connects.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn lease(&self) -> Option<QuickLease<'_>> {
        if self.is_closed.load(Ordering::Acquire) {
            return None;
        }
        // Counted first, and given back by the drop of the lease, however it ends.
        let mut place = QuickLease { quick: self, lease: None };
        if self.lent.fetch_add(1, Ordering::Relaxed) >= self.lent_max {
            return None;
        }
        loop {
            let idle = self.idle.lock().pop();
            match idle {
                Some(lease) if self.links.is_current(&lease) => place.lease = Some(lease),
                // Of a connection that has ended.
                Some(_) => continue,
                None => place.lease = Some(self.links.lend().await.ok()?),
            }
            return Some(place);
        }
    }

    /// Lets go of the connection; calls under way keep it until they end.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.links.close();
        self.idle.lock().clear();
    }
}

impl QuickLease<'_> {
    pub(super) fn connection(&mut self) -> Option<&mut MultiplexedConnection> {
        self.lease.as_mut().map(|lease| &mut lease.connection)
    }

    /// The connection has ended, or no longer answers.
    pub(super) fn lost(&self) {
        if let Some(lease) = &self.lease {
            self.quick.links.lost(lease);
        }
    }
}

impl Drop for QuickLease<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // Asked under the lock: who closes sets it before, and clears after.
            let mut idle = self.quick.idle.lock();
            if !self.quick.is_closed.load(Ordering::Acquire) && self.quick.links.is_current(&lease) {
                idle.push(lease);
            }
        }
        self.quick.lent.fetch_sub(1, Ordering::Relaxed);
    }
}
