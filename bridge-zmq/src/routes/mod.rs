//! Routes tie ZMTP sockets to bus subjects. Each side of a route may bind, connect, or both.
//!
//! | route | callers, publishers, producers | agents, subscribers, consumers | subject |
//! |---|---|---|---|
//! | [`service`] | ROUTER for REQ, DEALER | DEALER to REP, ROUTER | `zmq.service.<name>` |
//! | [`topic`] | SUB for PUB, XPUB | XPUB for SUB, XSUB | `zmq.topic.<name>` |
//! | [`pipeline`] | PULL for PUSH | PUSH for PULL | `zmq.pipeline.<name>` |
//! | [`pair`] | PAIR for one PAIR | PAIR for one PAIR | `zmq.pair.<name>.a`, `….b` |

pub mod fleet;
mod metrics;
pub mod pair;
pub mod pipeline;
pub mod service;
pub mod topic;
mod work_queue;

use bytes::Bytes;
use myelin_bus::outlet::OutletConfig;
use myelin_bus::wire::{Body, Frames, Subject};
use myelin_bus::{Bus, SubscribeError};

use crate::front::{Front, FrontConfig};
use crate::health::Health;

pub use self::metrics::RouteMetrics;

/// What every route works with.
#[derive(Debug, Clone)]
pub struct RouteContext {
    /// The bus that ties the sides together.
    pub bus: Bus,
    /// The sockets.
    pub front: Front,
    /// The counters.
    pub metrics: RouteMetrics,
    /// Answers health polls of agents elsewhere; none where every poll reaches its agent.
    pub health: Option<Health>,
}

impl RouteContext {
    /// The same, for the sockets of the route `name`.
    fn for_route(&self, name: &str) -> Self {
        Self { front: self.front.for_route(name), ..self.clone() }
    }

    /// The same, with other write queues for the peers.
    fn with_queue(&self, queue: OutletConfig) -> Self {
        let config = FrontConfig { queue, ..self.front.config().clone() };
        Self { front: self.front.with_config(config), ..self.clone() }
    }
}

/// Why a route cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The name makes no subject.
    #[error("route name {name:?} makes no subject")]
    Name {
        /// The name as configured.
        name: String,
        /// What is wrong with it.
        #[source]
        source: myelin_bus::wire::SubjectError,
    },
    /// The store does not keep the messages of a durable pipeline.
    #[error("pipeline {route:?} cannot be kept in stream {stream:?}")]
    Stream {
        /// The route.
        route: String,
        /// The stream.
        stream: String,
        /// What the store says.
        #[source]
        source: myelin_bus::streams::StreamError,
    },
    /// There is a stream of that name which is not a pipeline's.
    #[error("pipeline {route:?} needs the stream {stream:?}, which stores something else: rename the route or delete the stream")]
    StreamTaken {
        /// The route.
        route: String,
        /// The stream.
        stream: String,
    },
    /// The bus refuses the route's subscription.
    #[error("the bus refuses the route")]
    Subscribe(#[from] SubscribeError),
}

/// Bodies up to this size are copied when they have to wait. They are slices of a read buffer, and the whole buffer lives as long as one of them:
/// the queues' bounds would count bytes and not memory.
const COPY_TO_WAIT_BYTES_MAX: usize = 64 * 1024;

/// Frames that own nothing but themselves.
fn detached(frames: Frames) -> Frames {
    if frames.packed().len() > COPY_TO_WAIT_BYTES_MAX {
        return frames;
    }
    Frames::from_parsed(Bytes::copy_from_slice(frames.packed()), frames.count())
}

/// `zmq.<kind>.<name>`, with whatever a subject does not allow in a token escaped in the name.
fn subject(kind: &str, name: &str) -> Result<Subject, RouteError> {
    named(name, format!("zmq.{kind}.{}", Subject::escape_token(name)))
}

/// `zmq.<kind>.<name>.<side>`, as [`subject`].
fn side_subject(kind: &str, name: &str, side: &str) -> Result<Subject, RouteError> {
    named(name, format!("zmq.{kind}.{}.{side}", Subject::escape_token(name)))
}

/// A body as ZMTP peers get it: what a bus-native program says is one frame.
fn frames_of(body: &Body) -> Frames {
    match body {
        Body::Frames(frames) => frames.clone(),
        Body::Blob(blob) => Frames::single(blob),
    }
}

fn named(name: &str, subject: String) -> Result<Subject, RouteError> {
    Subject::new(&subject).map_err(|source| RouteError::Name { name: name.to_owned(), source })
}
