//! Where messages for the workers of this process come to: one subscription, one number per request.
//!
//! Invariant: a message that comes is in a worker's hands or given back. Nobody may wait for it any more: a worker's future that is dropped
//! gives back what had come for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::super::api::STATUS;
use super::{give_back, told};
use crate::bus::Shared;
use crate::wire::{Filter, Subject};
use crate::{Bus, Delivery, InlineHandler, InlineSubscription, Message, Pressure, ReplyTo, SubscribeError};

/// Most messages of one request, which the sidecar has too.
pub(super) const MESSAGES_MAX: usize = 4_096;

#[derive(Debug)]
pub(super) struct Inbox {
    prefix: Box<str>,
    calls: Mutex<HashMap<u64, mpsc::Sender<Message>>>,
    next: AtomicU64,
    shared: Weak<Shared>,
    subscription: Mutex<Option<InlineSubscription>>,
}

/// The subscription's end of an inbox. Weak, because the inbox has the subscription.
#[derive(Debug)]
struct Intake(Weak<Inbox>);

/// One request and what has come for it. Dropped, it gives everything back that was not taken.
#[derive(Debug)]
pub(super) struct Call {
    inbox: Arc<Inbox>,
    number: u64,
    /// As many places as messages were asked for, and one for the end: so that there is always one.
    coming: mpsc::Receiver<Message>,
    come: Vec<Message>,
}

impl Inbox {
    pub(super) fn open(bus: &Bus) -> Result<Arc<Self>, SubscribeError> {
        let inbox = Arc::new(Self {
            prefix: format!("_INBOX.w{:016x}.", fastrand::u64(..)).into(),
            calls: Mutex::default(),
            next: AtomicU64::new(0),
            shared: bus.downgrade(),
            subscription: Mutex::new(None),
        });
        let filter = Filter::new(&format!("{}*", inbox.prefix)).expect("a legal prefix");
        let subscription = bus.subscribe_inline(&filter, None, Intake(Arc::downgrade(&inbox)))?;
        // The bus has the inbox.
        *inbox.subscription.lock() = Some(subscription.into_own());
        Ok(inbox)
    }

    pub(super) fn call(inbox: &Arc<Self>, messages_max: usize) -> Call {
        let number = inbox.next.fetch_add(1, Ordering::Relaxed);
        let (sender, coming) = mpsc::channel(messages_max.min(MESSAGES_MAX) + 1);
        inbox.calls.lock().insert(number, sender);
        Call { inbox: Arc::clone(inbox), number, coming, come: Vec::new() }
    }

    fn take(&self, message: Message) {
        let number = message.subject.as_str().strip_prefix(&*self.prefix).and_then(|number| number.parse().ok());
        let call = number.and_then(|number: u64| self.calls.lock().get(&number).cloned());
        let refused = match call {
            Some(call) => call.try_send(message).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(message),
        };
        if let Some(message) = refused {
            self.give_back(&message);
        }
    }

    fn give_back(&self, message: &Message) {
        let (Some(shared), Some(ReplyTo::Subject(settle))) = (self.shared.upgrade(), &message.reply) else { return };
        give_back(&Bus::from_shared(shared), settle);
    }
}

impl InlineHandler for Intake {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let inbox = self.0.upgrade()?;
        for body in delivery.bodies {
            inbox.take(delivery.to_message(body));
        }
        None
    }

    fn load(&self) -> usize {
        0
    }
}

impl Call {
    /// Where answers go.
    pub(super) fn address(&self) -> ReplyTo {
        let Self { inbox, number, .. } = self;
        ReplyTo::Subject(Subject::new(&format!("{}{number}", inbox.prefix)).expect("a legal prefix and a number"))
    }

    /// Waits for one message and keeps it; returns the one that ends the answer.
    pub(super) async fn next(&mut self) -> Option<Message> {
        let message = self.coming.recv().await?;
        let is_last = message.meta.as_ref().is_some_and(|meta| meta.header(STATUS).is_some()) || told::is_no_responders(&message);
        if is_last {
            return Some(message);
        }
        self.come.push(message);
        None
    }

    /// What came, now in the caller's hands.
    pub(super) fn take(mut self) -> Vec<Message> {
        std::mem::take(&mut self.come)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // Nothing comes from here on; what came and was not taken is given back.
        self.inbox.calls.lock().remove(&self.number);
        self.coming.close();
        while let Ok(message) = self.coming.try_recv() {
            self.come.push(message);
        }
        for message in std::mem::take(&mut self.come) {
            self.inbox.give_back(&message);
        }
    }
}
