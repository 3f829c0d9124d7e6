//! "Plain publishes on a stream's subjects are captured; one with a reply address gets the receipt as reply, as NATS users expect."

use bytes::Bytes;
use serde_json::Value;

use super::fixture::{Fixture, eventually, next, text};
use super::orders::{jobs, work};
use super::{PATIENCE, QUIET};
use crate::streams::{DeadReason, LetterFilter};
use crate::wire::{Body, Frames};
use crate::{Bus, Message, Meta, RequestError, SubscribeOptions};

fn with_header(on: &Fixture, subject: &str, body: impl Into<Body>, (name, value): (&str, &'static str)) -> Message {
    let meta = Meta { headers: vec![(name.into(), Bytes::from(value))], envelope: None };
    Message { meta: Some(Box::new(meta)), ..Message::new(on.subject(subject), body) }
}

async fn receipt(bus: &Bus, message: &Message) -> Value {
    serde_json::from_str(&text(&bus.request_message(message, PATIENCE).await.unwrap().body)).unwrap()
}

async fn until_stored(on: &Fixture, count: u64) {
    eventually("all are stored", async || (on.info().await.messages >= count).then_some(())).await;
}

/// "Captured", from the moment the stream is made, whole, and beside those who listen.
pub async fn a_plain_publish_is_stored_and_heard(on: &Fixture) {
    let mut listener = on.subscribe("orders.>", SubscribeOptions::default()).await;
    on.orders(|_| {}).await;
    let body = Body::Frames(Frames::from_parts([&b"id"[..], b"", b"\xff"]).unwrap());
    let message = with_header(on, "orders.new", body.clone(), ("Mine", "1"));
    on.bus().publish_message(message.clone()).await.unwrap();
    on.second().publish_message(message.clone()).await.unwrap();
    for sequence in [1, 2] {
        let stored = eventually("it is stored", async || on.bus().get_message(&on.name("orders"), sequence).await.unwrap()).await;
        assert_eq!((stored.subject, stored.body, stored.meta), (message.subject.clone(), body.clone(), message.meta.clone()));
        assert_eq!(next(&mut listener).await.body, body);
    }
}

/// "One with a reply address gets the receipt as reply."
pub async fn a_request_on_a_streams_subject_gets_the_receipt(on: &Fixture) {
    on.orders(|_| {}).await;
    for (bus, body) in [(on.bus(), "a"), (on.second(), "b")] {
        let receipt = receipt(bus, &Message::new(on.subject("orders.new"), body)).await;
        assert!(receipt["stream"].is_string() && receipt["error"].is_null(), "{receipt}");
    }
    let worker = on.workers(|_| {}).await;
    assert_eq!([work(&worker).await, work(&worker).await], ["a", "b"], "stored when the receipt came");
}

/// `Receipt { stream, … }`: by the name that the stream has for everybody.
pub async fn the_receipt_names_the_stream(on: &Fixture) {
    on.orders(|_| {}).await;
    let receipt = receipt(on.bus(), &Message::new(on.subject("orders.new"), "a")).await;
    assert_eq!(receipt["stream"], on.name("orders").as_str(), "{receipt}");
}

/// A message is one message, however many filters of its stream match.
pub async fn what_several_filters_match_is_stored_once(on: &Fixture) {
    on.orders(|config| config.subjects = vec![on.filter("orders.*"), on.filter("orders.>")]).await;
    on.publish("orders.new", "a").await;
    on.bus().flush().await;
    receipt(on.bus(), &Message::new(on.subject("orders.new.deep"), "b")).await;
    let worker = on.workers(|_| {}).await;
    let mut got: Vec<_> = jobs(&worker, 2).await.iter().map(|job| text(job.body())).collect();
    got.sort_unstable();
    assert_eq!((got, on.info().await.messages), (vec!["a".to_owned(), "b".to_owned()], 2));
}

/// Messages of one publisher are stored in its order.
pub async fn plain_publishes_keep_their_order(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 0..300 {
        on.publish("orders.new", number.to_string()).await;
    }
    until_stored(on, 300).await;
    let worker = on.workers(|_| {}).await;
    let got: Vec<_> = jobs(&worker, 300).await.iter().map(|job| text(job.body())).collect();
    assert_eq!(got, (0..300).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// "Dedup by message id", under the name of the header that users of NATS know.
pub async fn an_id_in_a_header_counts(on: &Fixture) {
    on.orders(|_| {}).await;
    let message = with_header(on, "orders.new", "a", ("Nats-Msg-Id", "1"));
    assert!(receipt(on.bus(), &message).await["duplicate"] != true);
    assert_eq!(receipt(on.second(), &message).await["duplicate"], true);
    assert_eq!(on.info().await.messages, 1);
}

/// What a stream stores follows its settings: new subjects are captured, old ones are not, and those of a deleted stream are nobody's.
pub async fn captures_follow_their_stream(on: &Fixture) {
    on.orders(|_| {}).await;
    on.orders(|config| config.subjects = vec![on.filter("invoices.>")]).await;
    receipt(on.bus(), &Message::new(on.subject("invoices.new"), "a")).await;
    let until_nobodys = async |subject: &str| {
        eventually("nobody stores it", async || {
            let asked = on.bus().request(&on.subject(subject), "x".into(), QUIET).await;
            matches!(asked, Err(RequestError::NoResponders { .. })).then_some(())
        })
        .await;
    };
    until_nobodys("orders.new").await;
    assert_eq!(on.info().await.messages, 1);
    on.bus().delete_stream(&on.name("orders")).await.unwrap();
    until_nobodys("invoices.new").await;
}

/// "Malformed, too large": what its stream never can store, and whose publisher nobody can tell, is a dead letter.
pub async fn what_no_stream_can_take_is_a_letter(on: &Fixture) {
    on.orders(|config| config.message_bytes_max = 1_000).await;
    on.publish("orders.new", vec![7; 1_001]).await;
    on.bus().publish_message(with_header(on, "orders.new", "a", ("Myelin-TTL", "soon"))).await.unwrap();
    let letters = on.bus().dead_letters();
    for (reason, body) in [(DeadReason::TooLarge, Body::from(vec![7; 1_001])), (DeadReason::Malformed, Body::from("a"))] {
        let filter = LetterFilter { stream: Some(on.name("orders")), reason: Some(reason), ..LetterFilter::default() };
        let letter = eventually("a letter", async || letters.list(filter.clone()).next().await.unwrap()).await;
        assert_eq!((&*letter.subject, &*letter.fault), (on.subject("orders.new").as_str(), "agent"));
        let whole = letters.show(letter.sequence).await.unwrap().expect("it is there");
        assert!(whole.message.body == body, "{reason:?}");
    }
    assert_eq!(on.info().await.messages, 0);
}
