//! What a client's operations do: the synchronous core of a connection.
//!
//! Consecutive messages to one subject are handed to the bus as one batch, so a flood costs its receivers one lock and one write per read.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;

use super::client::{Client, Sid};
use super::delivery::{ClientSubscription, Deliverer, tell_no_responders};
use super::protocol::{
    ConnectOptions, OK, Operation, PONG, Parsed, ProtocolError, Publish, Subscribe, Unsubscribe, error_line, parse, read_block,
};
use super::{ListenerConfig, ListenerMetrics, origin};
use crate::wire::{Body, Filter, QueueGroup, Subject};
use crate::{Bus, Delivery, InlineSubscription, Meta, Pressure, Published, Publisher, ReplyTo, SubscribeError, payload};

/// Bytes of one batch: what a read brings, unless its messages are large.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Subjects whose receivers a session remembers. A client with more in rotation pays a walk through the router for the rest.
const PUBLISHERS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Session {
    bus: Bus,
    client: Arc<Client>,
    options: ConnectOptions,
    subscriptions: HashMap<Sid, Held>,
    publishers: HashMap<Box<[u8]>, Publisher>,
    /// Kept for its memory; empty between reads.
    bodies: Vec<Body>,
    subscriptions_max: usize,
    payload_bytes_max: usize,
    metrics: ListenerMetrics,
}

#[derive(Debug)]
struct Held {
    filter: Filter,
    subscription: Arc<ClientSubscription>,
    /// Unsubscribes when dropped.
    _claim: InlineSubscription,
}

/// How far a read got.
#[derive(Debug)]
pub(super) struct Progress {
    /// Bytes of complete operations.
    pub(super) consumed: usize,
    /// Bytes, from the first that was not consumed, with which it makes sense to go on.
    pub(super) wanted: usize,
    /// Whom to wait for before reading on.
    pub(super) pressure: Option<Pressure>,
    /// The client broke the protocol behind what was consumed.
    pub(super) error: Option<ProtocolError>,
}

/// Consecutive messages to one subject.
struct Run<'a> {
    subject: &'a [u8],
    bytes: usize,
}

impl Session {
    pub(super) fn new(bus: Bus, client: Arc<Client>, config: &ListenerConfig) -> Self {
        let payload_bytes_max = config.payload_bytes_max.min(bus.payload_bytes_max());
        Self {
            bus,
            client,
            options: ConnectOptions::default(),
            subscriptions: HashMap::new(),
            publishers: HashMap::new(),
            bodies: Vec::new(),
            subscriptions_max: config.subscriptions_max,
            payload_bytes_max,
            metrics: config.metrics.clone(),
        }
    }

    /// Largest payload that this session takes; clients are told.
    pub(super) fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    /// Carries out every complete operation in `chunk`.
    pub(super) fn read(&mut self, chunk: &Bytes) -> Progress {
        let mut progress = Progress { consumed: 0, wanted: 1, pressure: None, error: None };
        let mut published = Published::default();
        let mut run: Option<Run<'_>> = None;
        while progress.consumed < chunk.len() {
            let operation = match parse(&chunk[progress.consumed..], self.payload_bytes_max) {
                Ok(Parsed::Complete { operation, consumed }) => {
                    progress.consumed += consumed;
                    operation
                }
                Ok(Parsed::Incomplete { wanted }) => {
                    progress.wanted = wanted;
                    break;
                }
                Err(error) => {
                    progress.error = Some(error);
                    break;
                }
            };
            if let Some((subject, body)) = self.plain(chunk, operation) {
                let joins = run.as_ref().is_some_and(|run| run.subject == subject && run.bytes < BATCH_BYTES_MAX);
                if !joins {
                    self.finish(run.take(), &mut published);
                }
                run.get_or_insert(Run { subject, bytes: 0 }).bytes += body.len();
                self.bodies.push(body);
                continue;
            }
            self.finish(run.take(), &mut published);
            if let Err(error) = self.apply(chunk, operation, &mut published) {
                progress.error = Some(error);
                break;
            }
        }
        self.finish(run, &mut published);
        progress.pressure = published.pressure;
        progress
    }

