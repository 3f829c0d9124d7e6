//! What travels: a message as its receiver owns it, and a delivery as a handler borrows it.

use bytes::Bytes;

use crate::reply::ReplyTo;
use crate::wire::{self, Body, Subject};
use crate::{Bus, Pressure, Published};

/// One message.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it was published to, always concrete.
    pub subject: Subject,
    /// Where a reply goes, if the sender waits for one.
    pub reply: Option<ReplyTo>,
    /// Facts about the message, if its sender stated any. Boxed, because most messages have none.
    pub meta: Option<Box<Meta>>,
    /// The payload, opaque.
    pub body: Body,
}

/// Facts about a message that are not its payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Names and values, in the order of the sender; a name may occur more than once.
    pub headers: Vec<(Box<str>, Bytes)>,
    /// Id, source, kind, time, correlation and trace, and the headers that travel with them inside an envelope. Passed on unchanged.
    pub envelope: Option<Box<wire::Meta>>,
}

impl From<wire::Meta> for Meta {
    fn from(envelope: wire::Meta) -> Self {
        Self { headers: Vec::new(), envelope: Some(Box::new(envelope)) }
    }
}

impl Message {
    /// A message without reply and meta.
    pub fn new(subject: Subject, body: impl Into<Body>) -> Self {
        Self { subject, reply: None, meta: None, body: body.into() }
    }

    /// Answers the sender. Does nothing if it waits for no reply.
    pub fn respond(&self, bus: &Bus, body: impl Into<Body>) {
        if let Some(reply) = &self.reply {
            reply.respond(bus, body.into());
        }
    }

    /// The same message as a borrowed delivery of one body.
    pub fn as_delivery(&self) -> Delivery<'_> {
        Delivery {
            subject: &self.subject,
            reply: self.reply.as_ref(),
            meta: self.meta.as_deref(),
            bodies: std::slice::from_ref(&self.body),
        }
    }
}

impl Meta {
    /// The first value of a header, those beside the envelope first; names are compared byte for byte.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let beside = self.headers.iter().map(|(name, value)| (&**name, value));
        let enclosed = self.envelope.iter().flat_map(|envelope| envelope.headers.iter());
        beside.chain(enclosed).find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

/// One published batch, borrowed for the time of a call. What a handler keeps it clones, which counts references.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// What the batch was published to.
    pub subject: &'a Subject,
    /// Where replies go; each body of the batch expects its own.
    pub reply: Option<&'a ReplyTo>,
    /// Facts about the messages, if their sender stated any.
    pub meta: Option<&'a Meta>,
    /// The payloads, in order; never empty.
    pub bodies: &'a [Body],
}

impl<'a> Delivery<'a> {
    /// The same delivery with one body of it.
    pub fn only(self, body: &'a Body) -> Self {
        Self { bodies: std::slice::from_ref(body), ..self }
    }

    /// A message of its own for one body of the batch.
    pub fn to_message(&self, body: &Body) -> Message {
        Message {
            subject: self.subject.clone(),
            reply: self.reply.cloned(),
            meta: self.meta.map(|meta| Box::new(meta.clone())),
            body: body.clone(),
        }
    }
}

/// One message whose body its last receiver may keep, so that a message with one receiver is moved and not cloned: the first clone of a
/// body that has its bytes for itself allocates the count of its references.
#[derive(Debug)]
pub(crate) struct Offer<'a> {
    /// Borrowed, because the usual publisher has one for all its messages.
    pub(crate) subject: &'a Subject,
    pub(crate) reply: Option<ReplyTo>,
    pub(crate) meta: Option<Box<Meta>>,
    pub(crate) body: Body,
}

impl<'a> Offer<'a> {
    pub(crate) fn new(subject: &'a Subject, body: Body) -> Self {
        Self { subject, reply: None, meta: None, body }
    }

    /// The same message for a receiver that is not the last.
    pub(crate) fn as_delivery(&self) -> Delivery<'_> {
        Delivery { subject: self.subject, reply: self.reply.as_ref(), meta: self.meta.as_deref(), bodies: std::slice::from_ref(&self.body) }
    }
}

/// What an engine made of an offer inside the call.
#[derive(Debug)]
pub(crate) enum Offered<'a> {
    Taken(Published),
    /// It may have to wait before it can take the message.
    Waits(Offer<'a>),
}

/// Takes deliveries inside the publisher's own call, without queue or wakeup: the way of bridges and listeners.
///
/// A handler must not block and should not panic: it runs in the task of whoever publishes, and a panic ends that task. It may publish, but
/// nothing that leads back to itself. After its [`InlineSubscription`](crate::InlineSubscription) is dropped, a call that had already begun on
/// another thread may still end.
pub trait InlineHandler: Send + Sync + 'static {
    /// Takes one batch. Returns pressure when a queue with policy `block` behind this handler is over its bound; the publisher waits before it
    /// publishes more.
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure>;

    /// How much waits behind this handler, in any unit that the members of one queue group share: the member with the least gets the next
    /// message. `usize::MAX` means that it takes no more, and a group of such members counts as no receiver.
    fn load(&self) -> usize {
        0
    }

    /// Whether a request would have to wait behind this handler. On a bus with a link to other machines, requests whose responders here are all busy
    /// are offered to those elsewhere first.
    fn is_busy(&self) -> bool {
        false
    }
}

/// So that a plain function can be a handler that never holds its publisher back.
impl<F> InlineHandler for F
where
    F: Fn(Delivery<'_>) + Send + Sync + 'static,
{
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        self(delivery);
        None
    }
}
