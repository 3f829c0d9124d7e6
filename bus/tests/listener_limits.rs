//! Nothing a client does, or fails to do, grows the listener past its bounds or harms another client; and each client is told why it was closed.

mod nats_support;

use std::time::{Duration, Instant};

use myelin_bus::EmbeddedConfig;
use myelin_bus::listener::{BindError, Listener, ListenerConfig, ListenerMetrics};
use myelin_bus::outlet::Budget;
use myelin_bus::wire::{Body, Subject};
use nats_support::raw::Raw;
use nats_support::{PATIENCE, Server, until, within};

async fn server_with(config: ListenerConfig) -> (Server, ListenerMetrics) {
    let metrics = config.metrics.clone();
    (Server::ours_with(EmbeddedConfig::default(), config).await, metrics)
}

fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a subject")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_off_at_the_end_of_a_message_and_told() {
    let (server, metrics) = server_with(ListenerConfig { queue_bytes_max: 1 << 20, ..ListenerConfig::default() }).await;
    let mut slow = Raw::subscribed(&server, "flood").await;
    let mut published = 0_u32;
    within("the cut", async {
        while metrics.slow_consumers() == 0 {
            let body = [&published.to_be_bytes()[..], &[b'x'; 10_000]].concat();
            server.bus().publish(&subject("flood"), Body::from(body)).await.expect("published");
            published += 1;
        }
    })
    .await;
    // What waited arrives whole and in order, then the reason, then the end.
    let mut received = 0_u32;
    let reason = loop {
        match slow.message().await {
            Ok((_, payload)) => {
                assert_eq!(payload[..4], received.to_be_bytes());
                received += 1;
            }
            Err(line) => break line,
        }
    };
    assert_eq!(reason, "-ERR 'Slow Consumer'");
    assert_eq!(slow.rest().await, "");
    assert!(received > 0 && received <= published, "{received} of {published}");
    until("the connection to be gone", || metrics.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_does_not_keep_messages_from_another() {
    let (server, metrics) = server_with(ListenerConfig { queue_bytes_max: 1 << 20, ..ListenerConfig::default() }).await;
    let _stuck = Raw::subscribed(&server, "flood").await;
    let mut healthy = Raw::subscribed(&server, "flood").await;
    let mut publisher = Raw::connect(&server).await;
    publisher.say("CONNECT {\"verbose\":false}\r\n").await;
    const MESSAGES: usize = 2_000;
    let flood = [&b"PUB flood 10000\r\n"[..], &[b'x'; 10_000], b"\r\n"].concat();
    let sending = async {
        for _ in 0..MESSAGES {
            publisher.say_bytes(&flood).await;
        }
    };
    let receiving = async {
        for _ in 0..MESSAGES {
            healthy.message().await.expect("a message");
        }
    };
    let started = Instant::now();
    tokio::join!(sending, receiving);
    assert!(started.elapsed() < PATIENCE);
    assert_eq!(metrics.slow_consumers(), 1);
    until("the stuck client to be gone", || metrics.connections() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_meets_the_budget_of_all_and_one_that_reads_does_not() {
    let budget = Budget::new(4 << 20);
    let config =
        ListenerConfig { queue_bytes_max: 1 << 30, queue_messages_max: 1 << 20, budget: budget.clone(), ..ListenerConfig::default() };
    let (server, metrics) = server_with(config).await;
    let (_stuck, mut healthy) = (Raw::subscribed(&server, "flood").await, Raw::subscribed(&server, "flood").await);
    within("the cut", async {
        while metrics.slow_consumers() == 0 {
            server.bus().publish(&subject("flood"), Body::from(vec![b'x'; 10_000])).await.expect("published");
            healthy.message().await.expect("a message");
            assert!(budget.queued_bytes() <= 8 << 20, "{}", budget.queued_bytes());
        }
    })
    .await;
    until("the stuck client to be gone", || metrics.connections() == 1).await;
    assert_eq!(budget.queued_bytes(), 0);
    healthy.synced().await;
}

#[tokio::test]
async fn a_message_larger_than_the_queue_still_arrives() {
    let (server, metrics) = server_with(ListenerConfig { queue_bytes_max: 64 * 1024, ..ListenerConfig::default() }).await;
    let mut client = Raw::subscribed(&server, "large").await;
    let body = vec![b'x'; 8 << 20];
    for _ in 0..3 {
        server.bus().publish(&subject("large"), Body::from(body.clone())).await.expect("published");
        let (_, payload) = client.message().await.expect("a message");
        assert!(payload == body);
    }
    assert_eq!(metrics.slow_consumers(), 0);
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let (server, metrics) = server_with(ListenerConfig { connections_max: 2, ..ListenerConfig::default() }).await;
    let (first, mut second) = (Raw::connect(&server).await, Raw::connect(&server).await);
    let (mut third, info) = Raw::connect_with_info(&server).await;
    assert!(info.starts_with("INFO {"));
    assert_eq!(third.rest().await, "-ERR 'maximum connections exceeded'\r\n");
    second.synced().await;
    drop(first);
    until("room again", || metrics.connections() == 1).await;
    Raw::connect(&server).await.synced().await;
}

#[tokio::test]
async fn one_subscription_too_many_is_refused_and_the_rest_works() {
    let (server, _) = server_with(ListenerConfig { subscriptions_max: 2, ..ListenerConfig::default() }).await;
    let mut client = Raw::subscribed(&server, "a").await;
    client.say("SUB b 2\r\nSUB c 3\r\n").await;
    assert_eq!(client.line().await, "-ERR 'maximum subscriptions exceeded'");
    client.say("UNSUB 1\r\nSUB c 3\r\nPUB c 1\r\nx\r\n").await;
    assert_eq!(client.message().await.expect("a message").0, "MSG c 3 1");
}

#[tokio::test]
async fn a_silent_client_is_asked_twice_and_given_up() {
    let (server, metrics) = server_with(ListenerConfig { ping_interval: Duration::from_millis(50), ..ListenerConfig::default() }).await;
    let mut silent = Raw::connect(&server).await;
    let mut answering = Raw::connect(&server).await;
    for _ in 0..5 {
        assert_eq!(answering.line().await, "PING");
        answering.say("PONG\r\n").await;
    }
    assert_eq!(silent.rest().await, "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
    until("the connection to be gone", || metrics.connections() == 1).await;
}

#[tokio::test]
async fn a_shutdown_tells_clients_and_gives_them_what_waits() {
    let server = Server::ours().await;
    let mut client = Raw::subscribed(&server, "last").await;
    let large = vec![b'x'; 5 << 20];
    server.bus().publish(&subject("last"), Body::from(large.clone())).await.expect("published");
    let address = server.address();
    let shutting_down = tokio::spawn(server.into_listener().shutdown(PATIENCE));
    let (_, payload) = client.message().await.expect("what waited");
    assert!(payload == large);
    let info = client.line().await;
    assert!(info.starts_with("INFO {") && info.contains("\"ldm\":true"), "{info}");
    assert_eq!(client.rest().await, "");
    assert!(within("the shutdown", shutting_down).await.expect("no panic"));
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_ends_at_its_deadline() {
    let config = ListenerConfig { close_grace: PATIENCE, ..ListenerConfig::default() };
    let (server, metrics) = server_with(config).await;
    let _stuck = Raw::subscribed(&server, "last").await;
    server.bus().publish(&subject("last"), Body::from(vec![0; 8 << 20])).await.expect("published");
    let clean = within("the shutdown", server.into_listener().shutdown(Duration::from_millis(100))).await;
    assert!(!clean);
    until("the connection to be gone", || metrics.connections() == 0).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = Server::ours().await;
    let address = server.address();
    let config = ListenerConfig { address, ..ListenerConfig::default() };
    let error = Listener::bind(server.bus().clone(), config).await.expect_err("in use");
    assert!(matches!(error, BindError::InUse { address: named } if named == address), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()));
}

#[tokio::test]
async fn half_a_message_is_no_message() {
    let server = Server::ours().await;
    let mut watcher = Raw::subscribed(&server, ">").await;
    let mut client = Raw::connect(&server).await;
    client.say("CONNECT {\"verbose\":false}\r\nPUB a 5\r\nwhole\r\nPUB a 5\r\nhal").await;
    assert_eq!(watcher.message().await.expect("the whole one").1, b"whole");
    drop(client);
    watcher.say("PUB b 3\r\nend\r\n").await;
    assert_eq!(watcher.message().await.expect("the next one").1, b"end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_harm_nobody() {
    let (server, metrics) = server_with(ListenerConfig::default()).await;
    let mut healthy = Raw::subscribed(&server, "a").await;
    let random: Vec<u8> = (0..4_096).map(|_| fastrand::u8(..)).collect();
    let header_block = format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(65));
    let too_many_headers =
        format!("CONNECT {{\"verbose\":false,\"headers\":true}}\r\nHPUB a {0} {0}\r\n{header_block}\r\n", header_block.len());
    let long_line = vec![b'P'; 1 << 20];
    let hostile: [&[u8]; 9] = [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f",
        b"PUB a 18446744073709551615\r\n",
        b"CONNECT {\"a\":[[[[[[[[[[\r\n",
        b"HPUB a 4294967295 4294967296\r\n",
        too_many_headers.as_bytes(),
        &long_line,
        &random,
    ];
    for round in 0..5 {
        for bytes in hostile {
            let mut client = Raw::connect(&server).await;
            // The listener may have closed before it has read everything.
            let _sent = tokio::time::timeout(Duration::from_secs(1), client.try_say_bytes(bytes)).await;
            if round % 2 == 0 {
                drop(client);
            }
        }
        healthy.say("PUB a 2\r\nok\r\n").await;
        assert_eq!(healthy.message().await.expect("a message").1, b"ok");
    }
    until("hostile connections to be gone", || metrics.connections() == 1).await;
}
