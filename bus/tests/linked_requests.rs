//! Requests on a bus with a link: an agent here goes first; one that is busy is helped by those elsewhere; a caller is the same caller there.

mod linked;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use linked::{agent, ask, connection, machine, subject, unconnected, until, witness};
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Delivery, RequestError, SubscribeOptions};
use myelin_testkit::{NatsServer, free_port};

#[tokio::test]
async fn an_agent_elsewhere_answers_and_one_here_goes_first() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let mut crossing = witness(&server, "svc.>").await;
    let (there, _) = agent(&two, "svc.a", "two").await;
    assert_eq!(ask(&one, "svc.a", "x").await, "two has x");
    let (_here, _) = agent(&one, "svc.a", "one").await;
    for number in 0..50 {
        assert_eq!(ask(&one, "svc.a", &number.to_string()).await, format!("one has {number}"));
        assert_eq!(ask(&two, "svc.a", &number.to_string()).await, format!("two has {number}"));
    }
    drop(there);
    two.flush().await;
    assert_eq!(ask(&two, "svc.a", "y").await, "one has y");
    two.publish(&subject("svc.end"), Body::default()).await.expect("published");
    assert_eq!(linked::seen_until(&mut crossing, "svc.end").await, ["svc.a", "svc.a"], "nothing else crossed");
}

#[tokio::test]
async fn the_busy_are_helped_and_nobody_is_asked_twice() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let (here, is_busy) = agent(&one, "svc.a", "one").await;
    // A service whose agents are away: it takes requests to keep them, and asks for none of others'.
    is_busy.store(true, Ordering::Relaxed);
    here.set_exported(false);
    assert_eq!(ask(&one, "svc.a", "x").await, "one has x", "nobody elsewhere serves it, so it waits here");
    let (there, _) = agent(&two, "svc.a", "two").await;
    for number in 0..50 {
        assert_eq!(ask(&one, "svc.a", &number.to_string()).await, format!("two has {number}"));
    }
    is_busy.store(false, Ordering::Relaxed);
    assert_eq!(ask(&one, "svc.a", "y").await, "one has y");
    drop(there);
    two.flush().await;
    assert!(matches!(
        two.request(&subject("svc.a"), Body::default(), Duration::from_secs(10)).await,
        Err(RequestError::NoResponders { .. })
    ));
    here.set_exported(true);
    one.flush().await;
    assert_eq!(ask(&two, "svc.a", "z").await, "one has z");
}

#[tokio::test]
async fn that_nobody_answers_is_known_at_once() {
    let server = NatsServer::start();
    let linked = machine(&server).await;
    let alone = unconnected(&format!("nats://127.0.0.1:{}", free_port())).await;
    for bus in [&linked, &alone] {
        let began = Instant::now();
        let answer = bus.request(&subject("svc.nobody"), Body::default(), Duration::from_secs(60)).await;
        assert!(matches!(answer, Err(RequestError::NoResponders { .. })), "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "not by its patience");
    }
    assert!(!alone.is_connected());
    let (_agent, _) = agent(&alone, "svc.a", "alone").await;
    assert_eq!(ask(&alone, "svc.a", "x").await, "alone has x", "what is here goes on without a server");
}

#[tokio::test]
async fn somebody_here_who_only_listens_may_answer_although_nobody_elsewhere_does() {
    let server = NatsServer::start();
    let one = machine(&server).await;
    let mut listening = one.subscribe(&linked::filter("svc.a"), SubscribeOptions::default()).await.expect("subscribed");
    let bus = one.clone();
    tokio::spawn(async move {
        let message = linked::next(&mut listening).await;
        tokio::time::sleep(linked::QUIET).await;
        message.respond(&bus, "late, but an answer");
    });
    assert_eq!(ask(&one, "svc.a", "x").await, "late, but an answer");
}

#[tokio::test]
async fn a_connection_is_the_same_caller_elsewhere_until_it_closes() {
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let (callers, mut seen) = tokio::sync::mpsc::channel(64);
    let bus = two.clone();
    let serving = move |delivery: Delivery<'_>| {
        let reply = delivery.reply.expect("a request").clone();
        assert!(delivery.meta.is_none_or(|meta| meta.headers.is_empty()), "nothing that was added on the way is left: {:?}", delivery.meta);
        drop(callers.try_send(reply.caller().expect("a connection").clone()));
        for body in delivery.bodies {
            reply.respond(&bus, body.clone());
            reply.respond(&bus, "and once more".into());
        }
    };
    let group = myelin_bus::wire::QueueGroup::new("agents").expect("a name");
    let _serving = two.subscribe_inline(&linked::filter("svc.a"), Some(group), serving).expect("subscribed");
    two.flush().await;

    let mut caller = connection(7, b"\x01\xffme");
    let mut other = connection(8, b"");
    let publisher = one.publisher(subject("svc.a"));
    for number in 0..2 {
        let frames = Frames::from_parts([&b""[..], &[0, 255, number]]).expect("frames");
        publisher.request_inline(Body::Frames(frames), caller.reply.clone()).expect("sent").settled().await;
        for expected in [format!("|\u{0}\u{fffd}{}", char::from(number)), "and once more".to_owned()] {
            assert_eq!(caller.next().await, expected);
        }
    }
    publisher.request_inline("x".into(), other.reply.clone()).expect("sent").settled().await;
    assert_eq!(other.next().await, "x");
    let mut there = Vec::new();
    for _ in 0..3 {
        there.push(tokio::time::timeout(linked::PATIENCE, seen.recv()).await.expect("in time").expect("a request"));
    }
    assert_eq!(there[0].connection, there[1].connection);
    assert_ne!(there[0].connection, there[2].connection);
    assert_eq!(&there[0].identity[..], b"\x01\xffme");

    caller.gone.cancel();
    until("its end is told", || there[0].gone.is_cancelled()).await;
    assert!(!there[2].gone.is_cancelled());
    one.drain(linked::PATIENCE).await;
    until("a machine that goes takes its callers along", || there[2].gone.is_cancelled()).await;
}

#[tokio::test]
async fn clients_of_the_listener_ask_and_answer_across() {
    use myelin_bus::listener::{Listener, ListenerConfig};
    let server = NatsServer::start();
    let (one, two) = (machine(&server).await, machine(&server).await);
    let config = || ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
    let (here, there) = (Listener::bind(one, config()).await.expect("bound"), Listener::bind(two, config()).await.expect("bound"));
    let connect = async |listener: &Listener| async_nats::connect(listener.local_addr().to_string()).await.expect("connected");
    let (asking, answering) = (connect(&here).await, connect(&there).await);
    let error = asking.request("svc.a", "x".into()).await.expect_err("nobody is there");
    assert_eq!(error.kind(), async_nats::client::RequestErrorKind::NoResponders, "{error}");
    let mut requests = answering.queue_subscribe("svc.a", "agents".into()).await.expect("subscribed");
    answering.flush().await.expect("flushed");
    let client = answering.clone();
    tokio::spawn(async move {
        use futures_util::StreamExt;
        while let Some(request) = requests.next().await {
            client.publish(request.reply.expect("a request"), request.payload).await.expect("answered");
        }
    });
    let asked = linked::until_some(async || asking.request("svc.a", "x".into()).await.ok()).await;
    assert_eq!(&asked.payload[..], b"x");
}
