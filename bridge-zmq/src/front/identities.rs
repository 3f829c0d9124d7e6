//! Who has which identity at one listener: one connection at a time, as a ROUTER of libzmq has it.
//!
//! A holder that has left while it was held back gives it up at once: nothing can be sent to it, and it may be long before the last it said is read.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{DisconnectReason, IdentityPolicy, Peer, PeerId};

/// How long a newcomer waits for the holder of its identity to be gone. A client that closes its socket and opens the next one at once is not a
/// second client: the end of the first connection is already on its way.
const LEAVING_GRACE: Duration = Duration::from_millis(100);

/// The identities of one listener's established connections; at most as many as there are connections, of at most 255 bytes each.
#[derive(Debug)]
pub(super) struct Identities {
    policy: IdentityPolicy,
    holders: Mutex<HashMap<Bytes, Holder>>,
    left: Notify,
}

#[derive(Debug)]
struct Holder {
    id: PeerId,
    peer: Weak<Peer>,
}

impl Holder {
    fn has_left(&self) -> bool {
        self.peer.upgrade().is_some_and(|peer| peer.has_left())
    }
}

/// The place of one connection in the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    identities: Arc<Identities>,
    identity: Bytes,
    id: PeerId,
}

/// Another connection has the identity, and keeps it.
#[derive(Debug)]
pub(super) struct Taken;

/// What became of the identity that a connection announced.
#[derive(Debug)]
pub(super) enum Claimed {
    /// Nothing to hold: it announced none, or identities are shared.
    Free,
    /// It is this connection's alone.
    Alone(Claim),
    /// It was another's, whose connection is closed for it.
    From(Claim),
}

impl Claimed {
    /// What is to be kept for as long as the connection lives.
    pub(super) fn into_claim(self) -> Option<Claim> {
        match self {
            Self::Free => None,
            Self::Alone(claim) | Self::From(claim) => Some(claim),
        }
    }
}

impl Identities {
    pub(super) fn new(policy: IdentityPolicy) -> Arc<Self> {
        Arc::new(Self { policy, holders: Mutex::default(), left: Notify::new() })
    }

    /// Takes the identity of `peer` for it.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub(super) async fn claim(self: &Arc<Self>, peer: &Arc<Peer>) -> Result<Claimed, Taken> {
        if peer.identity().is_empty() || self.policy == IdentityPolicy::Share {
            return Ok(Claimed::Free);
        }
        let waited = timeout(LEAVING_GRACE, async {
            loop {
                let mut left = std::pin::pin!(self.left.notified());
                // Registered before the look at the table, or a leave between the two would be missed.
                left.as_mut().enable();
                if let Some(claimed) = self.try_claim(peer) {
                    return claimed;
                }
                left.await;
            }
        });
        // A holder that leaves while it is held back tells nobody.
        waited.await.or_else(|_| self.try_claim(peer).ok_or(Taken))
    }

    fn try_claim(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<Claimed> {
        let (identity, id) = (peer.identity().clone(), peer.id());
        let claim = |identity| Claim { identities: Arc::clone(self), identity, id };
        let newcomer = Holder { id, peer: Arc::downgrade(peer) };
        match self.holders.lock().entry(identity.clone()) {
            Entry::Vacant(free) => {
                free.insert(newcomer);
                Some(Claimed::Alone(claim(identity)))
            }
            Entry::Occupied(mut taken) if taken.get().has_left() => {
                taken.insert(newcomer);
                Some(Claimed::Alone(claim(identity)))
            }
            Entry::Occupied(mut taken) if self.policy == IdentityPolicy::HandOver => {
                if let Some(former) = taken.insert(newcomer).peer.upgrade() {
                    former.close(DisconnectReason::HandedOver { to: id });
                }
                Some(Claimed::From(claim(identity)))
            }
            Entry::Occupied(_) => None,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        {
            let mut holders = self.identities.holders.lock();
            if holders.get(&self.identity).is_some_and(|holder| holder.id == self.id) {
                holders.remove(&self.identity);
            }
        }
        self.identities.left.notify_waiters();
    }
}
