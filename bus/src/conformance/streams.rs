//! Streams as such: made, changed, looked at, emptied, deleted.

use bytes::Bytes;

use super::fixture::Fixture;
use super::orders::{job, work};
use crate::streams::{ConsumerConfig, Durability, OnFull, PublishDurableError, PublishOptions, Retention, StreamConfig, StreamError};
use crate::wire::{Body, Frames};
use crate::{Message, Meta};

/// "`ensure_stream(config)`": once or more often is the same, from whichever process.
pub async fn a_stream_is_made_once(on: &Fixture) {
    let made = on.orders(|config| config.messages_max = 7).await;
    assert_eq!((made.config.name, made.config.messages_max, made.messages), (on.name("orders"), 7, 0));
    on.store("orders.new", "kept").await;
    let again = on.second().ensure_stream(&made_config(on)).await.unwrap();
    assert_eq!((again.config.messages_max, again.messages, again.last_sequence), (7, 1, 1));
    let listed = on.second().list_streams().await.unwrap();
    assert_eq!(listed.iter().filter(|stream| stream.config.name == on.name("orders")).count(), 1);
}

fn made_config(on: &Fixture) -> StreamConfig {
    let mut config = on.config("orders", &["orders.>"]);
    config.messages_max = 7;
    config
}

/// "`ensure_stream` (subjects, limits …)": another configuration of the same name changes the stream, and what it has stays.
pub async fn a_stream_is_changed_and_keeps_what_it_has(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let changed = on.orders(|config| {
        config.subjects = vec![on.filter("orders.*"), on.filter("invoices.>")];
        config.messages_max = 2;
    });
    let changed = changed.await;
    assert_eq!((changed.config.subjects.len(), changed.messages), (2, 1));
    assert_eq!(on.store("invoices.new", "b").await, 2);
    let refused = on.store_with("orders.new", "c", &PublishOptions::default()).await;
    assert!(matches!(refused, Err(PublishDurableError::StreamFull { .. })), "{refused:?}");
    on.orders(|config| config.subjects = vec![on.filter("invoices.>")]).await;
    let refused = on.store_with("orders.new", "c", &PublishOptions::default()).await;
    assert_eq!(refused, Err(PublishDurableError::NoStream { subject: on.subject("orders.new") }));
    assert_eq!(on.info().await.messages, 2, "what is stored is not judged again");
}

/// What was promised to whom has a message stays promised: how a stream lets go of messages, and what its acks mean, is not changed.
pub async fn what_was_promised_is_not_changed(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    for field in ["retention", "durability"] {
        let mut config = on.config("orders", &["orders.>"]);
        match field {
            "retention" => config.retention = Retention::WorkQueue,
            _ => config.durability = Durability::OsBuffered,
        }
        let refused = on.bus().ensure_stream(&config).await;
        assert!(matches!(&refused, Err(StreamError::Invalid { field: found, .. }) if *found == field), "{refused:?}");
    }
    assert_eq!((on.info().await.config.retention, on.info().await.messages), (Retention::Limits, 1));
}

/// "Typed errors, each a fact a caller can act on": a stream has to store something.
pub async fn a_stream_without_subjects_is_refused(on: &Fixture) {
    let refused = on.bus().ensure_stream(&on.config("orders", &[])).await;
    assert!(matches!(refused, Err(StreamError::Invalid { field: "subjects", .. })), "{refused:?}");
}

/// A subject is stored by one stream: a second one that would store it too is refused, new or changed.
pub async fn streams_that_share_subjects_are_refused(on: &Fixture) {
    on.orders(|_| {}).await;
    for subject in ["orders.new", "orders.*", "*.new", ">"] {
        let refused = on.bus().ensure_stream(&on.config("second", &[subject])).await;
        assert!(matches!(refused, Err(StreamError::Overlap { .. })), "{subject}: {refused:?}");
    }
    on.bus().ensure_stream(&on.config("second", &["other.>"])).await.unwrap();
    let refused = on.bus().ensure_stream(&on.config("second", &["other.>", "orders.new"])).await;
    assert!(matches!(refused, Err(StreamError::Overlap { .. })), "{refused:?}");
    on.store("other.a", "still stored by the second").await;
    assert_eq!(on.store("orders.new", "and this by the first").await, 1);
}

/// "Info": what is in a stream.
pub async fn info_tells_what_is_in_a_stream(on: &Fixture) {
    let empty = on.orders(|_| {}).await;
    assert_eq!((empty.messages, empty.first_sequence, empty.last_sequence, empty.first_ms), (0, 0, 0, None));
    for subject in ["orders.a", "orders.b", "orders.a"] {
        on.store(subject, "12345").await;
    }
    let info = on.info().await;
    assert_eq!((info.messages, info.first_sequence, info.last_sequence, info.subjects), (3, 1, 3, 2));
    assert!(info.bytes >= 15 && info.first_ms.is_some(), "{info:?}");
    let missing = on.bus().stream_info(&on.name("missing")).await;
    assert_eq!(missing.unwrap_err(), StreamError::NoStream { stream: on.name("missing") });
}

