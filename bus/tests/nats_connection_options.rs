//! How a bus reaches NATS: who it is, over TLS, by several servers, and before any server is there.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use myelin_bus::streams::{Name, PublishOptions, StreamConfig, StreamError};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, ConnectError, Message, NatsConfig, NatsCredentials, SubscribeOptions};
use myelin_testkit::{NatsCluster, NatsServer, free_port};

/// A key pair of the documentation of NATS.
const NKEY: (&str, &str) =
    ("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY");
const PATIENCE: Duration = Duration::from_secs(30);

/// A message makes its way through the server.
async fn works(bus: &Bus) {
    let mut news = bus.subscribe(&Filter::new("news").unwrap(), SubscribeOptions::default()).await.unwrap();
    bus.publish(&Subject::new("news").unwrap(), "rain".into()).await.unwrap();
    let heard = tokio::time::timeout(PATIENCE, news.next()).await.unwrap().unwrap();
    assert_eq!(heard.body, "rain".into());
}

async fn refused(config: &NatsConfig) {
    let error = Bus::connect_with(config).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
}

fn with(server: &NatsServer, credentials: NatsCredentials) -> NatsConfig {
    let mut config = NatsConfig::new([server.url()]);
    config.credentials = credentials;
    config
}

#[tokio::test]
async fn a_token_a_password_and_an_nkey_say_who_we_are() {
    let server = NatsServer::start_with("authorization { token: \"t0ken\" }");
    works(&Bus::connect_with(&with(&server, NatsCredentials::Token("t0ken".into()))).await.unwrap()).await;
    refused(&with(&server, NatsCredentials::Token("wrong".into()))).await;

    let server = NatsServer::start_with("authorization { user: ann, password: \"s3cret\" }");
    let password = |password: &str| NatsCredentials::Password { user: "ann".into(), password: password.into() };
    works(&Bus::connect_with(&with(&server, password("s3cret"))).await.unwrap()).await;
    refused(&with(&server, password("wrong"))).await;

    let (public, seed) = NKEY;
    let server = NatsServer::start_with(&format!("authorization {{ users: [ {{ nkey: {public} }} ] }}"));
    works(&Bus::connect_with(&with(&server, NatsCredentials::NKey(seed.into()))).await.unwrap()).await;
    refused(&with(&server, NatsCredentials::None)).await;
}

#[tokio::test]
async fn a_credentials_file_that_is_not_there_is_named() {
    let mut config = NatsConfig::new(["nats://127.0.0.1:1"]);
    config.credentials = NatsCredentials::File(PathBuf::from("/nowhere/fleet.creds"));
    let error = Bus::connect_with(&config).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Credentials { path, .. } if path == Path::new("/nowhere/fleet.creds")), "{error}");
}

#[tokio::test]
async fn a_server_with_tls_is_reached_by_who_knows_its_authority() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    let settings = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", files.join("server.pem"), files.join("server.key"));
    let server = NatsServer::start_with(&settings);
    let mut config = NatsConfig::new([server.url().replace("nats://", "tls://")]);
    refused(&config).await;
    config.tls.authorities = Some(files.join("authority.pem"));
    works(&Bus::connect_with(&config).await.unwrap()).await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let server = NatsServer::start();
    let mut config = NatsConfig::new([server.url()]);
    config.tls.is_required = true;
    refused(&config).await;
}

#[tokio::test]
async fn one_of_several_servers_is_enough() {
    let server = NatsServer::start();
    let config = NatsConfig::new([format!("nats://127.0.0.1:{}", free_port()), server.url()]);
    works(&Bus::connect_with(&config).await.unwrap()).await;
}

#[tokio::test]
async fn a_bus_that_starts_without_a_server_finds_it_when_it_is_there() {
    let server = NatsServer::start();
    let mut config = NatsConfig::new([server.url()]);
    config.starts_without_server = true;
    let mut server = server;
    server.process().kill9();
    server.process().wait_end(PATIENCE);
    let bus = Bus::connect_with(&config).await.unwrap();
    assert!(!bus.is_connected());
    let mut news = bus.subscribe(&Filter::new("early").unwrap(), SubscribeOptions::default()).await.unwrap();
    server.restart();
    let connected = async {
        while !bus.is_connected() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, connected).await.unwrap();
    works(&bus).await;
    // What was subscribed before there was a server is heard, too.
    bus.publish(&Subject::new("early").unwrap(), "heard".into()).await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, news.next()).await.unwrap().unwrap().body, "heard".into());
    let orders = StreamConfig::new(Name::new("orders").unwrap(), vec![Filter::new("orders.>").unwrap()]);
    bus.ensure_stream(&orders).await.unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_by_three_outlives_one() {
    let mut cluster = NatsCluster::start();
    let mut config = NatsConfig::new(cluster.urls());
    config.replicas = 3;
    let bus = Bus::connect_with(&config).await.unwrap();
    let name = Name::new("orders").unwrap();
    bus.ensure_stream(&StreamConfig::new(name.clone(), vec![Filter::new("orders.>").unwrap()])).await.unwrap();
    let message = Message::new(Subject::new("orders.new").unwrap(), "one");
    let first = bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
    cluster.node(0).process().kill9();
    // Who led may have been that one: until another does, there is a typed error that says to try again.
    let stored = async {
        loop {
            match bus.publish_durable(&message, &PublishOptions { id: Some("two".into()), ..PublishOptions::default() }).await {
                Ok(receipt) => return receipt,
                Err(error) => assert!(error.is_retryable() || error.may_have_happened(), "{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.unwrap();
    let found = answered(async || bus.get_message(&name, first.sequence).await).await;
    assert!(found.is_some(), "what was acknowledged is there");
    // Whoever led all servers may have been that one, too.
    assert_eq!(answered(async || bus.stream_info(&name).await).await.messages, 2);
}

/// What is said once the servers have chosen who leads; until then there are typed errors that say to try again.
async fn answered<T>(mut ask: impl AsyncFnMut() -> Result<T, StreamError>) -> T {
    let told = async {
        loop {
            match ask().await {
                Ok(told) => return told,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap()
}
