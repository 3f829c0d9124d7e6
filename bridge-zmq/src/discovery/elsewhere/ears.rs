//! What comes in: news, and what other sidecars ask.
//!
//! News and lists are dealt with inside the call that brings them; a look at an agent takes a task, of which there is a bounded number.

use std::sync::Arc;

use bytes::Bytes;
use myelin_bus::wire::{Body, QueueGroup};
use myelin_bus::{Delivery, InlineSubscription, ReplyTo, SubscribeError};
use tokio::time::Instant;
use tracing::debug;

use super::message::{Found, decode_name, decode_news, encode_found, encode_page};
use super::{Shared, news_filter};

/// Requests are for one subscriber only. Nobody else is in its group.
const GROUP: &str = "myelin";

pub(super) fn listen(shared: &Arc<Shared>) -> Result<Vec<InlineSubscription>, SubscribeError> {
    let group = || Some(QueueGroup::new(GROUP).expect("a plain word is a legal group"));
    let (node, bus) = (shared.own.lock().node(), shared.bus.clone());
    let (hearing, listing, finding) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    Ok(vec![
        bus.subscribe_inline(&news_filter(), None, move |delivery: Delivery<'_>| each(delivery, |bytes, _| hear(&hearing, bytes)))?,
        bus.subscribe_inline(&Shared::subject_of(node, "LIST").into(), group(), move |delivery: Delivery<'_>| {
            each(delivery, |bytes, reply| list(&listing, bytes, reply));
        })?,
        bus.subscribe_inline(&Shared::subject_of(node, "FIND").into(), group(), move |delivery: Delivery<'_>| {
            each(delivery, |bytes, reply| find(&finding, bytes, reply));
        })?,
    ])
}

fn each(delivery: Delivery<'_>, mut take: impl FnMut(&Bytes, Option<&ReplyTo>)) {
    for body in delivery.bodies {
        match body {
            Body::Blob(bytes) => take(bytes, delivery.reply),
            Body::Frames(frames) => take(&frames.first(), delivery.reply),
        }
    }
}

fn hear(shared: &Shared, bytes: &[u8]) {
    let Ok((head, news)) = decode_news(bytes) else { return shared.metrics.malformed() };
    if head.node == shared.own.lock().node() {
        // Our own voice.
        return;
    }
    shared.metrics.received();
    let now = Instant::now();
    let heard = shared.nodes.lock().heard(&head, news, now);
    if heard.is_greeting {
        shared.own.lock().greeted(now);
    }
    shared.follow(heard);
    shared.work.notify_one();
}

fn list(shared: &Shared, bytes: &[u8], reply: Option<&ReplyTo>) {
    let Ok(after) = decode_name(bytes) else { return shared.metrics.malformed() };
    let Some(reply) = reply else { return };
    let page = shared.own.lock().page(after.as_ref());
    reply.respond(&shared.bus, Body::from(encode_page(&page)));
}

fn find(shared: &Arc<Shared>, bytes: &[u8], reply: Option<&ReplyTo>) {
    let Ok(Some(name)) = decode_name(bytes) else { return shared.metrics.malformed() };
    let Some(reply) = reply.cloned() else { return };
    let Ok(place) = Arc::clone(&shared.looking).try_acquire_owned() else {
        return debug!("too many lookups of other sidecars at a time");
    };
    let (looking, token) = (Arc::clone(shared), shared.token.clone());
    shared.tracker.spawn(token.run_until_cancelled_owned(async move {
        let found = Found::from((looking.hooks.look)(name).await);
        reply.respond(&looking.bus, Body::from(encode_found(&found)));
        drop(place);
    }));
}
