//! Users, TLS, and errors that name the setting to look at.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::{Expected, Mesh, MeshConfig, Prefix, Recent, RedisConfig, RedisOpenError, RedisTls, Secret, Ttl, WatchEvent, Window};
use myelin_testkit::{RedisCluster, RedisOptions, RedisServer, free_port};
use servers::{key, mesh, near_works, of_server, space};
use std::time::Duration;

async fn refused(config: RedisConfig) -> RedisOpenError {
    Mesh::redis(config, MeshConfig::default()).await.expect_err("it cannot be opened")
}

#[tokio::test]
async fn a_user_with_a_password_is_let_in_and_nobody_else() {
    let user = ("agent".to_owned(), "s3cret".to_owned());
    let server = RedisServer::start_with(RedisOptions { user: Some(user), ..RedisOptions::default() });
    let open = of_server(&server);
    assert!(matches!(refused(open.clone()).await, RedisOpenError::Refused { .. }));
    let wrong = RedisConfig { user: Some("agent".into()), password: Some(Secret::new("wrong")), ..open.clone() };
    let error = refused(wrong).await;
    assert!(matches!(error, RedisOpenError::Refused { .. }) && error.to_string().contains("user and password"), "{error}");
    let right = RedisConfig { user: Some("agent".into()), password: Some(Secret::new("s3cret")), ..open };
    let mesh = mesh(right).await;
    let agent = space(&mesh, "n");
    agent.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    near_works(&mesh, &agent).await;
}

#[tokio::test]
async fn tls_with_the_authority_of_the_server_and_only_with_it() {
    let server = RedisServer::start_with(RedisOptions { tls: true, ..RedisOptions::default() });
    let config = RedisConfig::single(format!("localhost:{}", server.port()));
    let trusted = RedisConfig { tls: Some(RedisTls { authority: Some(server.authority()) }), ..config.clone() };
    let mesh = mesh(trusted).await;
    let agent = space(&mesh, "n");
    agent.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    near_works(&mesh, &agent).await;
    let stranger = RedisServer::start_with(RedisOptions { tls: true, ..RedisOptions::default() });
    let distrusted = RedisConfig { tls: Some(RedisTls { authority: Some(stranger.authority()) }), ..config.clone() };
    let error = refused(distrusted).await;
    assert!(matches!(error, RedisOpenError::Unreachable { .. }), "{error:?}");
    let garbage = RedisConfig { tls: Some(RedisTls { authority: Some(b"no certificate".to_vec()) }), ..config };
    assert!(matches!(refused(garbage).await, RedisOpenError::Setting { setting: "tls", .. }));
}

/// The nodes are found by asking one of them, and each is spoken to over TLS as well.
#[tokio::test]
async fn a_cluster_over_tls_is_spoken_to_over_tls_everywhere() {
    let cluster = RedisCluster::start_tls();
    let (port, authority) = cluster.tls(0);
    let config = RedisConfig::cluster([format!("localhost:{port}")]);
    let mesh = mesh(RedisConfig { tls: Some(RedisTls { authority: Some(authority) }), ..config.clone() }).await;
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let agent = space(&mesh, name);
        agent.set(&key("k"), name.into(), Ttl::DEFAULT).await.unwrap();
        assert_eq!(agent.get(&key("k")).await.unwrap().unwrap().value, name.into());
        near_works(&mesh, &agent).await;
    }
    let plain = (0..3).map(|node| cluster.node(node).command(&["CLIENT", "LIST", "TYPE", "normal"]).text());
    let tls_ports: Vec<_> = (0..3).map(|node| cluster.tls(node).0).collect();
    for (clients, port) in plain.zip(tls_ports) {
        assert!(clients.contains(&format!("laddr=127.0.0.1:{port}")), "nobody came over TLS: {clients}");
    }
    assert!(matches!(refused(config).await, RedisOpenError::Unreachable { .. }), "not without TLS");
}

/// What ADR 0011 says that a user needs, and nothing else.
#[tokio::test]
async fn a_user_who_may_do_no_more_than_the_mesh_needs_is_enough() {
    let rights = "on >s3cret resetkeys ~my:* resetchannels -@all +@scripting +@read +@write +ping +time +client|tracking +cluster|info +cluster|slots";
    let arguments = ["--user", "agent"].into_iter().chain(rights.split(' ')).map(str::to_owned).collect();
    let server = RedisServer::start_with(RedisOptions { arguments, ..RedisOptions::default() });
    let mesh = mesh(RedisConfig { user: Some("agent".into()), password: Some(Secret::new("s3cret")), ..of_server(&server) }).await;
    let agent = space(&mesh, "n");
    let revision = agent.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    agent.compare_and_set(&key("k"), Expected::Revision(revision), "y".into(), Ttl::DEFAULT).await.unwrap();
    agent.touch(&key("k"), Ttl::FOREVER).await.unwrap();
    let window = Window::new(key("w"));
    agent.append(&window, "x".into()).await.unwrap();
    assert_eq!(agent.recent(&window, Recent::last(9)).await.unwrap().entries.len(), 1);
    assert_eq!(agent.get_many(&[key("k"), key("none")]).await.unwrap().iter().flatten().count(), 1);
    assert_eq!(agent.scan(&Prefix::all(), None, 9).await.unwrap().keys, [key("k")]);
    let mut watch = agent.watch(&Prefix::all());
    while watch.next().await.unwrap() != WatchEvent::Live {}
    near_works(&mesh, &agent).await;
    assert!(agent.delete(&key("k")).await.unwrap() && agent.clear(&key("w")).await.unwrap());
    assert_eq!(agent.stats().await.unwrap().entries, 0);
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    for (config, setting) in [
        (RedisConfig::single("localhost"), "servers"),
        (RedisConfig::cluster(Vec::<String>::new()), "servers"),
        (RedisConfig { servers: vec!["a:1".into(), "b:2".into()], ..RedisConfig::single("a:1") }, "servers"),
        (RedisConfig { user: Some("agent".into()), ..RedisConfig::single("a:1") }, "password"),
    ] {
        match refused(config).await {
            RedisOpenError::Setting { setting: named, .. } => assert_eq!(named, setting),
            other => panic!("{other:?}"),
        }
    }
    let nobody = refused(RedisConfig::single(format!("127.0.0.1:{}", free_port()))).await;
    assert!(matches!(nobody, RedisOpenError::Unreachable { .. }) && nobody.is_retryable());
}

#[tokio::test]
async fn a_cluster_is_not_taken_for_a_server_nor_the_other_way_round() {
    let server = RedisServer::start();
    let config = RedisConfig::cluster([format!("127.0.0.1:{}", server.port())]);
    assert!(matches!(refused(config).await, RedisOpenError::Mode { configured: true, .. }));
    let arguments = vec!["--cluster-enabled".to_owned(), "yes".to_owned()];
    let node = RedisServer::start_with(RedisOptions { arguments, ..RedisOptions::default() });
    assert!(matches!(refused(of_server(&node)).await, RedisOpenError::Mode { configured: false, .. }));
}

/// A server that accepts and never answers.
#[tokio::test]
async fn a_server_that_is_silent_does_not_hold_up_who_connects() {
    let mut server = RedisServer::start();
    server.process().freeze();
    let config = RedisConfig { connect_timeout: Duration::from_millis(200), ..of_server(&server) };
    let begin = tokio::time::Instant::now();
    assert!(matches!(refused(config).await, RedisOpenError::Unreachable { .. }));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}