    /// The message of an operation that publishes nothing but a payload and wants no answer: only such messages form batches.
    fn plain<'a>(&self, chunk: &Bytes, operation: Operation<'a>) -> Option<(&'a [u8], Body)> {
        match operation {
            Operation::Publish(Publish { subject, reply: None, headers: None, payload }) if !self.options.verbose => {
                let (meta, body) = payload::decode(chunk.slice_ref(payload), Vec::new());
                meta.is_none().then_some((subject, body))
            }
            Operation::Publish(_)
            | Operation::Connect(_)
            | Operation::Subscribe(_)
            | Operation::Unsubscribe(_)
            | Operation::Ping
            | Operation::Pong
            | Operation::Info => None,
        }
    }

    fn apply(&mut self, chunk: &Bytes, operation: Operation<'_>, published: &mut Published) -> Result<(), ProtocolError> {
        match operation {
            Operation::Publish(publish) => self.publish(chunk, publish, published)?,
            Operation::Subscribe(subscribe) => self.subscribe(subscribe),
            Operation::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Operation::Connect(json) => {
                self.options = self.options.with_json(json)?;
                self.client.set_options(self.options.headers, self.options.echo);
                self.say_ok();
            }
            Operation::Ping => self.client.say(PONG),
            Operation::Pong | Operation::Info => {}
        }
        Ok(())
    }

    fn say_ok(&self) {
        if self.options.verbose {
            self.client.say(OK);
        }
    }

    /// Hands the collected messages of a run to the bus.
    fn finish(&mut self, run: Option<Run<'_>>, published: &mut Published) {
        let Some(run) = run else { return };
        let bodies = std::mem::take(&mut self.bodies);
        match self.dispatch(run.subject, None, None, &bodies) {
            Some((_, pressure)) => published.press(pressure),
            None => self.refuse_subject("Invalid Publish Subject", bodies.len()),
        }
        self.bodies = bodies;
        self.bodies.clear();
    }

    /// A message with a reply subject or headers, or of a client that wants an answer to each.
    fn publish(&mut self, chunk: &Bytes, publish: Publish<'_>, published: &mut Published) -> Result<(), ProtocolError> {
        let headers = match publish.headers {
            Some(_) if !self.options.headers => return Err(ProtocolError::HeadersUnsupported),
            Some(block) => read_block(&chunk.slice_ref(block))?,
            None => Vec::new(),
        };
        let (meta, body) = payload::decode(chunk.slice_ref(publish.payload), headers);
        let Ok(reply) = publish.reply.map(Subject::from_utf8).transpose() else {
            self.refuse_subject("Invalid Publish Subject", 1);
            return Ok(());
        };
        let address = reply.clone().map(ReplyTo::Subject);
        let Some((receivers, pressure)) = self.dispatch(publish.subject, address.as_ref(), meta.as_deref(), &[body]) else {
            self.refuse_subject("Invalid Publish Subject", 1);
            return Ok(());
        };
        published.press(pressure);
        self.say_ok();
        if let Some(reply) = reply
            && receivers == 0
            && self.options.no_responders
        {
            self.tell_no_responders(&reply);
        }
        Ok(())
    }

    /// Returns the receivers and whom to wait for; `None` for what is no subject.
    fn dispatch(
        &mut self,
        subject: &[u8],
        reply: Option<&ReplyTo>,
        meta: Option<&Meta>,
        bodies: &[Body],
    ) -> Option<(usize, Option<Pressure>)> {
        if let Some(publisher) = self.publishers.get(subject) {
            return Some(self.as_origin(publisher.subject(), || publisher.dispatch(reply, meta, bodies)));
        }
        let name = Subject::from_utf8(subject).ok()?;
        // A reply subject is used once: remembering it would push out the ones in use.
        if subject.starts_with(b"_INBOX.") {
            let delivery = Delivery { subject: &name, reply, meta, bodies };
            return Some(self.as_origin(&name, || self.bus.dispatch(delivery)));
        }
        if self.publishers.len() == PUBLISHERS_MAX {
            self.publishers.clear();
        }
        let publisher = self.publishers.entry(subject.into()).or_insert(self.bus.publisher(name));
        let publisher = &*publisher;
        Some(as_origin(&self.client, publisher.subject(), || publisher.dispatch(reply, meta, bodies)))
    }

    fn as_origin(&self, subject: &Subject, publish: impl FnOnce() -> Published) -> (usize, Option<Pressure>) {
        as_origin(&self.client, subject, publish)
    }

    fn tell_no_responders(&self, reply: &Subject) {
        if let Some((sid, _)) = self.subscriptions.iter().find(|(_, held)| held.filter.matches(reply)) {
            tell_no_responders(&self.client, reply, sid);
        }
    }

    /// As nats-server: only a pedantic client is told, since clients take an error line for the end of the connection.
    fn refuse_subject(&self, text: &str, messages: usize) {
        self.metrics.invalid_subjects.inc_by(messages as u64);
        if self.options.pedantic {
            self.client.say(&error_line(text));
        }
    }

    fn subscribe(&mut self, subscribe: Subscribe<'_>) {
        self.forget_exhausted();
        // As nats-server: the first subscription of a name stays, the second is read over.
        if self.subscriptions.contains_key(subscribe.sid) {
            return self.say_ok();
        }
        let group = subscribe.group.map(QueueGroup::from_utf8).transpose();
        let (Ok(filter), Ok(group)) = (Filter::from_utf8(subscribe.filter), group) else {
            self.metrics.invalid_subjects.inc();
            return self.client.say(&error_line("Invalid Subject"));
        };
        if self.subscriptions.len() >= self.subscriptions_max {
            return self.client.say(&error_line("maximum subscriptions exceeded"));
        }
        let subscription = Arc::new(ClientSubscription::new(Arc::clone(&self.client), subscribe.sid.into()));
        match self.bus.subscribe_inline(&filter, group, Deliverer(Arc::clone(&subscription))) {
            Ok(claim) => {
                self.subscriptions.insert(subscribe.sid.into(), Held { filter, subscription, _claim: claim });
                self.say_ok();
            }
            Err(SubscribeError::TooMany { .. }) => self.client.say(&error_line("maximum subscriptions exceeded")),
            Err(SubscribeError::Closed | SubscribeError::Disconnected { .. }) => self.client.say(&error_line("Server Shutdown")),
        }
    }

    fn unsubscribe(&mut self, unsubscribe: Unsubscribe<'_>) {
        let ends_now = match self.subscriptions.get(unsubscribe.sid) {
            Some(held) => unsubscribe.max == 0 || held.subscription.limit(unsubscribe.max),
            None => false,
        };
        if ends_now {
            self.subscriptions.remove(unsubscribe.sid);
        }
        self.say_ok();
    }

    /// Removes the subscriptions that have had their last message.
    pub(super) fn forget_exhausted(&mut self) {
        for sid in self.client.take_exhausted() {
            // The name may have been taken by a new subscription since.
            if self.subscriptions.get(&sid).is_some_and(|held| held.subscription.is_exhausted()) {
                self.subscriptions.remove(&sid);
            }
        }
    }

    /// Ends every subscription.
    pub(super) fn unsubscribe_all(&mut self) {
        self.subscriptions.clear();
    }
}

/// Publishes as `client`, so that its own subscriptions are spared if it asked for that; they do not count as receivers.
fn as_origin(client: &Client, subject: &Subject, publish: impl FnOnce() -> Published) -> (usize, Option<Pressure>) {
    if client.has_echo() {
        let published = publish();
        return (published.receivers, published.pressure);
    }
    let (published, spared) = origin::publishing(client.id, subject, publish);
    (published.receivers.saturating_sub(spared), published.pressure)
}
