//! The engine of a sidecar among others: a router inside this process, and a link to other machines by NATS.
//!
//! What is local stays as fast as without a link, and goes on without one. What crosses, and when:
//! - **Requests** go to a queue subscriber here as long as one has room, else to the servers, which choose among all machines. When nobody elsewhere
//!   serves them they wait here.
//! - **Published messages** reach plain subscribers here at once, and other machines by the servers. Queue groups get them by the servers only, also
//!   here: otherwise a group with members on two machines could get two copies. While the link is down, and where nothing crosses, groups are served
//!   here.
//! - **Leased subjects** cross only while somebody elsewhere listens (`interest`); **private subjects** never do.
//! - **Reply addresses** of a subscriber here do not cross.
//!
//! Cost of a local message: two comparisons of its subject with the leased and private ones, no allocation, no lock, no wakeup; nothing is awaited.
//! A message that crosses is encoded once (a copy of its bytes if it has frames) and handed to the connection inside the call. What the connection
//! cannot take is dropped and counted, as for any slow subscriber: the link holds no publisher back.

mod announcement;
mod callers;
mod config;
mod exports;
mod interest;
mod keep;
mod metrics;
mod unserved;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::debug;

use self::announcement::{Announcement, NodeId};
use self::callers::{Arrived, Departed, is_named, with_caller, without_caller};
pub use self::config::LinkedConfig;
use self::exports::{Exports, ReceiverId};
use self::interest::{Interests, Wants, covers, overlap};
pub use self::metrics::LinkMetrics;
use self::unserved::{Fate, Unserved};
use super::nats::Echo;
use super::{Attachment, Embedded, EngineOps, Nats, NatsConfig};
use crate::error::{ConnectError, PublishError, SubscribeError};
use crate::message::{Offer, Offered};
use crate::replies::Replies;
use crate::reply::ReplyTo;
use crate::router::{Interest, Matched, Place, Receiver, RouteCache};
use crate::wire::{Body, Filter, Subject};
use crate::{Caller, Delivery, Meta, Pressure, Published, ReplySink};

/// What reply addresses begin with, ours and those of NATS clients.
const INBOXES: &str = "_INBOX.";

/// The engine. Dropping it ends its tasks.
pub(crate) struct Linked {
    shared: Arc<Shared>,
    _closing: DropGuard,
}

/// What its tasks and handlers share.
struct Shared {
    this: Weak<Self>,
    node: NodeId,
    host: Box<str>,
    leased: Vec<Filter>,
    private: Vec<Filter>,
    local: Embedded,
    /// Publishes everything and takes what is published elsewhere; does not hear itself.
    main: Nats,
    /// Takes what queue groups get, from here and elsewhere.
    groups: Nats,
    /// Whether both are connected.
    up: AtomicBool,
    /// The same, for whoever waits for a change.
    ups: watch::Sender<bool>,
    replies: Arc<Replies>,
    exports: Exports,
    next_receiver: AtomicU64,
    interests: Mutex<Interests>,
    wants: Mutex<Wants>,
    /// How many announcements this node has made.
    words: Mutex<u64>,
    departed: Departed,
    arrived: Arrived,
    unserved: Unserved,
    metrics: LinkMetrics,
    tracker: TaskTracker,
    closing: CancellationToken,
    runtime: Handle,
}

/// A subscription as this engine knows it.
#[derive(Debug, Clone)]
pub(crate) struct Joined {
    place: Place,
    /// Known to the servers.
    exported: Arc<Mutex<bool>>,
    export: Option<Arc<Export>>,
}

/// What it takes to make a subscription known.
struct Export {
    interest: Interest,
    id: ReceiverId,
    receiver: Receiver,
}

