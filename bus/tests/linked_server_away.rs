//! A machine starts without a server, joins when it appears, goes on without it, and is whole again when it is back.

mod linked;

use linked::{agent, ask, filter, machine, next, subject, text, unconnected, until, until_some};
use myelin_bus::SubscribeOptions;
use myelin_bus::wire::Body;
use myelin_testkit::NatsServer;

#[tokio::test]
async fn a_machine_joins_when_the_server_appears() {
    let mut server = NatsServer::start();
    server.process().kill9();
    let one = unconnected(&server.url()).await;
    let (_agent, _) = agent(&one, "svc.a", "one").await;
    let mut listening = one.subscribe(&filter("topic.a"), SubscribeOptions::default()).await.expect("subscribed");
    assert!(!one.is_connected());
    assert_eq!(ask(&one, "svc.a", "x").await, "one has x");
    server.restart();
    until("it is linked", || one.is_connected()).await;
    let two = machine(&server).await;
    assert_eq!(until_some(async || Some(ask(&two, "svc.a", "y").await).filter(|answer| answer == "one has y")).await, "one has y");
    until_some(async || {
        two.publish(&subject("topic.a"), Body::from("z")).await.expect("published");
        tokio::time::timeout(linked::QUIET, listening.next()).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn the_loss_of_the_server_is_noticed_and_its_return() {
    let mut server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let (_here, _) = agent(&one, "svc.a", "one").await;
    let mut news = two.subscribe(&filter("topic.a"), SubscribeOptions::default()).await.expect("subscribed");
    let mut group = one.subscribe(&filter("work"), linked::group("crew")).await.expect("subscribed");
    server.process().kill9();
    until("the loss is noticed", || !one.is_connected() && !two.is_connected()).await;
    assert_eq!(ask(&one, "svc.a", "x").await, "one has x");
    one.publish(&subject("work"), Body::from("here")).await.expect("published");
    assert_eq!(text(&next(&mut group).await.body), "here");
    server.restart();
    until("both are back", || one.is_connected() && two.is_connected()).await;
    assert_eq!(until_some(async || Some(ask(&two, "svc.a", "y").await).filter(|answer| answer == "one has y")).await, "one has y");
    until_some(async || {
        one.publish(&subject("topic.a"), Body::from("z")).await.expect("published");
        tokio::time::timeout(linked::QUIET, news.next()).await.ok().map(drop)
    })
    .await;
}
