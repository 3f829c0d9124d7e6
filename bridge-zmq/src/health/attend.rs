//! The task that says what is to be said and asks the agents. It alone does, so that everything is said in the order in which it was decided.

use std::sync::{Arc, Weak};
use std::time::Duration;

use myelin_bus::wire::{Body, Frames};
use myelin_bus::{ReplySink, ReplyTo};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::asking::To;
use super::checking::Act;
use super::config::DOCUMENT_BYTES_MAX;
use super::key::Key;

/// Between two looks at what is due: what comes due meanwhile is done together. A thousand agents would wake it for each of their answers.
const PACE: Duration = Duration::from_millis(20);

/// When there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs until it is dropped.
pub(super) async fn attend(shared: Arc<Shared>) {
    loop {
        act(&shared).await;
        let rested = Instant::now() + PACE;
        let (asking, checking) = {
            let now = Instant::now();
            let asking = shared.asking.lock().next_at(now);
            (asking, shared.checking.lock().next_at(now))
        };
        let next = asking.into_iter().chain(checking).min().unwrap_or(rested + IDLE);
        tokio::select! {
            () = shared.work.notified() => {}
            () = sleep_until(next) => {}
            () = shared.bus.reconnected() => shared.asking.lock().ask_again(Instant::now()),
        }
        sleep_until(rested).await;
    }
}

async fn act(shared: &Arc<Shared>) {
    loop {
        let act = shared.checking.lock().next_act(Instant::now());
        match act {
            Some(Act::Say(node, said)) => shared.say(To::One(node), said).await,
            Some(Act::Check { key, number }) => check(shared, key, number),
            Some(Act::Unfit { key, member }) => tell_unfit(&key, member.as_deref()),
            None => break,
        }
    }
    loop {
        let said = shared.asking.lock().next_said(Instant::now());
        let Some((to, said)) = said else { break };
        shared.say(to, said).await;
    }
    let (documents, sidecars) = shared.asking.lock().counts();
    let checked = shared.checking.lock().len();
    shared.metrics.known(documents, sidecars, checked);
}

/// Asks the agent, as one of its callers would. If it has gone meanwhile, that is told as well.
fn check(shared: &Arc<Shared>, key: Key, number: u64) {
    let Some(agents) = shared.place(key.service()).and_then(|place| place.serving()) else { return };
    let request = Frames::from_parts([&b""[..], key.request()]).expect("two frames are some");
    let weak: Weak<Shared> = Arc::downgrade(shared);
    let sink = ReplySink::new(move |body| {
        if let Some(shared) = weak.upgrade() {
            shared.checking.lock().answered(&key, number, content(body), Instant::now());
            shared.work.notify_one();
        }
    });
    shared.metrics.checked();
    agents.check(request, ReplyTo::Sink(sink));
}

/// What stands behind the delimiter, in memory of its own; nothing where that cannot be told.
fn content(body: Body) -> Option<Frames> {
    let Body::Frames(frames) = body else { return None };
    let (first, content) = frames.split_first();
    let content = content.filter(|content| first.is_empty() && content.packed().len() <= DOCUMENT_BYTES_MAX)?;
    Frames::from_parts(content.slices())
}

fn tell_unfit(key: &Key, member: Option<&str>) {
    let (service, request) = (key.service(), key.request().escape_ascii().to_string());
    match member {
        Some(member) => {
            tracing::info!(
                service,
                request,
                member,
                "polls of other machines reach the agent itself: its answers differ each time; if the member says nothing of its health, add it to health.volatile"
            );
        }
        None => tracing::info!(
            service,
            request,
            "polls of other machines reach the agent itself: its answers are too long, or have no delimiter"
        ),
    }
}