impl Linked {
    /// Starts without waiting for a server.
    pub(crate) async fn start(config: LinkedConfig, replies: Arc<Replies>) -> Result<Self, ConnectError> {
        let LinkedConfig { embedded, nats, leased, private, host, ping_interval, metrics } = config;
        let nats = NatsConfig { starts_without_server: true, ping_interval, ..nats };
        let main = Nats::link(&nats, Arc::clone(&replies), Echo::Suppressed).await?;
        // Its own reply addresses: those of the bus are for the other connection.
        let groups = Nats::link(&nats, Arc::new(replies.another()), Echo::Heard).await?;
        let local = Embedded::new(embedded.payload_bytes_max, embedded.subscriptions_max);
        let closing = CancellationToken::new();
        let shared = Arc::new_cyclic(|this| Shared {
            this: Weak::clone(this),
            node: NodeId::random(),
            host,
            leased,
            private,
            local,
            main,
            groups,
            up: AtomicBool::new(false),
            ups: watch::Sender::new(false),
            replies: Arc::clone(&replies),
            exports: Exports::default(),
            next_receiver: AtomicU64::new(0),
            interests: Mutex::default(),
            wants: Mutex::default(),
            words: Mutex::default(),
            departed: Departed::default(),
            arrived: Arrived::default(),
            unserved: Unserved::default(),
            metrics,
            tracker: TaskTracker::new(),
            closing: closing.clone(),
            runtime: Handle::current(),
        });
        let unserved = shared.weak();
        replies.when_unserved(move |reply| unserved.upgrade().is_some_and(|shared| shared.nobody_serves(reply)));
        keep::start(&shared).await;
        Ok(Self { shared, _closing: closing.drop_guard() })
    }

    /// The connection that streams are kept over.
    pub(crate) fn streams_over(&self) -> &Nats {
        &self.shared.groups
    }

    /// Whether other machines can be reached.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// Whether other machines can be reached, and each time that changes.
    pub(crate) fn ups(&self) -> watch::Receiver<bool> {
        self.shared.ups.subscribe()
    }

    /// Whether somebody gets what is published on `subject`, as far as this process can tell: of the others it knows nothing.
    pub(crate) fn is_heard(&self, subject: &Subject) -> bool {
        self.shared.local.is_heard(subject) || (self.is_up() && !self.shared.is_private(subject))
    }

    /// Lets other machines send their messages to a subscription, or no longer.
    pub(crate) fn export(&self, attachment: &Attachment, is_exported: bool) {
        let Attachment::Linked(joined) = attachment else { return };
        if let Err(error) = self.shared.export(joined, is_exported) {
            debug!(%error, "not exported: the bus ends");
        }
    }
}

