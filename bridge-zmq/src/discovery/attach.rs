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

/// A name that another machine serves, to be led to from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The name.
    pub name: AgentName,
    /// Whether it has a health socket there.
    pub has_health: bool,
    /// The ports this name had before, as in [`Attachment::preferred`].
    pub preferred: Option<Attached>,
}

/// Why a replica could not be attached, in words for the log and for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct AttachError {
    /// A lowercase fragment. Must not contain `not found` or `not registered`, which stop a client's retries.
    pub reason: String,
}

/// Is told by which machine a name is served; none when no other one does.
pub(super) type Locate = dyn Fn(&AgentName, Option<&str>) + Send + Sync;

type BoxedFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the routes offer to discovery.
///
/// Calls for one name never overlap.
pub struct Attacher {
    attach: Box<dyn Fn(Attachment) -> BoxedFuture<Result<Attached, AttachError>> + Send + Sync>,
    detach: Box<dyn Fn(AgentName, SocketAddr) -> BoxedFuture<()> + Send + Sync>,
    open: Box<dyn Fn(Opening) -> BoxedFuture<Result<Attached, AttachError>> + Send + Sync>,
    locate: Box<Locate>,
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
            open: Box::new(|_| Box::pin(async { Err(AttachError { reason: "agents of other machines are not served here".to_owned() }) })),
            locate: Box::new(|_, _| {}),
        }
    }

    /// Adds what is offered for agents of other machines.
    ///
    /// - `open` resolves as soon as our ports for the name are bound; requests to them go over the bus. Opening what has ports already, for whatever
    ///   reason, answers the same ones, with a health port if there was none and one is needed.
    /// - `locate` is told by which machine a name is served from now on, none when no other one does. It must not block.
    #[must_use]
    pub fn with_elsewhere<O, OF, L>(self, open: O, locate: L) -> Self
    where
        O: Fn(Opening) -> OF + Send + Sync + 'static,
        OF: Future<Output = Result<Attached, AttachError>> + Send + 'static,
        L: Fn(&AgentName, Option<&str>) + Send + Sync + 'static,
    {
        Self { open: Box::new(move |opening| Box::pin(open(opening))), locate: Box::new(locate), ..self }
    }

    pub(super) fn attach(&self, attachment: Attachment) -> impl Future<Output = Result<Attached, AttachError>> + Send {
        (self.attach)(attachment)
    }

    pub(super) fn detach(&self, name: AgentName, endpoint: SocketAddr) -> impl Future<Output = ()> + Send {
        (self.detach)(name, endpoint)
    }

    pub(super) fn open(&self, opening: Opening) -> impl Future<Output = Result<Attached, AttachError>> + Send {
        (self.open)(opening)
    }

    pub(super) fn locate(&self, name: &AgentName, host: Option<&str>) {
        (self.locate)(name, host);
    }
}

impl fmt::Debug for Attacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attacher").finish_non_exhaustive()
    }
}
