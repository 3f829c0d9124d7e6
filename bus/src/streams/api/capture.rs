//! Plain publishes on a stream's subjects are stored, as users of JetStream expect; one with a reply address gets the receipt, or the error.
//! One without, which is too large for the stream or asks for something that cannot be read, becomes a dead letter.
//!
//! Each filter of each stream has a subscription with policy `block`: a publisher that is faster than the disk waits.

use std::sync::Arc;

use hashbrown::HashMap;
use myelin_store::Name;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::dead::Death;
use super::super::error::{PublishDurableError, chain};
use super::super::reason::DeadReason;
use super::super::verbs::Receipt;
use super::server::{Serving, subscribe};
use super::{describe, options, requests};
use crate::wire::{Filter, Subject};
use crate::{Message, Overflow, SubscribeError, Subscription};

/// What is captured. Follows the streams whenever one was made, changed or deleted by request.
#[derive(Debug, Default)]
pub(super) struct Captures(Mutex<HashMap<Name, Capture>>);

#[derive(Debug)]
struct Capture {
    stream: Name,
    /// As the stream has them, in its order: a message that matches several is stored by the first.
    filters: Arc<RwLock<Vec<Filter>>>,
    subscribed: HashMap<Filter, CancellationToken>,
}

/// Stands for the consumer in letters of what could not be captured.
const STAGE: &str = "capture";

/// Subjects of our own and addresses of replies are nobody's messages, whatever a stream's filter says.
const NEVER: [&str; 2] = ["$MYELIN.", "_INBOX."];

impl Captures {
    /// Captures what the streams store now, and nothing else.
    pub(super) async fn follow(&self, serving: &Arc<Serving>) -> Result<(), SubscribeError> {
        let Some(streams) = &serving.bus.shared().streams else { return Ok(()) };
        let mut captures = self.0.lock().await;
        let wanted: HashMap<Name, Vec<Filter>> = streams.subjects().into_iter().collect();
        captures.retain(|name, capture| {
            let stays = wanted.contains_key(name);
            if !stays {
                capture.subscribed.values().for_each(CancellationToken::cancel);
            }
            stays
        });
        for (name, filters) in wanted {
            let capture = captures.entry(name.clone()).or_insert_with(|| Capture::new(name));
            capture.filters.write().clone_from(&filters);
            capture.subscribed.retain(|filter, token| {
                let stays = filters.contains(filter);
                if !stays {
                    token.cancel();
                }
                stays
            });
            for filter in filters.iter().filter(|filter| !NEVER.iter().any(|never| filter.as_str().starts_with(never))) {
                if !capture.subscribed.contains_key(filter) {
                    let token = capture.start(serving, filter.clone()).await?;
                    capture.subscribed.insert(filter.clone(), token);
                }
            }
        }
        Ok(())
    }
}

impl Capture {
    fn new(stream: Name) -> Self {
        Self { stream, filters: Arc::default(), subscribed: HashMap::new() }
    }

    async fn start(&self, serving: &Arc<Serving>, filter: Filter) -> Result<CancellationToken, SubscribeError> {
        let subscription = subscribe(&serving.bus, filter.as_str(), Overflow::Block).await?;
        let token = serving.token.child_token();
        let handling = Capturing { stream: self.stream.clone(), filters: Arc::clone(&self.filters), filter };
        serving.tracker.spawn(handling.run(Arc::clone(serving), subscription, token.clone()));
        Ok(token)
    }
}

/// What one subscription captures.
struct Capturing {
    stream: Name,
    filters: Arc<RwLock<Vec<Filter>>>,
    filter: Filter,
}

impl Capturing {
    async fn run(self, serving: Arc<Serving>, subscription: Subscription, token: CancellationToken) {
        let handle = move |serving: Arc<Serving>, message: Message| {
            let stream = self.is_mine(&message.subject).then(|| self.stream.clone());
            async move {
                if let Some(stream) = stream {
                    store(&serving, &stream, message).await;
                }
            }
        };
        let tracker = serving.tracker.clone();
        super::server::read_until(serving, subscription, &token, &tracker, handle).await;
    }

    fn is_mine(&self, subject: &Subject) -> bool {
        let is_ours = NEVER.iter().any(|never| subject.as_str().starts_with(never));
        !is_ours && self.filters.read().iter().find(|filter| filter.matches(subject)) == Some(&self.filter)
    }
}

/// Why a message is not in the stream: for whoever is told, and what it is as a dead letter if nobody is.
struct Refused {
    error: Value,
    letter: Option<DeadReason>,
}

async fn store(serving: &Serving, stream: &Name, mut message: Message) {
    let reply = message.reply.take();
    let stored = try_store(serving, &mut message).await;
    if stored.is_ok() {
        serving.metrics.captured.inc();
    }
    match (stored, &reply) {
        (Ok(_), None) => {}
        (Ok(receipt), Some(reply)) => requests::say(serving, reply, &describe::receipt(&receipt)),
        (Err(refused), Some(reply)) => requests::say(serving, reply, &refused.error),
        (Err(refused), None) => lose(serving, stream, &message, refused).await,
    }
}

async fn try_store(serving: &Serving, message: &mut Message) -> Result<Receipt, Refused> {
    let options = options::take(message.meta.as_deref_mut())
        .map_err(|error| Refused { error: describe::stream_error(&error), letter: Some(DeadReason::Malformed) })?;
    let stored = serving.bus.publish_durable(message, &options).await;
    stored.map_err(|error| {
        if let Some(meta) = message.meta.as_deref_mut() {
            // The whole message is what a letter has.
            options::give(&mut meta.headers, &options);
        }
        let letter = matches!(error, PublishDurableError::TooLarge { .. }).then_some(DeadReason::TooLarge);
        Refused { error: describe::publish_error(&error), letter }
    })
}

/// A message that no store takes and whose publisher does not wait to be told: one that never can be stored as it is becomes a dead letter.
async fn lose(serving: &Serving, stream: &Name, message: &Message, Refused { error, letter }: Refused) {
    let mut cannot = String::new();
    let why = error["error"]["message"].as_str().unwrap_or_default();
    if let Some(reason) = letter {
        let stage = Name::new(STAGE).expect("a valid constant");
        let death = Death { origin: stream.clone(), stage, reason, fault: reason.fault(), error: why.into() };
        match serving.bus.dead_letter(message, &death).await {
            Ok(receipt) => {
                serving.metrics.buried.inc();
                if let Some(messages) = serving.buried.due() {
                    let letter = receipt.sequence;
                    warn!(messages, subject = %message.subject, letter, error = why, "messages that cannot be stored are dead letters");
                }
                return;
            }
            Err(error) => cannot = format!("; no dead letter: {}", chain(&error)),
        }
    }
    serving.metrics.not_captured.inc();
    if let Some(messages) = serving.refused.due() {
        let error = format!("{why}{cannot}");
        warn!(messages, subject = %message.subject, error, "messages were not stored, and their publishers do not know");
    }
}

#[cfg(test)]
mod tests;
