//! A message as it waits.
//!
//! Invariant: **named once.** The first message of a run of one subject names it, the others are read in its order and have the name from it. The
//! count of a subject's references would otherwise change hands between publisher and receiver with every message.

use crate::message::Offer;
use crate::reply::ReplyTo;
use crate::wire::{Body, Subject};
use crate::{Delivery, Message, Meta};

#[derive(Debug)]
pub(crate) struct Item {
    /// `None`: that of the message before.
    pub(super) subject: Option<Subject>,
    pub(super) reply: Option<ReplyTo>,
    pub(super) meta: Option<Box<Meta>>,
    pub(super) body: Body,
}

impl Item {
    /// One body of a batch that others look at too. The queue sets the subject.
    pub(super) fn lent(delivery: &Delivery<'_>, body: &Body) -> Self {
        let meta = delivery.meta.map(|meta| Box::new(meta.clone()));
        Self { subject: None, reply: delivery.reply.cloned(), meta, body: body.clone() }
    }

    /// A message that is given away. The queue sets the subject.
    pub(super) fn given(offer: Offer<'_>) -> Self {
        Self { subject: None, reply: offer.reply, meta: offer.meta, body: offer.body }
    }

    /// The message; `subject` is that of the one read before.
    pub(super) fn into_message(self, subject: &mut Option<Subject>) -> Message {
        if self.subject.is_some() {
            *subject = self.subject;
        }
        let subject = subject.clone().expect("the first message of a queue names its subject");
        Message { subject, reply: self.reply, meta: self.meta, body: self.body }
    }
}

/// Whether both are references to one and the same name. Compares no bytes: reading them would fetch the count of references beside them.
pub(super) fn is_same(a: &Subject, b: &Subject) -> bool {
    std::ptr::eq(a.as_str(), b.as_str())
}
