//! A `service` route: callers (REQ, DEALER) on one side, agents (REP, ROUTER) on the other, a bus subject between them.
//!
//! The path of a request, four hops: `callers::Callers::received` → `Publisher::request_inline` (bus) → `Agents` as the subject's handler →
//! the agent's outlet. The path of its reply, three: `agents::Agents::received` → the caller's `ReplySink` → the caller's outlet.
//!
//! Cost per request and direction: the frames are copied once into the outgoing buffer, never re-encoded; one map entry for the correlation; one
//! lock of the route; one `read` and one `write`; no task is woken but the one whose socket became readable.
//!
//! Invariants:
//! - **Opaque.** A REP gets one frame of ours before the caller's frames, which it returns unseen and we remove; a ROUTER gets none.
//! - **Own reply or none.** A reply finds its caller by the correlation of the connection it was sent on, and reaches the connection the request
//!   came from, or nobody.
//! - **Never twice.** What an agent may have begun is not sent again, to it or to another.

mod agents;
mod callers;
mod dead_letters;
mod fair_queue;
mod identities;
mod links;
mod named;
mod on_bus;
mod pool;
mod request;
mod session;
mod sessions;
mod way;

use std::sync::Arc;

use myelin_bus::Overflow;
use myelin_bus::outlet::{OutletConfig, Queued};
use myelin_bus::wire::{QueueGroup, Subject};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::fair_queue::QueueBounds;
pub use self::pool::OnCallerGone;

use self::agents::Agents;
use self::callers::Callers;
use self::dead_letters::DeadLetters;
use self::links::{BoundAgents, ConnectedAgents};
use self::on_bus::OnBus;
use super::{RouteContext, RouteError};
use crate::front::{BindError, Connector, Endpoint, Front, Listener, SocketType};

/// The queue group that the sidecars of a fleet share for a service.
const QUEUE_GROUP: &str = "zmq";

/// How a service treats its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// Requests outstanding at one REP agent; default 1, because such an agent serves them one by one and what it was given runs even if its
    /// caller has gone.
    pub window: usize,
    /// What happens to waiting requests of a caller that disconnected.
    pub on_caller_gone: OnCallerGone,
    /// What may wait for a free window.
    pub waiting: QueueBounds,
    /// A body to answer with when the request cannot be served: nobody serves the subject, the queue is full, the agent's connection broke.
    /// Default `None`: silence, so that the caller sees what it would have seen without us.
    pub fail_fast: Option<bytes::Bytes>,
    /// Whether requests that get no reply are kept as dead letters, which takes a bus with a store; default no. What becomes one, and why, stands at
    /// the head of `dead_letters`.
    pub dead_letter_requests: bool,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            window: 1,
            on_caller_gone: OnCallerGone::Deliver,
            waiting: QueueBounds { bytes_max: 8 * 1024 * 1024, requests_max: 65_536 },
            fail_fast: None,
            dead_letter_requests: false,
        }
    }
}

/// One service on this machine. Dropping it detaches its agents and takes it off the bus.
#[derive(Debug)]
pub struct Service {
    subject: Subject,
    context: RouteContext,
    callers: Arc<Callers>,
    callers_front: Front,
    agents: Arc<Agents>,
    letters: Option<Arc<DeadLetters>>,
    _end: DropGuard,
    /// Present from the first agent on: a service without agents must not take requests from machines that have some.
    on_bus: Arc<OnBus>,
}

impl Service {
    /// A service named `name`, reachable on the bus at `zmq.service.<name>` from the first agent on.
    ///
    /// # Errors
    /// [`RouteError::Name`] when the name makes no subject.
    pub fn new(context: &RouteContext, name: &str, config: ServiceConfig) -> Result<Self, RouteError> {
        let subject = subject(name)?;
        let config = Arc::new(config);
        let context = &context.for_route(name);
        // A caller that asks without reading loses replies, as at a libzmq ROUTER; it must hold nobody else back.
        let callers_front = context.with_queue(OutletConfig { overflow: Overflow::DropNewest, ..context.front.config().queue });
        let callers_front = callers_front.front.at_side("callers");
        let context = &RouteContext { front: context.front.at_side("agents"), ..context.clone() };
        let end = CancellationToken::new();
        let letters = config.dead_letter_requests.then(|| {
            let letters = Arc::new(DeadLetters::new(context, name, subject.clone(), config.waiting));
            let (end, keeping) = (end.clone(), dead_letters::keep(Arc::clone(&letters)));
            context.front.spawn(async move {
                end.run_until_cancelled_owned(keeping).await;
            });
            letters
        });
        let on_bus = Arc::new(OnBus::default());
        let agents = Agents::new(context.clone(), name, Arc::clone(&config), letters.clone(), Arc::clone(&on_bus));
        let publisher = context.bus.publisher(subject.clone());
        let callers = Arc::new(Callers::new(context.clone(), publisher, Arc::clone(&agents), config, letters.clone()));
        Ok(Self { subject, context: context.clone(), callers, callers_front, agents, letters, _end: end.drop_guard(), on_bus })
    }

