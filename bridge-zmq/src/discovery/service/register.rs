//! Takes a registration: decided, attached, and on disk before it is answered.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::SystemTime;

use thiserror::Error;
use tracing::{debug, info, warn};

use super::super::address::AddressError;
use super::super::agent::Registration;
use super::super::answer;
use super::super::attach::AttachError;
use super::super::dialect::Dialect;
use super::super::json::Text;
use super::super::metrics::{Outcome, Verb};
use super::super::registry::{Change, Registered, RegistryError, Seen};
use super::{Caller, Discovery};

/// Why a registration was not taken.
#[derive(Debug, Error)]
enum RegisterError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("agent cannot be attached: {0}")]
    Attach(AttachError),
}

impl Discovery {
    pub(super) async fn answer_registration(&self, dialect: Dialect, registration: &Registration, caller: Caller) -> String {
        let (outcome, answer) = match self.register(registration, caller).await {
            Ok(()) => (Outcome::Done, answer::registered(dialect)),
            Err(error) => {
                warn!(agent = %registration.name, peer = %caller.peer, %error, "registration refused");
                let outcome = match error {
                    RegisterError::Address(_) | RegisterError::Registry(_) => Outcome::Refused,
                    RegisterError::Attach(_) => Outcome::AttachFailed,
                };
                (outcome, answer::failed(dialect, &Text::new(&error.to_string())))
            }
        };
        self.inner.metrics.answered(Verb::Register, outcome);
        answer
    }

    async fn register(&self, registration: &Registration, caller: Caller) -> Result<(), RegisterError> {
        let inner = &*self.inner;
        let ip = inner.config.addresses.resolve(registration.host.as_deref(), caller.peer, is_ours)?;
        let endpoint = SocketAddr::new(ip, registration.port);
        let local = ip.is_loopback() || is_ours(ip);

        let name = self.lock_name(&registration.name).await;
        let contested = inner.registry.lock().contested(&registration.name, endpoint);
        let alive = inner.reach.alive(contested).await;
        let registered = {
            let mut registry = inner.registry.lock();
            registry.reserve(caller.local.port());
            let seen = Seen { alive: &alive, local };
            let registered = registry.register(registration, endpoint, seen, SystemTime::now())?;
            inner.metrics.agents(registry.len());
            registered
        };
        let Registered { agent, change, withdrawn } = registered;
        match change {
            Change::New | Change::Added | Change::Replaced => {
                info!(agent = %agent.name, %endpoint, ?change, "agent registered");
            }
            Change::Updated => debug!(agent = %agent.name, %endpoint, "agent registered again"),
        }
        inner.reach.forget(endpoint);
        // Even if it cannot be attached now, it is known, and the next lookup tries again.
        let change = inner.saver.changed();
        for (name, endpoint) in withdrawn {
            self.unattended(&name);
            inner.attacher.detach(name, endpoint).await;
        }
        let attached = self.attach(&agent).await;
        drop(name);
        let change = if attached.is_ok() { inner.saver.changed() } else { change };
        let saving = inner.saver.saved(change, inner.config.persist_patience);
        let telling = async {
            if attached.is_ok() {
                self.told(&agent).await;
            }
        };
        let _late_or_failed = tokio::join!(saving, telling);
        attached.map(drop).map_err(RegisterError::Attach)
    }
}

/// Whether an address belongs to this machine: only then can something be bound to it. No packet is sent.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