impl Shared {
    fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.this)
    }

    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    fn is_private(&self, subject: &Subject) -> bool {
        self.private.iter().any(|filter| filter.matches(subject))
    }

    fn is_leased(&self, subject: &Subject) -> bool {
        self.leased.iter().any(|filter| filter.matches(subject))
    }

    fn publish(&self, matched: &Matched, delivery: Delivery<'_>) -> Published {
        let mut published = matched.deliver_plain(delivery);
        let stays = if self.is_leased(delivery.subject) {
            !self.interests.lock().wants(delivery.subject, Instant::now())
        } else {
            // The address of somebody here who waits for it.
            published.receivers > 0 && delivery.subject.as_str().starts_with(INBOXES)
        };
        if stays {
            self.metrics.unwanted.inc_by(delivery.bodies.len() as u64);
            matched.deliver_to_groups(delivery, &mut published);
            return published;
        }
        self.send(delivery);
        published.receivers += 1;
        published
    }

    fn request(&self, matched: &Matched, delivery: Delivery<'_>, reply: &ReplyTo) -> Published {
        let is_served_here = matched.has_groups();
        if is_served_here && matched.has_room() {
            return matched.deliver(delivery);
        }
        let mut published = matched.deliver_plain(delivery);
        let is_heard_here = published.receivers > 0;
        let caller = reply.caller();
        let named = caller.map(|caller| with_caller(delivery.meta, self.node, caller));
        if let Some(caller) = caller {
            self.tell_end_of(caller);
        }
        for body in delivery.bodies {
            let address = self.replies.subject_of(reply);
            if is_served_here {
                self.metrics.spilled.inc();
                self.unserved.keep(address.clone(), Fate::Serve(self.spilled(delivery, reply, body)), Instant::now());
            } else if is_heard_here {
                self.unserved.keep(address.clone(), Fate::Ignore, Instant::now());
            }
            let meta = named.as_ref().or(delivery.meta);
            self.send(Delivery { reply: Some(&ReplyTo::Subject(address)), meta, ..delivery.only(body) });
        }
        published.receivers += 1;
        published
    }

    fn spilled(&self, delivery: Delivery<'_>, reply: &ReplyTo, body: &Body) -> unserved::Spilled {
        unserved::Spilled { subject: delivery.subject.clone(), reply: reply.clone(), meta: delivery.meta.cloned(), body: body.clone() }
    }

    fn send(&self, delivery: Delivery<'_>) {
        self.metrics.sent.inc_by(delivery.bodies.len() as u64);
        // The link holds nobody back.
        drop(self.main.dispatch(None, delivery).pressure);
    }

    /// The servers have nobody for a request. Returns whether that is taken care of here.
    fn nobody_serves(&self, reply: &Subject) -> bool {
        let Some(fate) = self.unserved.take(reply) else { return false };
        if let Fate::Serve(spilled) = fate {
            self.metrics.returned.inc();
            let unserved::Spilled { subject, reply, meta, body } = &spilled;
            let delivery = Delivery { subject, reply: Some(reply), meta: meta.as_ref(), bodies: std::slice::from_ref(body) };
            let mut published = Published::default();
            self.local.matched(None, subject).deliver_to_groups(delivery, &mut published);
            // Those here may have left meanwhile, or take nothing more.
            return published.receivers > 0;
        }
        true
    }

    /// Tells the others when this connection has closed.
    fn tell_end_of(&self, caller: &Caller) {
        if caller.gone.is_cancelled() || !self.departed.add(caller.connection) {
            return;
        }
        let (shared, gone, connection) = (self.weak(), caller.gone.clone(), caller.connection);
        let telling = async move {
            gone.cancelled().await;
            if let Some(shared) = shared.upgrade() {
                shared.departed.remove(connection);
                shared.announce(&Announcement::Left { callers: vec![connection] });
            }
        };
        self.tracker.spawn_on(self.closing.clone().run_until_cancelled_owned(telling), &self.runtime);
    }

    fn arrived(&self, delivery: Delivery<'_>) {
        self.metrics.arrived.inc_by(delivery.bodies.len() as u64);
        if self.is_leased(delivery.subject) && self.wants.lock().arrived(Instant::now()) {
            self.announce(&Announcement::Confirm);
        }
    }

    /// Hands a delivery on with the caller that it names as a connection of this machine, and without what names it.
    fn with_caller(&self, delivery: Delivery<'_>, deliver: impl FnOnce(Delivery<'_>) -> Published) -> Option<Pressure> {
        if !delivery.meta.is_some_and(is_named) {
            return deliver(delivery).pressure;
        }
        let caller = delivery.reply.zip(delivery.meta).and_then(|(reply, meta)| Some((reply, self.arrived.caller(&meta.headers)?)));
        let Some((ReplyTo::Subject(address), caller)) = caller else {
            // One that cannot be read is nobody's business either.
            let meta = without_caller(delivery.meta);
            return deliver(Delivery { meta: meta.as_ref(), ..delivery }).pressure;
        };
        let (shared, address) = (self.weak(), address.clone());
        let sink = ReplySink::for_caller(caller, move |body| {
            if let Some(shared) = shared.upgrade() {
                shared.send(Delivery { subject: &address, reply: None, meta: None, bodies: std::slice::from_ref(&body) });
            }
        });
        let meta: Option<Meta> = without_caller(delivery.meta);
        deliver(Delivery { reply: Some(&ReplyTo::Sink(sink)), meta: meta.as_ref(), ..delivery }).pressure
    }

    fn export(&self, joined: &Joined, is_exported: bool) -> Result<(), SubscribeError> {
        let Some(export) = &joined.export else { return Ok(()) };
        let mut exported = joined.exported.lock();
        if *exported == is_exported {
            return Ok(());
        }
        let Export { interest, id, receiver } = &**export;
        if is_exported {
            self.exports.add(self, interest, *id, receiver)?;
        } else {
            self.exports.remove(self, interest, *id);
        }
        *exported = is_exported;
        drop(exported);
        if self.leased.iter().any(|leased| overlap(leased, &interest.filter)) {
            self.want(&interest.filter, is_exported);
        }
        Ok(())
    }

    /// Says that somebody here listens, as soon as the servers know it, or at once that nobody does any more.
    fn want(&self, filter: &Filter, is_wanted: bool) {
        let is_news = if is_wanted { self.wants.lock().add(filter) } else { self.wants.lock().remove(filter) };
        if !is_news {
            return;
        }
        let filter = filter.clone();
        if !is_wanted {
            return self.announce(&Announcement::Drop { filter });
        }
        let shared = self.weak();
        let telling = async move {
            let Some(shared) = shared.upgrade() else { return };
            shared.main.attached().await;
            shared.groups.attached().await;
            // It may have gone meanwhile, and its end been told.
            if shared.wants.lock().has(&filter) {
                shared.announce(&Announcement::Want { filter });
            }
        };
        self.tracker.spawn_on(self.closing.clone().run_until_cancelled_owned(telling), &self.runtime);
    }

    fn announce(&self, announcement: &Announcement) {
        if !self.is_up() {
            // Everything is said when the link is there again.
            return;
        }
        self.metrics.announced.inc();
        // Held until it is handed over, so that words go in the order of their numbers.
        let mut words = self.words.lock();
        *words += 1;
        let body = Body::from(announcement.encode(*words));
        let subject = self.node.subject();
        drop(self.main.dispatch(None, Delivery { subject: &subject, reply: None, meta: None, bodies: &[body] }).pressure);
    }
}

