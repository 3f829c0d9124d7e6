//! The handle of a bus, and what it adds to its engine.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::drain::Readers;
use crate::engine::{Embedded, Engine, EngineOps, Linked, LinkedConfig, Nats, NatsConfig};
use crate::error::{ConnectError, PublishError, RequestError, SubscribeError};
use crate::inline::Registration;
use crate::message::{Offer, Offered};
use crate::presence::Service;
use crate::replies::{Outcome, Replies, RepliesConfig};
use crate::reply::ReplyTo;
use crate::router::{Interest, Receiver, RouteCache};
use crate::streams::{self, Attached, JetStream, Streams};
use crate::subscription::Queue;
use crate::wire::{Body, Filter, QueueGroup, Subject, limits};
use crate::{
    Delivery, EmbeddedConfig, InlineHandler, InlineSubscription, Message, Metrics, Published, Publisher, SubscribeOptions, Subscription,
    turn,
};

/// A message bus. Cloning shares it; subscriptions keep it alive.
///
/// ```
/// # use std::time::Duration;
/// # use myelin_bus::{Bus, EmbeddedConfig, SubscribeOptions, wire::{Filter, Subject}};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bus = Bus::embedded(EmbeddedConfig::default());
/// let mut news = bus.subscribe(&Filter::new("news.>")?, SubscribeOptions::default()).await?;
/// bus.publish(&Subject::new("news.weather")?, "rain".into()).await?;
/// assert_eq!(news.next().await.expect("one message").body, "rain".into());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

/// One bus, whichever handle it is reached by.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) replies: Arc<Replies>,
    pub(crate) readers: Readers,
    pub(crate) metrics: Metrics,
    pub(crate) streams: Option<Arc<Streams>>,
    /// Who is there, once somebody has asked.
    pub(crate) presence: Mutex<Option<Service>>,
    stage: AtomicU8,
}

/// How far a bus is from its end. Stages only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Open,
    /// No new subscriptions and requests, of whatever origin; messages and replies still flow.
    Draining,
    /// Nothing flows.
    Closed,
}

impl Bus {
    /// A bus inside this process, without I/O and tasks of its own.
    pub fn embedded(config: EmbeddedConfig) -> Self {
        Self::embedded_streams(config, None)
    }

    pub(crate) fn embedded_streams(config: EmbeddedConfig, streams: Option<Arc<Streams>>) -> Self {
        let replies = RepliesConfig {
            requests_max: config.requests_max,
            subjects_max: config.reply_subjects_max,
            subject_ttl: config.reply_subject_ttl,
        };
        let engine = Embedded::new(config.payload_bytes_max.min(limits::PAYLOAD_BYTES_CEILING), config.subscriptions_max);
        Self::new(Engine::Embedded(engine), Arc::new(Replies::new(replies, config.metrics.clone())), config.metrics, streams)
    }

