//! The engine over a connection to a NATS server, or to the listener of another sidecar.
//!
//! - **publish** returns when the client has taken the message; it reaches the server with the client's next write, within microseconds while the
//!   connection stands. **flush** asks the server for an answer and so waits until it has routed everything before.
//! - While the connection is down the client keeps trying to restore it, subscriptions included. Messages wait, within the bounds of
//!   [`outgoing`], and are sent in order; what does not fit is refused (`publish`) or dropped and counted (`dispatch`).
//! - A subscription is fed by a task of its own. A subscriber with policy `block` holds that task back, not the publisher, who is on the other side
//!   of a server: past [`limits::QUEUE_MESSAGES_MAX`] messages the client drops the newest, and they are counted.
//! - Replies of a bus come back over one wildcard subscription, made at connect; a request costs the server nothing but its two messages.

mod config;
mod convert;
mod incoming;
mod outgoing;
mod room;
mod version;

use std::fmt;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::{Client, Event};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use self::config::{NatsConfig, NatsCredentials, NatsTls};
pub(crate) use self::room::Room;
pub(crate) use self::version::Feature;

use self::convert::outbound;
use self::outgoing::{Outgoing, Refused};
use super::{Attachment, EngineOps};
use crate::error::{ConnectError, PublishError, SubscribeError};
use crate::message::{Offer, Offered};
use crate::replies::Replies;
use crate::router::{Interest, Receiver, RouteCache};
use crate::wire::limits;
use crate::{Delivery, Metrics, Overflow, Pressure, Published};

/// How long a connection may take to be made, and how long a publish or a flush waits for one that is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
pub(crate) struct Nats {
    client: Client,
    room: Room,
    replies: Arc<Replies>,
    outgoing: Arc<Outgoing>,
    /// Where tasks run: attaching may happen outside of the runtime.
    runtime: Handle,
    tracker: TaskTracker,
    /// Ends the tasks that feed subscriptions.
    subscriptions: CancellationToken,
    /// Subscriptions that the client has not taken yet.
    attaching: Arc<Attaching>,
    connected: watch::Receiver<bool>,
    metrics: Metrics,
    /// Ends every task of this connection.
    _closing: DropGuard,
}

/// Whether a connection gets what is published over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    Heard,
    /// For a bus whose subscribers have it already.
    Suppressed,
}

/// What a subscription is known by: the end of the task that feeds it.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    /// At once.
    token: CancellationToken,
    /// After what the server has sent already.
    leaving: CancellationToken,
}

/// Counts subscriptions on their way to the client.
#[derive(Debug, Default)]
struct Attaching {
    count: Mutex<usize>,
    done: Notify,
}

impl Nats {
    pub(crate) async fn connect(config: &NatsConfig, replies: Arc<Replies>) -> Result<Self, ConnectError> {
        Self::link(config, replies, Echo::Heard).await
    }

    /// As [`connect`](Self::connect), for one of several connections of a bus.
    pub(crate) async fn link(config: &NatsConfig, replies: Arc<Replies>, echo: Echo) -> Result<Self, ConnectError> {
        let shown = config.shown();
        let metrics = config.metrics.clone();
        let servers = config.addresses()?;
        let closing = CancellationToken::new();
        let events = metrics.clone();
        let (connected, changes) = watch::channel(false);
        let options = config.options().await?;
        let options = if echo == Echo::Suppressed { options.no_echo() } else { options };
        let client = options
            .name("myelin")
            .connection_timeout(PATIENCE)
            .subscription_capacity(limits::QUEUE_MESSAGES_MAX)
            // Subjects are checked where they are made.
            .skip_subject_validation(true)
            .event_callback(move |event| {
                note(&event, &events);
                match event {
                    Event::Connected => _ = connected.send_replace(true),
                    Event::Disconnected | Event::Closed => _ = connected.send_replace(false),
                    _ => {}
                }
                std::future::ready(())
            })
            .connect(servers)
            .await
            .map_err(|error| unreachable(&shown, &error))?;

        let runtime = Handle::current();
        let tracker = TaskTracker::new();
        let room = Room::new();
        let outgoing = Arc::new(Outgoing::new(client.clone(), room.clone(), metrics.clone()));
        tracker.spawn(closing.clone().run_until_cancelled_owned({
            let outgoing = Arc::clone(&outgoing);
            async move { outgoing.run().await }
        }));
        let inbox = client.subscribe(format!("{}>", replies.prefix())).await.map_err(|error| unreachable(&shown, &error))?;
        tracker.spawn(closing.clone().run_until_cancelled_owned(incoming::feed_replies(inbox, Arc::clone(&replies))));
        let engine = Self {
            client,
            room,
            replies,
            outgoing,
            runtime,
            tracker,
            subscriptions: closing.child_token(),
            attaching: Arc::default(),
            connected: changes,
            metrics,
            _closing: closing.drop_guard(),
        };
        // The server has the inbox once it has answered; one that is not there yet has it when it is.
        if !config.starts_without_server {
            engine.flush().await;
        }
        Ok(engine)
    }

