//! Which subscriptions of this machine the servers know.
//!
//! However many subscribe to a filter here, the servers have one subscription for it, and one for each queue group on it: a message crosses once, and
//! is spread here. Plain subscribers are on the connection that does not hear itself, because what is published here has reached them already; queue
//! groups are on the one that does, because the servers choose who gets what.

use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::Shared;
use crate::engine::{Attachment, EngineOps, Nats};
use crate::error::SubscribeError;
use crate::router::{Interest, Receiver};
use crate::wire::{Filter, QueueGroup};
use crate::{Delivery, InlineHandler, Pressure};

/// A header that a server puts on its own answers.
const STATUS: &str = "Status";

/// The servers' word that nobody serves a subject.
const NO_RESPONDERS: &[u8] = b"503";

/// Names one plain subscription among those of its filter.
pub(super) type ReceiverId = u64;

#[derive(Debug, Default)]
pub(super) struct Exports {
    plain: Mutex<HashMap<Filter, Plain>>,
    groups: Mutex<HashMap<(Filter, QueueGroup), Grouped>>,
}

type Receivers = Arc<RwLock<Vec<(ReceiverId, Receiver)>>>;

/// Plain subscribers to one filter.
struct Plain {
    receivers: Receivers,
    known_as: Attachment,
}

/// Members of one queue group on one filter.
#[derive(Debug)]
struct Grouped {
    members: usize,
    known_as: Attachment,
}

impl Exports {
    /// Makes a subscription known.
    pub(super) fn add(&self, shared: &Shared, interest: &Interest, id: ReceiverId, receiver: &Receiver) -> Result<(), SubscribeError> {
        match &interest.group {
            Some(group) => self.add_member(shared, &interest.filter, group),
            None => self.add_plain(shared, &interest.filter, (id, receiver.clone())),
        }
    }

    fn add_plain(&self, shared: &Shared, filter: &Filter, receiver: (ReceiverId, Receiver)) -> Result<(), SubscribeError> {
        let mut plain = self.plain.lock();
        if let Some(known) = plain.get(filter) {
            known.receivers.write().push(receiver);
            return Ok(());
        }
        let receivers: Receivers = Arc::new(RwLock::new(vec![receiver]));
        let arriving = PlainHandler { shared: shared.weak(), receivers: Arc::clone(&receivers) };
        let known_as = attach(&shared.main, filter, None, arriving)?;
        plain.insert(filter.clone(), Plain { receivers, known_as });
        Ok(())
    }

    fn add_member(&self, shared: &Shared, filter: &Filter, group: &QueueGroup) -> Result<(), SubscribeError> {
        let mut groups = self.groups.lock();
        let key = (filter.clone(), group.clone());
        if let Some(known) = groups.get_mut(&key) {
            known.members += 1;
            return Ok(());
        }
        let arriving = GroupHandler { shared: shared.weak(), group: group.clone() };
        let known_as = attach(&shared.groups, filter, Some(group.clone()), arriving)?;
        groups.insert(key, Grouped { members: 1, known_as });
        Ok(())
    }

    /// Makes it unknown again.
    pub(super) fn remove(&self, shared: &Shared, interest: &Interest, id: ReceiverId) {
        match &interest.group {
            Some(group) => {
                let mut groups = self.groups.lock();
                let key = (interest.filter.clone(), group.clone());
                let Some(known) = groups.get_mut(&key) else { return };
                known.members -= 1;
                if known.members == 0
                    && let Some(last) = groups.remove(&key)
                {
                    // Requests that the servers have sent here meanwhile are served here.
                    shared.groups.leave(&last.known_as);
                }
            }
            None => {
                let mut plain = self.plain.lock();
                let Some(known) = plain.get(&interest.filter) else { return };
                let mut receivers = known.receivers.write();
                receivers.retain(|(known, _)| *known != id);
                let is_last = receivers.is_empty();
                drop(receivers);
                if is_last && let Some(last) = plain.remove(&interest.filter) {
                    shared.main.detach(&last.known_as);
                }
            }
        }
    }

    pub(super) fn clear(&self) {
        self.plain.lock().clear();
        self.groups.lock().clear();
    }
}

fn attach(nats: &Nats, filter: &Filter, group: Option<QueueGroup>, handler: impl InlineHandler) -> Result<Attachment, SubscribeError> {
    nats.attach(Interest { filter: filter.clone(), group }, Receiver::Handler(Arc::new(handler)))
}

/// Takes what other machines publish.
struct PlainHandler {
    shared: Weak<Shared>,
    receivers: Receivers,
}

impl InlineHandler for PlainHandler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let shared = self.shared.upgrade()?;
        if is_no_responders(delivery) && shared.nobody_serves(delivery.subject) {
            return None;
        }
        // A wide filter here has subjects that stay on each machine.
        if shared.is_private(delivery.subject) {
            return None;
        }
        shared.arrived(delivery);
        // Copied, so that a receiver may subscribe and unsubscribe.
        let receivers: Vec<Receiver> = self.receivers.read().iter().map(|(_, receiver)| receiver.clone()).collect();
        shared.with_caller(delivery, |delivery| {
            let mut published = crate::Published::default();
            for receiver in &receivers {
                published.add(receiver.deliver(delivery));
            }
            published
        })
    }
}

/// Takes what the servers chose this machine for.
struct GroupHandler {
    shared: Weak<Shared>,
    group: QueueGroup,
}

impl InlineHandler for GroupHandler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let shared = self.shared.upgrade()?;
        shared.arrived(delivery);
        shared.with_caller(delivery, |delivery| shared.local.matched(None, delivery.subject).deliver_to_group(&self.group, delivery))
    }
}

fn is_no_responders(delivery: Delivery<'_>) -> bool {
    let status = delivery.meta.and_then(|meta| meta.headers.iter().find(|(name, _)| **name == *STATUS));
    status.is_some_and(|(_, value)| value == NO_RESPONDERS)
}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plain").field("receivers", &self.receivers.read().len()).finish_non_exhaustive()
    }
}
