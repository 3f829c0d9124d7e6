//! Answers where an agent is, once it was seen to accept connections.

use super::super::agent::AgentName;
use super::super::answer::{self, Found};
use super::super::attach::AttachError;
use super::super::dialect::Dialect;
use super::super::json::Text;
use super::super::metrics::{Outcome, Verb};
use super::{Caller, Discovery};

/// Why a lookup gets no address.
pub(super) enum LookupError {
    Unknown,
    Unreachable,
    Attach(AttachError),
}

impl Discovery {
    pub(super) async fn answer_lookup(&self, dialect: Dialect, name: &Text, caller: Caller) -> String {
        let (outcome, answer) = match self.look_up(name).await {
            Ok(found) => {
                let host = self.inner.config.advertise.unwrap_or_else(|| caller.local.ip().to_canonical());
                (Outcome::Done, answer::found(dialect, host, &found))
            }
            Err(LookupError::Unknown) => (Outcome::Unknown, answer::not_found(dialect, name)),
            // These texts must not say `not found` or `not registered`: the caller is to try again.
            Err(LookupError::Unreachable) => {
                let text = name.prefixed("Agent ").suffixed(" is registered but does not accept connections");
                (Outcome::Unreachable, answer::failed(dialect, &text))
            }
            Err(LookupError::Attach(error)) => {
                let text = name.prefixed("Agent ").suffixed(&format!(" cannot be attached: {error}"));
                (Outcome::AttachFailed, answer::failed(dialect, &text))
            }
        };
        self.inner.metrics.answered(Verb::Lookup, outcome);
        answer
    }

    /// Here first, and where no agent of this machine accepts connections, on others.
    async fn look_up(&self, name: &Text) -> Result<Found, LookupError> {
        let name = AgentName::from_text(name).map_err(|_| LookupError::Unknown)?;
        let here = self.look_up_here(&name).await;
        match here {
            Ok(_) | Err(LookupError::Attach(_)) => here,
            Err(LookupError::Unknown | LookupError::Unreachable) => self.look_up_elsewhere(&name).await.unwrap_or(here),
        }
    }

    pub(super) async fn look_up_here(&self, name: &AgentName) -> Result<Found, LookupError> {
        let agent = self.get(name).ok_or(LookupError::Unknown)?;
        let endpoints: Vec<_> = agent.replicas.iter().map(|replica| replica.endpoint).collect();
        if self.inner.reach.alive(endpoints).await.is_empty() {
            return Err(LookupError::Unreachable);
        }
        if let (true, Some(ports)) = (agent.attached, agent.ports) {
            return Ok(Found::of(&agent, ports));
        }
        let _name = self.lock_name(name).await;
        // Somebody else may have attached it while this call waited.
        let agent = self.get(name).ok_or(LookupError::Unknown)?;
        let ports = match agent.ports.filter(|_| agent.attached) {
            Some(ports) => ports,
            None => {
                let ports = self.attach(&agent).await.map_err(LookupError::Attach)?;
                self.inner.saver.changed();
                ports
            }
        };
        Ok(Found::of(&agent, ports))
    }
}