    /// The connection itself. Who publishes large payloads through it takes [`room`](Self::room) for them.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// How many bytes may wait inside the client.
    pub(crate) fn room(&self) -> Room {
        self.room.clone()
    }

    /// Whether there is a server now.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Whether there is a server, and each time that changes.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Ends a subscription, but hands over what the server has sent to it or sends until it knows.
    pub(crate) fn leave(&self, attachment: &Attachment) {
        if let Attachment::Nats(Attached { leaving, .. }) = attachment {
            leaving.cancel();
        }
    }

    /// Waits until the client has taken all subscriptions; while it is connected the server has them before anything that is published after.
    pub(crate) async fn attached(&self) {
        self.attaching.all_done().await;
    }

    /// Whether the server keeps streams.
    pub(crate) fn has_jetstream(&self) -> bool {
        self.client.server_info().jetstream
    }

    /// Waits for a message to ourselves: the server handles what one connection sends in order.
    async fn round_trip(&self) {
        self.round_trip_to(self).await;
    }

    /// As [`flush`](EngineOps::flush), for a connection that does not hear itself: `other`, which does, hears it.
    pub(crate) async fn flush_to(&self, other: &Self) {
        let all = async {
            self.attached().await;
            self.round_trip_to(other).await;
        };
        if timeout(PATIENCE, all).await.is_err() {
            debug!("flush gave up: the server did not answer in time");
        }
    }

    async fn round_trip_to(&self, other: &Self) {
        let Some(pending) = other.replies.open() else {
            // So many requests wait that none can be added: the client's own buffer is all that can be waited for.
            let _flushed = self.client.flush().await;
            return;
        };
        let subject = other.replies.subject_of(&crate::ReplyTo::Sink(pending.sink()));
        let asked = outbound(&subject, None, None, bytes::Bytes::new());
        if self.outgoing.send(asked).await.is_ok() {
            pending.outcome().await;
        }
    }

    /// What the payload of `body` is on this connection, if the server takes it.
    fn encode(&self, delivery: Delivery<'_>, body: &crate::wire::Body) -> Result<outgoing::Outbound, PublishError> {
        let max = self.payload_bytes_max();
        let too_large = |size| PublishError::TooLarge { size, max };
        let payload = crate::payload::encode(delivery.meta, body).map_err(|_| too_large(body.len()))?;
        let reply = delivery.reply.map(|reply| self.replies.subject_of(reply));
        let outbound = outbound(delivery.subject, reply.as_ref(), delivery.meta, payload);
        if outbound.wire_len() > max { Err(too_large(outbound.wire_len())) } else { Ok(outbound) }
    }

    fn pressure(&self) -> Option<Pressure> {
        self.outgoing.is_over().then(|| {
            let outgoing = Arc::clone(&self.outgoing);
            Pressure::new(async move {
                // A connection that stays down shows in the next publish.
                let _relieved = timeout(PATIENCE, outgoing.relieved()).await;
            })
        })
    }

    fn disconnected(&self) -> PublishError {
        let state = match self.client.connection_state() {
            State::Connected => "the connection does not keep up",
            State::Disconnected | State::Pending => "the connection is down",
        };
        PublishError::Disconnected { reason: format!("{state}, {} messages wait for it", self.outgoing.waiting()).into() }
    }
}

impl EngineOps for Nats {
    fn payload_bytes_max(&self) -> usize {
        self.client.max_payload().min(limits::PAYLOAD_BYTES_CEILING)
    }

    fn dispatch(&self, _cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        for body in delivery.bodies {
            match self.encode(delivery, body).map(|outbound| self.outgoing.offer(outbound)) {
                Ok(Ok(())) => {}
                Ok(Err(Refused::Full(_))) => _ = self.metrics.dropped(Overflow::DropNewest).inc(),
                Ok(Err(Refused::Client(error))) => debug!(%error, subject = %delivery.subject, "not published"),
                Err(_too_large) => _ = self.metrics.refused_too_large.inc(),
            }
        }
        Published { receivers: 1, pressure: self.pressure() }
    }