    /// A bus over a connection to a NATS server, or to the listener of another sidecar.
    ///
    /// # Errors
    /// When the URL makes no sense or nothing usable answers there.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(&NatsConfig::new([url])).await
    }

    /// As [`connect`](Self::connect), with all that can be said about a connection.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `Credentials` when their file cannot be read; `Unsupported` when the server keeps streams and is too old for
    /// ours. With [`NatsConfig::starts_without_server`] a server that comes later is not asked: what it lacks is told by who needs it.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect_with(config: &NatsConfig) -> Result<Self, ConnectError> {
        let EmbeddedConfig { reply_subjects_max, reply_subject_ttl, .. } = EmbeddedConfig::default();
        let metrics = config.metrics.clone();
        let replies = RepliesConfig { requests_max: config.requests_max, subjects_max: reply_subjects_max, subject_ttl: reply_subject_ttl };
        let replies = Arc::new(Replies::new(replies, metrics.clone()));
        let nats = Nats::connect(config, Arc::clone(&replies)).await?;
        // Our own listener never says that it has JetStream. A server without it may have a sidecar with a store behind it. Who starts without a
        // server cannot ask, and is a sidecar of a cluster.
        let has_jetstream = nats.has_jetstream() || (config.starts_without_server && !nats.is_connected());
        let jetstream = has_jetstream.then(|| JetStream::new(&nats, config.replicas)).transpose()?;
        let engine = Engine::Nats(nats);
        let (readers, stage) = (Readers::default(), AtomicU8::new(Stage::Open as u8));
        let shared = Arc::new_cyclic(|shared| {
            let attached = || Streams::Attached(Attached::new(shared.clone()));
            let streams = Some(Arc::new(jetstream.map_or_else(attached, Streams::JetStream)));
            Shared { engine, replies, readers, metrics, streams, presence: Mutex::default(), stage }
        });
        Ok(Self::from_shared(shared))
    }

    /// A bus inside this process with a link to those of other machines: what is local stays here and goes on while no server can be reached; the
    /// rest crosses by the servers, which also keep the streams. For one process per machine, which the others of that machine connect to.
    ///
    /// It returns without a server, and looks for one from then on; [`is_connected`](Self::is_connected) tells.
    ///
    /// # Errors
    /// When a URL makes no sense, or the credentials cannot be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn linked(config: LinkedConfig) -> Result<Self, ConnectError> {
        let EmbeddedConfig { requests_max, reply_subjects_max, reply_subject_ttl, metrics, .. } = config.embedded.clone();
        let replies = RepliesConfig { requests_max, subjects_max: reply_subjects_max, subject_ttl: reply_subject_ttl };
        let replies = Arc::new(Replies::new(replies, metrics.clone()));
        let replicas = config.nats.replicas;
        let linked = Linked::start(config, Arc::clone(&replies)).await?;
        let streams = Arc::new(Streams::JetStream(JetStream::new(linked.streams_over(), replicas)?));
        Ok(Self::new(Engine::Linked(Box::new(linked)), replies, metrics, Some(streams)))
    }

    /// Whether it reaches whoever routes its messages: in this process always, over a connection while that stands.
    pub fn is_connected(&self) -> bool {
        match &self.shared.engine {
            Engine::Embedded(_) => self.shared.stage() < Stage::Closed,
            Engine::Nats(nats) => nats.is_connected(),
            Engine::Linked(linked) => linked.is_up(),
        }
    }

    /// Waits until it reaches other machines again after it could not, and so may have missed what they said. For ever where there are none.
    ///
    /// # Cancel safety
    /// Dropping the future loses the waiting; a return that happens between two calls is missed.
    pub async fn reconnected(&self) {
        let Some(mut ups) = self.ups() else { return std::future::pending().await };
        let is_down = ups.wait_for(|is_up| !is_up).await.map(drop);
        let is_back = ups.wait_for(|is_up| *is_up).await.map(drop);
        if is_down.and(is_back).is_err() {
            // The bus has ended.
            std::future::pending().await
        }
    }

    /// Whether others can be reached, each time that changes; `None` where there are no others.
    pub(crate) fn ups(&self) -> Option<watch::Receiver<bool>> {
        match &self.shared.engine {
            Engine::Embedded(_) => None,
            Engine::Nats(nats) => Some(nats.connected()),
            Engine::Linked(linked) => Some(linked.ups()),
        }
    }

    fn new(engine: Engine, replies: Arc<Replies>, metrics: Metrics, streams: Option<Arc<Streams>>) -> Self {
        let stage = AtomicU8::new(Stage::Open as u8);
        Self::from_shared(Arc::new(Shared {
            engine,
            replies,
            readers: Readers::default(),
            metrics,
            streams,
            presence: Mutex::default(),
            stage,
        }))
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes to whoever listens now, at most once, and waits for those with policy `block` that are over their bound.
    ///
    /// # Errors
    /// When the body is larger than the bus carries, the bus is closed, or the connection is gone. Nobody listening is no error.
    ///
    /// # Cancel safety
    /// Embedded, every receiver has the message after the first poll, and dropping the future loses only the waiting. Over a connection the
    /// message may or may not be sent.
    pub async fn publish(&self, subject: &Subject, body: Body) -> Result<(), PublishError> {
        self.shared.publish(None, Offer::new(subject, body)).await?.settled().await;
        Ok(())
    }

    /// As [`publish`](Self::publish), with all that a message can carry.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    /// As [`publish`](Self::publish).
    pub async fn publish_message(&self, message: Message) -> Result<(), PublishError> {
        let Message { subject, reply, meta, body } = message;
        self.shared.publish(None, Offer { subject: &subject, reply, meta, body }).await?.settled().await;
        Ok(())
    }

    /// Publishes a request and waits for the first reply. Any other reply, and one that comes too late, is dropped and counted.
    ///
    /// # Errors
    /// `NoResponders` at once when nobody is subscribed; `Timeout` when somebody is and does not reply; `TooLarge` before anything is sent.
    ///
    /// # Cancel safety
    /// The request may have been sent; its reply will count as late.
    pub async fn request(&self, subject: &Subject, body: Body, patience: Duration) -> Result<Message, RequestError> {
        self.ask(Offer::new(subject, body), patience).await
    }

    /// As [`request`](Self::request), with all that a message can carry but a reply address.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Cancel safety
    /// As [`request`](Self::request).
    pub async fn request_message(&self, message: &Message, patience: Duration) -> Result<Message, RequestError> {
        let Message { subject, meta, body, .. } = message;
        self.ask(Offer { meta: meta.clone(), ..Offer::new(subject, body.clone()) }, patience).await
    }

    async fn ask(&self, offer: Offer<'_>, patience: Duration) -> Result<Message, RequestError> {
        let subject = offer.subject;
        let shared = &self.shared;
        if shared.stage() > Stage::Open {
            return Err(RequestError::Closed);
        }
        let Some(pending) = shared.replies.open() else {
            return Err(RequestError::TooManyWaiting { max: shared.replies.requests_max() });
        };
        shared.metrics.requests.inc();
        let offer = Offer { reply: Some(ReplyTo::Sink(pending.sink())), ..offer };
        let answered = async {
            // The reply is what the requester waits for, so it does not wait for the pressure as well.
            if shared.publish(None, offer).await?.receivers == 0 {
                return Ok(Outcome::NoResponders);
            }
            Ok::<_, PublishError>(pending.outcome().await)
        };
        match timeout(patience, answered).await {
            Ok(Ok(Outcome::Reply { meta, body })) => Ok(Message { subject: subject.clone(), reply: None, meta, body }),
            Ok(Ok(Outcome::NoResponders)) => {
                shared.metrics.no_responders.inc();
                Err(RequestError::NoResponders { subject: subject.clone() })
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => Err(RequestError::Timeout { subject: subject.clone(), after: patience }),
        }
    }

    /// Subscribes with a queue of its own. Every message published after this returns is seen.
    ///
    /// # Errors
    /// When there are too many subscriptions, or the bus is draining or closed.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn subscribe(&self, filter: &Filter, options: SubscribeOptions) -> Result<Subscription, SubscribeError> {
        let interest = Interest { filter: filter.clone(), group: options.group.clone() };
        let queue = Arc::new(Queue::new(options, self.shared.metrics.clone()));
        // Known to a drain before it can be subscribed, so that no drain misses it.
        self.shared.readers.add(&queue);
        let registration = self.register(interest, Receiver::Queue(Arc::clone(&queue)))?;
        let subscription = Subscription::new(Arc::clone(&queue));
        queue.hold(registration);
        self.shared.engine.flush().await;
        Ok(subscription)
    }

    /// Subscribes a handler that runs inside the call of whoever publishes.
    ///
    /// # Errors
    /// When there are too many subscriptions, or the bus is draining or closed.
    pub fn subscribe_inline(
        &self,
        filter: &Filter,
        group: Option<QueueGroup>,
        handler: impl InlineHandler,
    ) -> Result<InlineSubscription, SubscribeError> {
        let interest = Interest { filter: filter.clone(), group };
        Ok(InlineSubscription::new(self.register(interest, Receiver::Handler(Arc::new(handler)))?))
    }

    fn register(&self, interest: Interest, receiver: Receiver) -> Result<Registration, SubscribeError> {
        if self.shared.stage() > Stage::Open {
            return Err(SubscribeError::Closed);
        }
        let attachment = self.shared.engine.attach(interest, receiver)?;
        let registration = Registration::new(Arc::clone(&self.shared), attachment);
        // A drain that began meanwhile may have ended all subscriptions before this one was among them.
        if self.shared.stage() > Stage::Open { Err(SubscribeError::Closed) } else { Ok(registration) }
    }

    /// A publisher that remembers who listens to `subject`.
    pub fn publisher(&self, subject: Subject) -> Publisher {
        Publisher::new(Arc::clone(&self.shared), subject)
    }

    /// Waits until everything published and subscribed before has reached whoever routes it. Embedded, that is always so.
    ///
    /// # Cancel safety
    /// Dropping the future loses the waiting and nothing else.
    pub async fn flush(&self) {
        self.shared.engine.flush().await;
    }

    /// Largest payload in bytes that this bus carries now.
    pub fn payload_bytes_max(&self) -> usize {
        self.shared.engine.payload_bytes_max()
    }

    /// What this bus counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn downgrade(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn respond(&self, subject: &Subject, body: Body) {
        let delivery = Delivery { subject, reply: None, meta: None, bodies: std::slice::from_ref(&body) };
        // A responder is not held back: its pace is that of the requests.
        let _replied = self.shared.dispatch(None, delivery);
    }

    /// The subject under which other processes reach `reply`. For a sink it is valid for as long as [`EmbeddedConfig::reply_subject_ttl`] says.
    pub(crate) fn reply_subject(&self, reply: &ReplyTo) -> Subject {
        self.shared.replies.subject_of(reply)
    }

    /// Hands a delivery over inside this call, with all that a message can carry.
    pub(crate) fn dispatch(&self, delivery: Delivery<'_>) -> Published {
        self.shared.dispatch(None, delivery)
    }
}

