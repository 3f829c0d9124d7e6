//! Published messages on a bus with a link: everybody who listens gets one copy, wherever he is, and one member of each queue group.

mod linked;

use linked::{filter, group, machine, next, silent, subject, text};
use myelin_bus::wire::Body;
use myelin_bus::{Bus, SubscribeOptions};
use myelin_testkit::NatsServer;

async fn say(bus: &Bus, to: &str, what: impl Into<String>) {
    bus.publish(&subject(to), Body::from(what.into())).await.expect("published");
}

#[tokio::test]
async fn plain_subscribers_get_one_copy_each_in_order() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut listening = Vec::new();
    for bus in [&one, &one, &two, &two] {
        listening.push(bus.subscribe(&filter("news.*"), SubscribeOptions::default()).await.expect("subscribed"));
    }
    listening.push(two.subscribe(&filter("news.>"), SubscribeOptions::default()).await.expect("subscribed"));
    for number in 0..100 {
        say(&one, "news.a", number.to_string()).await;
    }
    for subscription in &mut listening {
        for number in 0..100 {
            assert_eq!(text(&next(subscription).await.body), number.to_string());
        }
        silent(subscription).await;
    }
}

#[tokio::test]
async fn a_queue_group_gets_one_copy_wherever_its_members_are() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut members = Vec::new();
    for bus in [&one, &one, &two] {
        members.push(bus.subscribe(&filter("work.a"), group("crew")).await.expect("subscribed"));
    }
    // A member of another filter, and one of another group.
    members.push(two.subscribe(&filter("work.*"), group("crew")).await.expect("subscribed"));
    let mut others = one.subscribe(&filter("work.a"), group("others")).await.expect("subscribed");
    for number in 0..300 {
        say(if number % 2 == 0 { &one } else { &two }, "work.a", number.to_string()).await;
    }
    let mut got = Vec::new();
    linked::until_some(async || {
        for member in &mut members {
            while let Ok(Some(message)) = tokio::time::timeout(std::time::Duration::from_millis(1), member.next()).await {
                got.push(text(&message.body).parse::<u32>().expect("a number"));
            }
        }
        (got.len() >= 300).then_some(())
    })
    .await;
    for member in &mut members {
        silent(member).await;
    }
    got.sort_unstable();
    assert_eq!(got, (0..300).collect::<Vec<_>>(), "each once");
    for _ in 0..300 {
        next(&mut others).await;
    }
    silent(&mut others).await;
}

#[tokio::test]
async fn without_a_server_everybody_here_is_served() {
    let alone = linked::unconnected(&format!("nats://127.0.0.1:{}", myelin_testkit::free_port())).await;
    let mut plain = alone.subscribe(&filter("news.a"), SubscribeOptions::default()).await.expect("subscribed");
    let mut member = alone.subscribe(&filter("news.a"), group("crew")).await.expect("subscribed");
    say(&alone, "news.a", "x").await;
    for subscription in [&mut plain, &mut member] {
        assert_eq!(text(&next(subscription).await.body), "x");
        silent(subscription).await;
    }
}

#[tokio::test]
async fn what_is_private_stays() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut here = one.subscribe(&filter(">"), SubscribeOptions::default()).await.expect("subscribed");
    let mut there = two.subscribe(&filter("private.a"), SubscribeOptions::default()).await.expect("subscribed");
    let mut all_there = two.subscribe(&filter("private.>"), SubscribeOptions::default()).await.expect("subscribed");
    say(&one, "private.a", "x").await;
    let of_ours = async |here: &mut myelin_bus::Subscription| loop {
        // Whoever asks for everything hears the machines talk as well.
        let message = next(here).await;
        if message.subject.as_str().starts_with("p") {
            return text(&message.body);
        }
    };
    assert_eq!(of_ours(&mut here).await, "x");
    let foreign = async_nats::connect(server.url()).await.expect("connected");
    foreign.publish("private.a", "y".into()).await.expect("published");
    foreign.publish("public", "z".into()).await.expect("published");
    foreign.flush().await.expect("flushed");
    assert_eq!(of_ours(&mut here).await, "z", "nor does it come in");
    silent(&mut there).await;
    silent(&mut all_there).await;
}