    fn offer<'a>(&self, _cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a> {
        Offered::Waits(offer)
    }

    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        let outbound = self.encode(offer.as_delivery(), &offer.body)?;
        let size = outbound.wire_len();
        let sent = match self.outgoing.offer(outbound) {
            Ok(()) => Ok(()),
            Err(Refused::Client(error)) => Err(error),
            // Only who has to wait needs a clock.
            Err(Refused::Full(back)) => timeout(PATIENCE, self.outgoing.send(*back)).await.map_err(|_elapsed| self.disconnected())?,
        };
        match sent {
            Ok(()) => Ok(Published { receivers: 1, pressure: self.pressure() }),
            Err(error) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => PublishError::TooLarge { size, max: self.payload_bytes_max() },
                PublishErrorKind::Send | PublishErrorKind::InvalidSubject => PublishError::Closed,
            }),
        }
    }

    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError> {
        if self.subscriptions.is_cancelled() {
            return Err(SubscribeError::Closed);
        }
        let token = self.subscriptions.child_token();
        let leaving = CancellationToken::new();
        let (client, arrived) = (self.client.clone(), Attaching::begin(&self.attaching));
        let mut subscribing = Box::pin(async move {
            let filter = interest.filter.as_str().to_owned();
            let subscribed = match &interest.group {
                Some(group) => client.queue_subscribe(filter, group.as_str().to_owned()).await,
                None => client.subscribe(filter).await,
            };
            drop(arrived);
            subscribed.inspect_err(|error| warn!(%error, filter = %interest.filter, "not subscribed")).ok()
        });
        // Asked once within the call: what is published after it is sent after it, and a reply to it finds its way.
        let begun = outgoing::poll_once(subscribing.as_mut());
        let until = leaving.clone();
        let feeding = async move {
            let subscriber = match begun {
                Poll::Ready(subscriber) => subscriber,
                Poll::Pending => subscribing.await,
            };
            if let Some(subscriber) = subscriber {
                incoming::feed(subscriber, receiver, until).await;
            }
        };
        self.tracker.spawn_on(token.clone().run_until_cancelled_owned(feeding), &self.runtime);
        Ok(Attachment::Nats(Attached { token, leaving }))
    }

    fn detach(&self, attachment: &Attachment) {
        match attachment {
            Attachment::Nats(Attached { token, .. }) => token.cancel(),
            Attachment::Embedded(_) | Attachment::Linked(_) => debug_assert!(false, "an attachment belongs to the engine that made it"),
        }
    }

    fn detach_all(&self) {
        self.subscriptions.cancel();
    }

    async fn flush(&self) {
        let all = async {
            self.attaching.all_done().await;
            self.round_trip().await;
        };
        if timeout(PATIENCE, all).await.is_err() {
            debug!("flush gave up: the server did not answer in time");
        }
    }

    async fn close(&self) {
        self.flush().await;
        self.end().await;
    }
}

impl Nats {
    /// Lets go of the connection once the client has written what it has.
    pub(crate) async fn end(&self) {
        if let Err(error) = self.client.drain().await {
            debug!(%error, "connection was closed already");
        }
    }
}

impl Attaching {
    fn begin(attaching: &Arc<Self>) -> Arrival {
        *attaching.count.lock() += 1;
        Arrival(Arc::clone(attaching))
    }

    async fn all_done(&self) {
        loop {
            let mut done = std::pin::pin!(self.done.notified());
            // Registered before the check, or the last arrival between check and wait would be missed.
            done.as_mut().enable();
            if *self.count.lock() == 0 {
                return;
            }
            done.await;
        }
    }
}

/// One subscription on its way; dropped when the client has taken it, or it was given up.
struct Arrival(Arc<Attaching>);

impl Drop for Arrival {
    fn drop(&mut self) {
        *self.0.count.lock() -= 1;
        self.0.done.notify_waiters();
    }
}

fn note(event: &Event, metrics: &Metrics) {
    match event {
        Event::SlowConsumer(_) => _ = metrics.dropped(Overflow::DropNewest).inc(),
        Event::Connected => info!("connected to the NATS server"),
        Event::Disconnected => warn!("lost the NATS server"),
        Event::ServerError(error) => warn!(%error, "the NATS server reports an error"),
        // One per attempt to reconnect: that the server is lost, and when it is back, is said once.
        Event::ClientError(error) => debug!(%error, "the NATS client reports an error"),
        Event::LameDuckMode | Event::Draining | Event::Closed => debug!(%event, "NATS connection"),
    }
}

fn unreachable(url: &str, error: &(dyn std::error::Error + 'static)) -> ConnectError {
    // The client's own text names the step; the end of its chain names the cause.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    ConnectError::Unreachable { url: url.into(), reason: format!("{cause}; is `myelin serve` running there?").into() }
}

/// The URL without the password in it, for messages and logs.
fn without_password(url: &str) -> Box<str> {
    let start = url.find("://").map_or(0, |at| at + 3);
    let authority_end = url[start..].find('/').map_or(url.len(), |at| start + at);
    match url[start..authority_end].rfind('@') {
        Some(at) => {
            let user = url[start..start + at].split(':').next().unwrap_or_default();
            let hidden = if url[start..start + at].contains(':') { ":***" } else { "" };
            format!("{}{user}{hidden}{}", &url[..start], &url[start + at..]).into()
        }
        None => url.into(),
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("state", &self.client.connection_state())
            .field("waiting", &self.outgoing.waiting())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_show() {
        assert_eq!(&*without_password("nats://localhost:4222"), "nats://localhost:4222");
        assert_eq!(&*without_password("nats://ann:s3cret@host:1"), "nats://ann:***@host:1");
        assert_eq!(&*without_password("ann:s3@cret@host"), "ann:***@host");
        assert_eq!(&*without_password("nats://token@host"), "nats://token@host");
    }
}
