//! The subscribers' sockets, and the topic's own subscription on the bus, which lasts as long as any of them wants something.
//!
//! Other machines send a topic's messages only to those on whose bus it is subscribed to, so a subscription without a subscriber would cost the
//! link between them. It begins inside the call that takes the first subscription and ends inside the one that takes the last away; those in between
//! touch the bus not at all, and what is delivered meanwhile is delivered by one and the same subscription.

use std::sync::Arc;

use bytes::Bytes;
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{InlineSubscription, Pressure};
use parking_lot::Mutex;
use tracing::error;

use super::super::RouteContext;
use super::subscribers::{Changed, Handler, Subscribers};
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// The sockets' side of a topic's subscribers. The bus holds only the other side, so neither keeps the other alive.
#[derive(Debug)]
pub(super) struct Audience {
    context: RouteContext,
    subject: Subject,
    subscribers: Arc<Subscribers>,
    /// Taken before the table of subscribers is changed, so that the subscription on the bus follows the changes in their order. Deliveries never take
    /// it.
    on_bus: Mutex<OnBus>,
}

#[derive(Debug)]
enum OnBus {
    Away {
        /// That the bus refuses is said once.
        is_told: bool,
    },
    There(#[expect(dead_code, reason = "held for its drop")] InlineSubscription),
    /// For good.
    Closed,
}

impl Audience {
    pub(super) fn new(context: &RouteContext, subject: Subject) -> Self {
        Self { context: context.clone(), subject, subscribers: Arc::default(), on_bus: Mutex::new(OnBus::Away { is_told: false }) }
    }

    /// Subscribers that are connected.
    pub(super) fn connected(&self) -> usize {
        self.subscribers.len()
    }

    /// Leaves the bus for good.
    pub(super) fn close(&self) {
        let left = std::mem::replace(&mut *self.on_bus.lock(), OnBus::Closed);
        drop(left);
    }

    /// Makes a change among the subscribers, and joins or leaves the bus as that wants it.
    fn change(&self, change: impl FnOnce(&Subscribers) -> Changed) {
        let mut on_bus = self.on_bus.lock();
        let Changed { is_refused, is_wanted } = change(&self.subscribers);
        match (&*on_bus, is_wanted) {
            (OnBus::Away { is_told }, true) => *on_bus = self.join(*is_told),
            (OnBus::There(_), false) => *on_bus = OnBus::Away { is_told: false },
            (OnBus::Away { .. }, false) | (OnBus::There(_), true) | (OnBus::Closed, _) => {}
        }
        drop(on_bus);
        if is_refused {
            self.context.metrics.subscriptions_refused.inc();
        }
    }

    fn join(&self, is_told: bool) -> OnBus {
        match self.context.bus.subscribe_inline(&self.subject.clone().into(), None, Handler(Arc::clone(&self.subscribers))) {
            Ok(subscription) => OnBus::There(subscription),
            Err(error) => {
                if !is_told {
                    error!(topic = %self.subject, %error, "the bus refuses the topic, its subscribers get nothing");
                }
                OnBus::Away { is_told: true }
            }
        }
    }
}

impl PeerHandler for Audience {
    fn connected(&self, peer: &Arc<Peer>) {
        self.subscribers.add(peer);
    }

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        // An XSUB may talk upstream; nobody here listens to that.
        None
    }

    fn subscription(&self, peer: &Arc<Peer>, change: SubscriptionChange, prefix: Bytes) {
        self.change(|subscribers| match change {
            SubscriptionChange::Subscribe => subscribers.subscribe(peer, &prefix),
            SubscriptionChange::Cancel => subscribers.cancel(peer, &prefix),
        });
    }

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        self.change(|subscribers| subscribers.remove(peer));
    }
}