impl Shared {
    /// Admits one message and hands it over; the caller waits for the pressure.
    pub(crate) async fn publish(&self, cache: Option<&RouteCache>, offer: Offer<'_>) -> Result<Published, PublishError> {
        match self.offer(cache, offer)? {
            Offered::Taken(published) => Ok(published),
            Offered::Waits(offer) => self.send(offer).await,
        }
    }

    /// Hands over what [`offer`](Self::offer) gave back.
    pub(crate) async fn send(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        let published = self.engine.publish(offer).await?;
        self.count(1, &published);
        Ok(published)
    }

    /// The part of [`publish`](Self::publish) that never waits. A future would be as large as the engine that waits longest makes it, and the
    /// message would be copied in and out of it.
    pub(crate) fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Result<Offered<'a>, PublishError> {
        if self.refuses(offer.subject, offer.reply.is_some()) {
            return Err(PublishError::Closed);
        }
        let max = self.engine.payload_bytes_max();
        if !admits(&offer.body, max) {
            self.metrics.refused_too_large.inc();
            return Err(PublishError::TooLarge { size: offer.body.len(), max });
        }
        let offered = if self.is_reply(cache, offer.subject) {
            Offered::Taken(self.route_replies(offer.as_delivery()))
        } else {
            self.engine.offer(cache, offer)
        };
        if let Offered::Taken(published) = &offered {
            self.count(1, published);
        }
        Ok(offered)
    }

    /// Where a publisher to `subject` remembers its match list; `None` for a reply address, which is not matched.
    pub(crate) fn route_cache(&self, subject: &Subject) -> Option<RouteCache> {
        (!self.replies.owns(subject)).then(RouteCache::default)
    }

    /// A cache tells that the subject is no reply address, without a look at its bytes: beside them is the count of its references, which the
    /// receivers of its messages change all the time.
    fn is_reply(&self, cache: Option<&RouteCache>, subject: &Subject) -> bool {
        cache.is_none() && self.replies.owns(subject)
    }

    /// As [`publish`](Self::publish), inside this call; what is not admitted is left out and counted.
    pub(crate) fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        if self.refuses(delivery.subject, delivery.reply.is_some()) {
            return Published::default();
        }
        let max = self.engine.payload_bytes_max();
        if !delivery.bodies.iter().all(|body| admits(body, max)) {
            return self.dispatch_admitted(cache, delivery, max);
        }
        let published =
            if self.is_reply(cache, delivery.subject) { self.route_replies(delivery) } else { self.engine.dispatch(cache, delivery) };
        self.count(delivery.bodies.len(), &published);
        published
    }

    /// The rare batch with bodies that are too large.
    #[cold]
    fn dispatch_admitted(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>, max: usize) -> Published {
        let admitted: Vec<Body> = delivery.bodies.iter().filter(|body| admits(body, max)).cloned().collect();
        self.metrics.refused_too_large.inc_by((delivery.bodies.len() - admitted.len()) as u64);
        if admitted.is_empty() {
            return Published::default();
        }
        self.dispatch(cache, Delivery { bodies: &admitted, ..delivery })
    }

    fn route_replies(&self, delivery: Delivery<'_>) -> Published {
        let mut taken = false;
        for body in delivery.bodies {
            taken |= self.replies.route(delivery.subject, delivery.meta, body);
        }
        Published { receivers: usize::from(taken), pressure: None }
    }

    fn count(&self, messages: usize, published: &Published) {
        self.metrics.published.inc_by(messages as u64);
        self.metrics.delivered.inc_by((messages * published.receivers) as u64);
        turn::count(messages, published.receivers);
    }

    /// Whether this bus is too near its end for a delivery. What asks for a reply is a request, unless it is itself a reply.
    fn refuses(&self, subject: &Subject, wants_reply: bool) -> bool {
        match self.stage() {
            Stage::Open => false,
            // Work that was done before the end is settled until the end.
            Stage::Draining => wants_reply && !self.replies.owns(subject) && !streams::is_settlement(subject),
            Stage::Closed => true,
        }
    }

    /// Whether anybody gets what is published on `subject`, as far as this process can tell: a server does not say.
    pub(crate) fn is_heard(&self, subject: &Subject) -> bool {
        match &self.engine {
            Engine::Embedded(engine) => self.replies.owns(subject) || engine.is_heard(subject),
            Engine::Nats(_) => true,
            Engine::Linked(engine) => self.replies.owns(subject) || engine.is_heard(subject),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Open,
            1 => Stage::Draining,
            _ => Stage::Closed,
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
    }
}

/// Whether a body is within the limit. The packed length bounds the payload, so that frames are summed up only near the limit.
fn admits(body: &Body, max: usize) -> bool {
    match body {
        Body::Blob(blob) => blob.len() <= max,
        Body::Frames(frames) => frames.packed().len() <= max || frames.payload_len() <= max,
    }
}