    /// The subject on the bus.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Binds a ROUTER that callers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen)(crate::front::Front::listen).
    pub async fn bind_callers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.callers_front.listen(endpoint, SocketType::Router, self.callers.clone()).await
    }

    /// Connects a ROUTER to callers that bind.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_callers(&self, endpoint: &Endpoint) -> Connector {
        self.callers_front.connect(endpoint, SocketType::Router, bytes::Bytes::new(), self.callers.clone())
    }

    /// Binds a DEALER that REP agents connect to. A ROUTER that connects is turned away: each of its callers needs a connection of its own, and
    /// those can only be made by us.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen)(crate::front::Front::listen).
    pub async fn bind_agents(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.join_bus();
        self.context.front.listen(endpoint, SocketType::Dealer, Arc::new(BoundAgents::new(Arc::clone(&self.agents)))).await
    }

    /// Connects to an agent's REP or ROUTER and keeps trying.
    #[must_use = "dropping the connector detaches the agent"]
    pub fn connect_agent(&self, endpoint: &Endpoint) -> Connector {
        self.join_bus();
        let agents = ConnectedAgents::new(Arc::clone(&self.agents), endpoint.clone());
        self.context.front.connect(endpoint, SocketType::Dealer, bytes::Bytes::new(), Arc::new(agents))
    }

    /// Waits until every request that is a dead letter by now is kept as one; at once where none are.
    ///
    /// # Cancel safety
    /// Dropping the future loses the waiting.
    pub fn letters_kept(&self) -> impl Future<Output = ()> + Send + use<> {
        let letters = self.letters.clone();
        async move {
            if let Some(letters) = letters {
                letters.kept().await;
            }
        }
    }

    fn join_bus(&self) {
        self.on_bus.join(|| {
            let group = QueueGroup::new(QUEUE_GROUP).expect("a plain word is a legal group");
            let handler = agents::Handler(Arc::clone(&self.agents));
            let subscribed = self.context.bus.subscribe_inline(&self.subject.clone().into(), Some(group), handler);
            let refused =
                |error: &_| tracing::error!(service = %self.subject, %error, "the bus refuses the service, its callers reach nobody");
            subscribed.inspect_err(refused).ok()
        });
    }

    /// Whether other machines serve it too. If they do, requests do not wait here while no agent of this machine is connected.
    pub(in crate::routes) fn set_elsewhere(&self, is_elsewhere: bool) {
        self.agents.set_elsewhere(is_elsewhere);
    }

    /// Agents that are connected now.
    #[must_use]
    pub fn agents_connected(&self) -> usize {
        self.agents.connected()
    }

    /// Requests that wait for an agent now.
    #[must_use]
    pub fn requests_waiting(&self) -> usize {
        self.agents.waiting()
    }

    /// The same, with the bytes of their payloads.
    #[must_use]
    pub fn waiting(&self) -> Queued {
        self.agents.queued()
    }

    /// Requests that agents or other responders work on now, for callers that still wait: what a graceful stop waits for. A ROUTER agent owes one
    /// reply to each request that has the delimiter of a REQ; what else DEALERs say to it need not be answered.
    #[must_use]
    pub fn replies_owed(&self) -> usize {
        self.agents.owed() + self.callers.owed_elsewhere()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its agents hold the place as well, and the place holds them.
        self.on_bus.leave();
    }
}

/// The subject of the service `name`.
///
/// # Errors
/// [`RouteError::Name`] when the name makes no subject.
pub fn subject(name: &str) -> Result<Subject, RouteError> {
    crate::routes::subject("service", name)
}

#[cfg(test)]
mod tests;
