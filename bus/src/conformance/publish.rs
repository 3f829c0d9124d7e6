//! Publish and subscribe: "at most once, to whoever listens".

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::timeout;

use super::fixture::{Fixture, eventually, group, next, text};
use super::{PATIENCE, QUIET};
use crate::wire::{self, Body, Frames};
use crate::{Message, Meta, PublishError, ReplyTo, SubscribeOptions};

/// "**publish / subscribe**: at most once, to whoever listens": each of them gets every message, once, in the order of its publisher.
pub async fn every_matching_subscriber_gets_every_message_in_order(on: &Fixture) {
    let mut subscriptions = Vec::new();
    for filter in ["a.b", "a.*", "a.>"] {
        subscriptions.push(on.subscribe(filter, SubscribeOptions::default()).await);
    }
    for number in 0..500 {
        on.publish("a.b", number.to_string()).await;
    }
    for subscription in &mut subscriptions {
        for number in 0..500 {
            let message = next(subscription).await;
            assert_eq!((message.subject, text(&message.body)), (on.subject("a.b"), number.to_string()));
        }
        assert!(timeout(QUIET, subscription.next()).await.is_err(), "at most once");
    }
}

/// "Terms are NATS's: subject (`a.b.c`, `*`, `>`)".
pub async fn wildcards_stand_for_one_token_or_for_the_rest(on: &Fixture) {
    let published = ["w.a", "w.a.c", "w.b.c", "w.b.d", "w.b.c.e", "other.c", "w.a.c.end"];
    for (filter, expected) in [
        ("w.*.c", &["w.a.c", "w.b.c"][..]),
        ("w.b.*", &["w.b.c", "w.b.d"]),
        ("w.>", &["w.a", "w.a.c", "w.b.c", "w.b.d", "w.b.c.e", "w.a.c.end"]),
        ("w.*.c.>", &["w.b.c.e", "w.a.c.end"]),
        ("*.c", &["other.c"]),
    ] {
        let mut subscription = on.subscribe(filter, SubscribeOptions::default()).await;
        let mut everything = on.subscribe(">", SubscribeOptions::default()).await;
        for subject in published {
            on.publish(subject, "x").await;
            next(&mut everything).await;
        }
        for subject in expected {
            assert_eq!(next(&mut subscription).await.subject, on.subject(subject), "{filter}");
        }
        on.second().flush().await;
        assert!(subscription.is_empty(), "{filter}");
    }
}

/// "Engines and bridge move `bytes::Bytes`"; "body is one blob or an array of frames": neither becomes the other on the way.
pub async fn a_body_arrives_in_the_form_in_which_it_was_sent(on: &Fixture) {
    let mut subscription = on.subscribe("x", SubscribeOptions::default()).await;
    let large = vec![7; 300_000];
    let bodies = [
        Body::from(""),
        Body::from("text"),
        Body::from(large.clone()),
        Body::Frames(Frames::single(b"")),
        Body::Frames(Frames::from_parts([&b"id"[..], b"", b"\x80\x04pickle"]).unwrap()),
        Body::Frames(Frames::single(&large)),
    ];
    for body in &bodies {
        on.publish("x", body.clone()).await;
    }
    for body in bodies {
        assert!(next(&mut subscription).await.body == body, "{} bytes", body.len());
    }
}

/// "**envelope**: id, source, kind, time, correlation, trace context, headers, body".
pub async fn headers_reply_and_envelope_travel_with_their_message(on: &Fixture) {
    let mut subscription = on.subscribe("x", SubscribeOptions::default()).await;
    let mut envelope = wire::Meta::new(wire::Kind::REQUEST, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    envelope.source = Some(wire::AgentId::new("planner-7").unwrap());
    envelope.headers.append("enclosed", "1").unwrap();
    let headers = vec![("A".into(), Bytes::from("1")), ("A".into(), Bytes::from("2")), ("B".into(), Bytes::from("x: y"))];
    let message = Message {
        reply: Some(ReplyTo::Subject(on.subject("answers"))),
        meta: Some(Box::new(Meta { headers, envelope: Some(Box::new(envelope)) })),
        ..Message::new(on.subject("x"), "body")
    };
    on.bus().publish_message(message.clone()).await.unwrap();
    let received = next(&mut subscription).await;
    assert_eq!((&received.meta, &received.body), (&message.meta, &message.body));
    assert!(matches!(&received.reply, Some(ReplyTo::Subject(reply)) if *reply == on.subject("answers")), "{:?}", received.reply);
}

/// "At most once, to whoever listens": who subscribes later has missed it.
pub async fn what_was_published_before_is_not_kept(on: &Fixture) {
    on.publish("x", "before").await;
    on.bus().flush().await;
    let mut subscription = on.subscribe("x", SubscribeOptions::default()).await;
    on.publish("x", "after").await;
    assert_eq!(next(&mut subscription).await.body, "after".into());
}

/// "Never two copies in one group": one member of each queue group gets a message, and every plain subscriber does.
pub async fn each_group_gets_one_copy_and_every_plain_subscriber_its_own(on: &Fixture) {
    let mut members = [on.subscribe("work", group("g")).await, on.subscribe("work", group("g")).await, on.subscribe("*", group("g")).await];
    let mut others = [on.subscribe("work", group("h")).await, on.subscribe("work", SubscribeOptions::default()).await];
    for number in 0..300 {
        on.publish("work", number.to_string()).await;
    }
    for other in &mut others {
        for number in 0..300 {
            assert_eq!(text(&next(other).await.body), number.to_string());
        }
    }
    let mut seen = BTreeSet::new();
    let mut count = 0;
    eventually("every message", async || {
        for member in &mut members {
            while let Ok(Some(message)) = timeout(Duration::from_millis(5), member.next()).await {
                count += 1;
                seen.insert(text(&message.body));
            }
        }
        (count >= 300).then_some(())
    })
    .await;
    on.second().flush().await;
    assert!(members.iter().all(|member| member.is_empty()), "no second copy");
    assert_eq!((count, seen.len()), (300, 300));
}

/// "Queue-group semantics stay exact", also while members come and go.
pub async fn a_member_that_leaves_is_replaced(on: &Fixture) {
    let mut stays = on.subscribe("work", group("g")).await;
    let leaves = on.subscribe("work", group("g")).await;
    on.publish("work", "to one of both").await;
    drop(leaves);
    let mut round = 0;
    eventually("a round that reaches who stayed as a whole", async || {
        round += 1;
        for _ in 0..20 {
            on.publish("work", round.to_string()).await;
        }
        let mut got = 0;
        while got < 20 {
            match timeout(QUIET, stays.next()).await {
                Ok(message) => got += usize::from(text(&message.unwrap().body) == round.to_string()),
                // The server had not heard yet that the other one is gone.
                Err(_) => return None,
            }
        }
        Some(())
    })
    .await;
}

/// "Checked before sending, `TooLarge` names both": the size and the limit.
pub async fn what_is_too_large_is_refused_before_anybody_gets_it(on: &Fixture) {
    let mut subscription = on.subscribe("x", SubscribeOptions::default()).await;
    let max = on.bus().payload_bytes_max();
    let refused = on.bus().publish(&on.subject("x"), Body::from(vec![0; max + 1])).await;
    assert_eq!(refused, Err(PublishError::TooLarge { size: max + 1, max }));
    let fits = Body::from(vec![0; max]);
    tokio::time::timeout(PATIENCE, on.bus().publish(&on.subject("x"), fits)).await.unwrap().unwrap();
    assert_eq!(next(&mut subscription).await.body.len(), max);
}
