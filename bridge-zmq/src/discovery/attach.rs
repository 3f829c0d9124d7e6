//! The narrow way out of discovery: putting a registered agent onto the bus, and taking it off again.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use thiserror::Error;

use super::agent::AgentName;

/// Our own ports behind which an attached agent is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attached {
    /// In front of its service socket.
    pub service_port: u16,
    /// In front of its health socket, when it has one.
    pub health_port: Option<u16>,
}

/// One replica to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name it serves under; all replicas of a name share one pool and the same ports of ours.
    pub name: AgentName,
    /// Where its service socket listens.
    pub endpoint: SocketAddr,
    /// Where its health socket listens.
    pub health: Option<SocketAddr>,
    /// The ports this name had before, to be used again if they are free: clients have them cached.
    pub preferred: Option<Attached>,
}

/// Why a replica could not be attached, in words for the log and for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct AttachError {
    /// A lowercase fragment. Must not contain `not found` or `not registered`, which stop a client's retries.
    pub reason: String,
}

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the routes offer to discovery.
///
/// Calls for one name never overlap.
pub struct Attacher {
    attach: Box<dyn Fn(Attachment) -> BoxedFuture<Result<Attached, AttachError>> + Send + Sync>,
    detach: Box<dyn Fn(AgentName, SocketAddr) -> BoxedFuture<()> + Send + Sync>,
}

impl Attacher {
    /// Takes the two operations.
    ///
    /// - `attach` resolves as soon as our ports are bound; it does not wait for the agent, which usually registers before
    ///   it listens. Attaching what is attached already only updates the health endpoint and answers the same ports.
    /// - `detach` closes the connection to one replica. The name's ports stay bound, so that cached clients wait instead
    ///   of being refused while an agent moves. Detaching what is not attached does nothing.
    ///
    /// The future of `attach` is dropped when it takes longer than the configuration allows; what it has bound by then may
    /// stay, and the next call for the name finds it.
    pub fn new<A, AF, D, DF>(attach: A, detach: D) -> Self
    where
        A: Fn(Attachment) -> AF + Send + Sync + 'static,
        AF: Future<Output = Result<Attached, AttachError>> + Send + 'static,
        D: Fn(AgentName, SocketAddr) -> DF + Send + Sync + 'static,
        DF: Future<Output = ()> + Send + 'static,
    {
        Self {
            attach: Box::new(move |attachment| Box::pin(attach(attachment))),
            detach: Box::new(move |name, endpoint| Box::pin(detach(name, endpoint))),
        }
    }

    pub(super) fn attach(&self, attachment: Attachment) -> impl Future<Output = Result<Attached, AttachError>> + Send {
        (self.attach)(attachment)
    }

    pub(super) fn detach(&self, name: AgentName, endpoint: SocketAddr) -> impl Future<Output = ()> + Send {
        (self.detach)(name, endpoint)
    }
}

impl fmt::Debug for Attacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attacher").finish_non_exhaustive()
    }
}
