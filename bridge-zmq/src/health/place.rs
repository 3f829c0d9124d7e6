//! What a service of this machine has to do with polls: its agents can be asked for others, or its callers be answered without them.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use myelin_bus::ReplyTo;
use myelin_bus::wire::Frames;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::asking::Known;
use super::message::Why;
use super::{Shared, pattern};
use crate::discovery::json::{self, Json};
use crate::front::{HealthPage, response_len};
use crate::meter::Saved;

/// What an agent is asked when somebody asks us by HTTP: the health sockets of agents answer anything, their service sockets this.
const HTTP_POLL: &[u8] = b"{\"action\": \"health_check\"}";

/// What agents call it when they are not well, in lower case.
const NOT_WELL: [&str; 8] = ["error", "unhealthy", "degraded", "down", "failed", "critical", "offline", "stopping"];

/// Who is asked for others.
pub(crate) trait Serving: fmt::Debug + Send + Sync {
    /// Which agent there is.
    fn sole(&self) -> Sole;

    /// Asks it. A reply comes once, late or never.
    fn check(&self, request: Frames, reply: ReplyTo);
}

/// Which agent a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sole {
    /// None is connected.
    Nobody,
    /// A single REP.
    Rep,
    /// More than one.
    Several,
    /// One whose answers cannot be told.
    Unfit,
}

/// All services of one name in this process.
pub(crate) struct Place {
    service: Arc<str>,
    health: Weak<Shared>,
    /// Agents that are connected.
    agents: AtomicUsize,
    serving: Mutex<Vec<Weak<dyn Serving>>>,
}

impl Place {
    pub(super) fn new(service: Arc<str>, health: Weak<Shared>) -> Self {
        Self { service, health, agents: AtomicUsize::new(0), serving: Mutex::default() }
    }

    /// Adds who has agents of this name, or will have.
    pub(crate) fn serve(&self, serving: Weak<dyn Serving>) {
        let mut all = self.serving.lock();
        all.retain(|serving| serving.strong_count() > 0);
        all.push(serving);
    }

    /// An agent has come.
    pub(crate) fn attached(&self) {
        if self.agents.fetch_add(1, Ordering::Relaxed) > 0 {
            self.end(Why::Several);
        }
    }

    /// An agent has gone. To be called before anybody is answered in its place.
    pub(crate) fn detached(&self) {
        self.agents.fetch_sub(1, Ordering::Relaxed);
        self.end(Why::Ended);
    }

    fn end(&self, why: Why) {
        if let Some(health) = self.health.upgrade() {
            health.checking.lock().ended(&self.service, why);
            health.work.notify_one();
        }
    }

    pub(super) fn sole(&self) -> Sole {
        match self.agents.load(Ordering::Relaxed) {
            0 => Sole::Nobody,
            1 => self.serving().map_or(Sole::Nobody, |serving| serving.sole()),
            _ => Sole::Several,
        }
    }

    /// Who has the agent, if there is one.
    pub(super) fn serving(&self) -> Option<Arc<dyn Serving>> {
        let all: Vec<_> = self.serving.lock().iter().filter_map(Weak::upgrade).collect();
        all.into_iter().find(|serving| serving.sole() != Sole::Nobody)
    }

    /// What a request is answered without its agent, if it is a poll of one elsewhere whose answer is known: the whole message, and what it saves.
    pub(crate) fn answer(&self, request: &Frames) -> Option<(Frames, Saved)> {
        let health = self.elsewhere()?;
        let at = request.slices().position(<[u8]>::is_empty)?;
        // A poll has one frame behind the delimiter.
        let poll = request.slices().nth(at + 1).filter(|_| at + 2 == request.count() as usize)?;
        let Known { content, kind } = self.known(&health, poll, || pattern::is_poll(&health.config.polls, poll))?;
        let reply = Frames::from_parts(request.slices().take(at + 1).chain(content.slices()))?;
        let saved = Saved { meter: health.meter.clone(), kind, bytes: request.packed().len() + reply.packed().len() };
        Some((reply, saved))
    }

    /// What somebody is told who asks by HTTP, in so many bytes. A document that does not say how the agent is tells nothing here.
    pub(crate) fn page(&self, request_bytes: usize) -> Option<HealthPage> {
        let health = self.elsewhere()?;
        let Known { content, kind } = self.known(&health, HTTP_POLL, || true)?;
        let body = (content.count() == 1).then(|| content.first())?;
        let page = HealthPage { is_well: is_well(&body)?, body };
        let bytes = request_bytes + response_len(&page);
        Saved { meter: health.meter.clone(), kind, bytes }.count(false);
        Some(page)
    }

    /// Everything there is, if the agents of the name are elsewhere: asking those of this machine costs no network.
    fn elsewhere(&self) -> Option<Arc<Shared>> {
        if self.agents.load(Ordering::Relaxed) > 0 { None } else { self.health.upgrade() }
    }

    fn known(&self, health: &Shared, poll: &[u8], is_poll: impl FnOnce() -> bool) -> Option<Known> {
        let (known, has_news) = {
            let mut asking = health.asking.lock();
            (asking.poll(&self.service, poll, is_poll, Instant::now()), asking.has_news())
        };
        if has_news {
            health.work.notify_one();
        }
        known
    }
}

/// Whether a document says that its agent is well; none where it says nothing of that.
fn is_well(document: &[u8]) -> Option<bool> {
    let document = json::read(document).ok()?;
    let status = document.get("status").and_then(Json::as_text).map(|status| status.escaped().to_lowercase());
    let ready = document.get("ready");
    if status.is_none() && ready.is_none() {
        return None;
    }
    Some(ready != Some(&Json::Bool(false)) && status.is_none_or(|status| !NOT_WELL.contains(&&*status)))
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(health) = self.health.upgrade() else { return };
        let mut places = health.places.lock();
        // Another of the name may have come meanwhile.
        if places.get(&self.service).is_some_and(|place| place.strong_count() == 0) {
            places.remove(&self.service);
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("service", &self.service).field("agents", &self.agents).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_whether_its_agent_is_well_or_nothing_of_it() {
        for (document, well) in [
            ("{\"status\": \"ok\", \"ready\": true}", Some(true)),
            ("{\"status\": \"HEALTHY\"}", Some(true)),
            ("{\"status\": \"ok\", \"ready\": false}", Some(false)),
            ("{\"status\": \"Degraded\", \"ready\": true}", Some(false)),
            ("{\"status\": \"error\", \"error\": \"Unknown action: health_check\"}", Some(false)),
            ("{\"success\": true}", None),
            ("pong", None),
        ] {
            assert_eq!(is_well(document.as_bytes()), well, "{document}");
        }
    }
}