impl EngineOps for Linked {
    fn payload_bytes_max(&self) -> usize {
        let ours = self.shared.local.payload_bytes_max();
        // Nothing is known of the servers before the first connection.
        match self.shared.main.payload_bytes_max() {
            0 => ours,
            theirs => ours.min(theirs),
        }
    }

    fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        let matched = self.shared.local.matched(cache, delivery.subject);
        if !self.is_up() || self.shared.is_private(delivery.subject) {
            return matched.deliver(delivery);
        }
        match delivery.reply {
            Some(reply) => self.shared.request(&matched, delivery, reply),
            None => self.shared.publish(&matched, delivery),
        }
    }

    fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a> {
        if !self.is_up() || self.shared.is_private(offer.subject) {
            return self.shared.local.offer(cache, offer);
        }
        Offered::Taken(self.dispatch(cache, offer.as_delivery()))
    }

    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        Ok(self.dispatch(None, offer.as_delivery()))
    }

    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError> {
        let shared = &self.shared;
        let place = shared.local.join(interest.clone(), receiver.clone())?;
        let stays = shared.private.iter().any(|private| covers(private, &interest.filter));
        let id = shared.next_receiver.fetch_add(1, Ordering::Relaxed);
        let export = (!stays).then(|| Arc::new(Export { interest, id, receiver }));
        let joined = Joined { place, exported: Arc::default(), export };
        match shared.export(&joined, true) {
            Ok(()) => Ok(Attachment::Linked(joined)),
            Err(error) => {
                shared.local.leave(&joined.place);
                Err(error)
            }
        }
    }

    fn detach(&self, attachment: &Attachment) {
        let Attachment::Linked(joined) = attachment else {
            return debug_assert!(false, "an attachment belongs to the engine that made it");
        };
        self.shared.local.leave(&joined.place);
        let _ends_only = self.shared.export(joined, false);
    }

    fn detach_all(&self) {
        let shared = &self.shared;
        shared.local.detach_all();
        shared.exports.clear();
        shared.main.detach_all();
        shared.groups.detach_all();
        *shared.wants.lock() = Wants::default();
        shared.announce(&Announcement::Wants { host: shared.host.clone(), filters: Vec::new() });
    }

    async fn flush(&self) {
        if self.is_up() {
            let Shared { main, groups, .. } = &*self.shared;
            tokio::join!(main.flush_to(groups), groups.flush());
        }
    }

    async fn close(&self) {
        self.shared.announce(&Announcement::Bye);
        // What is published over the first is heard over the second, which therefore ends last.
        self.flush().await;
        self.shared.main.end().await;
        self.shared.groups.end().await;
        self.shared.closing.cancel();
    }
}

impl std::fmt::Debug for Linked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Linked").field("node", &self.shared.node).field("main", &self.shared.main).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("interest", &self.interest).field("id", &self.id).finish_non_exhaustive()
    }
}
