//! The task that speaks: hello, changes, beats and goodbye; that asks who came for their names, and forgets who has fallen silent.

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::InlineSubscription;
use myelin_bus::wire::Body;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, info};

use super::message::{Head, MESSAGE_BYTES_MAX, News, NodeId, Page, encode_news};
use super::{Shared, ask, news_subject};

/// Sidecars that are asked for their names at a time; the others wait.
const ASKING_MAX: usize = 8;

/// When there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs until the token ends it. The subscriptions live as long.
pub(super) async fn attend(shared: Arc<Shared>, ears: Vec<InlineSubscription>) {
    let token = shared.token.clone();
    let mut asking = JoinSet::new();
    let running = run(&shared, &mut asking);
    let _ended = token.run_until_cancelled(running).await;
    leave(&shared).await;
    drop(ears);
}

async fn run(shared: &Arc<Shared>, asking: &mut JoinSet<(NodeId, Option<Page>)>) {
    loop {
        speak(shared).await;
        forget(shared);
        ask_who_came(shared, asking);
        tokio::select! {
            () = shared.work.notified() => {}
            () = tokio::time::sleep_until(next_at(shared, asking.len())) => {}
            Some(asked) = asking.join_next() => {
                if let Ok((node, listed)) = asked {
                    note(shared, node, listed);
                }
            }
        }
    }
}

/// Says everything that is to be said now.
async fn speak(shared: &Shared) {
    loop {
        let next = shared.own.lock().next(Instant::now());
        let Some((head, news)) = next else { return };
        tell(shared, &head, &news).await;
        let told = shared.own.lock().told();
        // Also when the network has not taken it: whoever waits for it has waited long enough, and the next beat says what was missed.
        shared.told.send_replace(told);
    }
}

/// Hands a message to the network, within the patience for that.
async fn tell(shared: &Shared, head: &Head, news: &News) {
    let body = encode_news(head, news);
    debug_assert!(body.len() <= MESSAGE_BYTES_MAX, "names are counted before they are put in");
    let subject = news_subject();
    let telling = async {
        shared.bus.publish(&subject, Body::from(body)).await?;
        shared.bus.flush().await;
        Ok::<_, myelin_bus::PublishError>(())
    };
    match tokio::time::timeout(shared.config.tell_patience, telling).await {
        Ok(Ok(())) => shared.metrics.sent(),
        Ok(Err(error)) => debug!(%error, "other sidecars are not told"),
        Err(_elapsed) => debug!("other sidecars may not have been told, the network takes its time"),
    }
}

/// Says goodbye, once.
pub(super) async fn leave(shared: &Shared) {
    let bye = shared.own.lock().bye();
    if let Some((head, news)) = bye {
        tell(shared, &head, &news).await;
    }
}

fn forget(shared: &Shared) {
    let (silent, moved) = shared.nodes.lock().expire(Instant::now());
    if silent > 0 {
        info!(sidecars = silent, names = moved.len(), "sidecars of other machines have fallen silent");
        shared.locate(&moved);
    }
}

fn ask_who_came(shared: &Arc<Shared>, asking: &mut JoinSet<(NodeId, Option<Page>)>) {
    if asking.len() >= ASKING_MAX {
        return;
    }
    let due = shared.nodes.lock().next_asked(Instant::now(), ASKING_MAX - asking.len());
    for node in due {
        let shared = Arc::clone(shared);
        asking.spawn(async move { (node, ask::list(&shared, node).await) });
    }
}

fn note(shared: &Shared, node: NodeId, listed: Option<Page>) {
    let now = Instant::now();
    let Some(Page { head, names, .. }) = listed else {
        debug!(%node, "a sidecar did not say which names it serves");
        return shared.nodes.lock().not_listed(node, now);
    };
    debug!(%node, host = head.host, names = names.len(), "a sidecar said which names it serves");
    let heard = shared.nodes.lock().listed(&head, names, now);
    shared.follow(heard);
}

fn next_at(shared: &Shared, asking: usize) -> Instant {
    let now = Instant::now();
    let own = shared.own.lock().next_at(now);
    // With all places taken, the next thing is that one gets free.
    let others = shared.nodes.lock().next_at(asking < ASKING_MAX);
    own.into_iter().chain(others).min().unwrap_or(now + IDLE)
}
