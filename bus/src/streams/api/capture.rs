//! Plain publishes on a stream's subjects are stored, as users of JetStream expect; one with a reply address gets the receipt.
//!
//! Each filter of each stream has a subscription with policy `block`: a publisher that is faster than the disk waits.

use std::sync::Arc;

use hashbrown::HashMap;
use myelin_store::Name;
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::server::{Serving, subscribe};
use super::{describe, options, requests};
use crate::wire::{Filter, Subject};
use crate::{Message, Overflow, SubscribeError, Subscription};

/// What is captured. Follows the streams whenever one was made, changed or deleted by request.
#[derive(Debug, Default)]
pub(super) struct Captures(Mutex<HashMap<Name, Capture>>);

#[derive(Debug)]
struct Capture {
    /// As the stream has them, in its order: a message that matches several is stored by the first.
    filters: Arc<RwLock<Vec<Filter>>>,
    subscribed: HashMap<Filter, CancellationToken>,
}

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
            let capture = captures.entry(name).or_insert_with(Capture::new);
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
    fn new() -> Self {
        Self { filters: Arc::default(), subscribed: HashMap::new() }
    }

    async fn start(&self, serving: &Arc<Serving>, filter: Filter) -> Result<CancellationToken, SubscribeError> {
        let subscription = subscribe(&serving.bus, filter.as_str(), Overflow::Block).await?;
        let token = serving.token.child_token();
        let filters = Arc::clone(&self.filters);
        serving.tracker.spawn(capture(Arc::clone(serving), subscription, filters, filter, token.clone()));
        Ok(token)
    }
}

async fn capture(
    serving: Arc<Serving>,
    subscription: Subscription,
    filters: Arc<RwLock<Vec<Filter>>>,
    filter: Filter,
    token: CancellationToken,
) {
    let is_mine = move |subject: &Subject| {
        let is_ours = NEVER.iter().any(|never| subject.as_str().starts_with(never));
        !is_ours && filters.read().iter().find(|filter| filter.matches(subject)) == Some(&filter)
    };
    let is_mine = Arc::new(is_mine);
    let handle = move |serving: Arc<Serving>, message: Message| {
        let is_mine = is_mine(&message.subject);
        async move {
            if is_mine {
                store(&serving, message).await;
            }
        }
    };
    super::server::read_until(serving, subscription, &token, handle).await;
}

async fn store(serving: &Serving, mut message: Message) {
    let reply = message.reply.take();
    let stored = match options::take(message.meta.as_deref_mut()) {
        Ok(options) => serving.bus.publish_durable(&message, &options).await.map_err(|error| describe::publish_error(&error)),
        Err(error) => Err(describe::stream_error(&error)),
    };
    match (&stored, &reply) {
        (Ok(_), _) => _ = serving.metrics.captured.inc(),
        (Err(_), Some(_)) => {}
        (Err(error), None) => {
            serving.metrics.not_captured.inc();
            warn!(subject = %message.subject, %error, "a message was not stored, and its publisher does not know");
        }
    }
    if let Some(reply) = &reply {
        let answer = stored.map_or_else(|error| error, |receipt| describe::receipt(&receipt));
        requests::say(serving, reply, &answer);
    }
}