/// "Frames are opaque, byte for byte, in number, order and content", and so they are kept, with the headers of their message.
pub async fn a_message_is_kept_as_it_was_published(on: &Fixture) {
    on.orders(|_| {}).await;
    let headers = vec![("Mine".into(), Bytes::from("1")), ("Mine".into(), Bytes::from("2"))];
    let frames = Body::Frames(Frames::from_parts([&b"id"[..], b"", b"\x80\x04\xff"]).unwrap());
    for body in [Body::from("text"), frames, Body::from(""), Body::from(vec![7; 300_000])] {
        let meta = Some(Box::new(Meta { headers: headers.clone(), envelope: None }));
        let message = Message { meta, ..Message::new(on.subject("orders.new"), body.clone()) };
        let receipt = on.bus().publish_durable(&message, &PublishOptions::default()).await.unwrap();
        let got = on.second().get_message(&on.name("orders"), receipt.sequence).await.unwrap().expect("it is there");
        assert!(got.body == body, "{} bytes", body.len());
        assert_eq!((got.subject, got.meta.map(|meta| meta.headers)), (on.subject("orders.new"), Some(headers.clone())));
    }
    assert!(on.bus().get_message(&on.name("orders"), 99).await.unwrap().is_none());
}

/// "Delete": one message, and its sequence is not used again.
pub async fn a_deleted_message_is_gone_and_its_sequence_is_not_used_again(on: &Fixture) {
    on.orders(|_| {}).await;
    for body in ["a", "b"] {
        on.store("orders.new", body).await;
    }
    let stream = on.name("orders");
    assert!(on.bus().delete_message(&stream, 2).await.unwrap());
    assert!(!on.bus().delete_message(&stream, 2).await.unwrap(), "it was there once");
    assert!(on.bus().get_message(&stream, 2).await.unwrap().is_none());
    assert_eq!((on.info().await.messages, on.store("orders.new", "c").await), (1, 3));
    let worker = on.workers(|_| {}).await;
    assert_eq!([work(&worker).await, work(&worker).await], ["a", "c"], "no worker gets it");
}

/// "Purge": everything, or what is on subjects of a filter; tells how many.
pub async fn purge_takes_what_its_filter_names(on: &Fixture) {
    on.orders(|_| {}).await;
    for subject in ["orders.a.1", "orders.b.1", "orders.a.2", "orders.c"] {
        on.store(subject, subject.to_owned()).await;
    }
    let stream = on.name("orders");
    assert_eq!(on.bus().purge_stream(&stream, Some(&on.filter("orders.a.*"))).await.unwrap(), 2);
    assert_eq!(on.bus().sequences(&stream, 0, 9, None).await.unwrap(), [2, 4]);
    assert_eq!(on.bus().purge_stream(&stream, None).await.unwrap(), 2);
    assert_eq!((on.info().await.messages, on.store("orders.a.3", "next").await), (0, 5));
}

/// A stream is looked through by sequence and subject.
pub async fn sequences_are_listed_from_a_place_on(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 1..=9 {
        on.store(if number % 3 == 0 { "orders.third" } else { "orders.other" }, "x").await;
    }
    let stream = on.name("orders");
    let third = on.filter("orders.third");
    assert_eq!(on.bus().sequences(&stream, 0, 100, None).await.unwrap(), (1..=9).collect::<Vec<_>>());
    assert_eq!(on.bus().sequences(&stream, 4, 3, None).await.unwrap(), [4, 5, 6]);
    assert_eq!(on.bus().sequences(&stream, 4, 100, Some(&third)).await.unwrap(), [6, 9]);
    assert_eq!(on.bus().sequences(&stream, 10, 100, None).await.unwrap(), [0_u64; 0]);
}

/// "Delete": a stream with all that is in it. One of the same name begins anew.
pub async fn a_deleted_stream_is_gone_and_may_begin_anew(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    on.workers(|_| {}).await;
    let stream = on.name("orders");
    assert!(on.second().delete_stream(&stream).await.unwrap());
    assert!(!on.bus().delete_stream(&stream).await.unwrap(), "it was there once");
    let no_stream = || StreamError::NoStream { stream: stream.clone() };
    assert_eq!(on.bus().stream_info(&stream).await.unwrap_err(), no_stream());
    assert_eq!(on.bus().purge_stream(&stream, None).await.unwrap_err(), no_stream());
    assert_eq!(on.bus().ensure_consumer(&stream, &ConsumerConfig::new(on.name("w"))).await.unwrap_err(), no_stream());
    let refused = on.store_with("orders.new", "b", &PublishOptions::default()).await;
    assert_eq!(refused, Err(PublishDurableError::NoStream { subject: on.subject("orders.new") }));
    let anew = on.orders(|config| config.retention = Retention::WorkQueue).await;
    assert_eq!((anew.messages, anew.last_sequence, anew.consumers.len()), (0, 0, 0));
    assert_eq!(on.store("orders.new", "c").await, 1);
    let worker = on.workers(|_| {}).await;
    assert_eq!(job(&worker).await.deliveries(), 1);
}

/// "Removed by a limit the operator named": what left a stream otherwise than by an ack is counted.
pub async fn what_left_is_counted(on: &Fixture) {
    on.orders(|config| {
        config.messages_max = 3;
        config.on_full = OnFull::DropOldest;
    })
    .await;
    for _ in 0..5 {
        on.store("orders.new", "x").await;
    }
    on.bus().delete_message(&on.name("orders"), 5).await.unwrap();
    let info = on.info().await;
    assert_eq!((info.evicted, info.removed, info.expired), (2, 1, 0));
}
