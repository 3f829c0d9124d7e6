//! Every verb on a real Redis, single and cluster, where it says something that the suite for all stores cannot: TTLs are those of the server, and
//! what lies there has an end.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::{Change, Changed, Expected, Prefix, Recent, Ttl, Value, WatchEvent, Window};
use myelin_testkit::{RedisCluster, RedisServer};
use servers::{eventually, key, mesh, of_cluster, of_server, space};
use std::time::Duration;

async fn verbs(mesh: &myelin_mesh::Mesh) {
    let agent = space(mesh, "fleet.agent");
    let (a, b) = (key("a"), key("b:{x}*"));
    let first = agent.set(&a, "one".into(), Ttl::after(Duration::from_secs(60))).await.unwrap();
    let found = agent.get(&a).await.unwrap().unwrap();
    assert_eq!((found.value, found.revision), ("one".into(), first));
    let ttl = found.ttl.unwrap();
    assert!(ttl <= Duration::from_secs(60) && ttl > Duration::from_secs(50), "{ttl:?}");
    agent.set(&b, Value::json(r#"{"b":1}"#), Ttl::FOREVER).await.unwrap();
    let many = agent.get_many(&[a.clone(), key("none"), b.clone()]).await.unwrap();
    assert_eq!(many.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(many[2].as_ref().unwrap().ttl, None);

    let second = agent.compare_and_set(&a, Expected::Revision(first), "two".into(), Ttl::DEFAULT).await.unwrap();
    assert_ne!(first, second);
    assert!(agent.compare_and_set(&a, Expected::Revision(first), "three".into(), Ttl::DEFAULT).await.is_err());
    assert!(agent.compare_and_set(&a, Expected::Absent, "three".into(), Ttl::DEFAULT).await.is_err());
    assert_eq!(agent.get(&a).await.unwrap().unwrap().value, "two".into());

    let page = agent.scan(&Prefix::all(), None, 10).await.unwrap();
    assert_eq!(page.keys, [a.clone(), b.clone()]);
    assert_eq!(agent.scan(&Prefix::new("b").unwrap(), None, 10).await.unwrap().keys, std::slice::from_ref(&b));
    assert!(agent.touch(&b, Ttl::after(Duration::from_secs(5))).await.unwrap());
    assert!(agent.get(&b).await.unwrap().unwrap().ttl.unwrap() <= Duration::from_secs(5));
    assert_eq!(agent.delete_many(&[a.clone(), key("none")]).await.unwrap(), 1);
    assert_eq!(agent.get(&a).await.unwrap(), None);
    assert_eq!(agent.stats().await.unwrap().entries, 1);

    let window = Window::new(key("w")).entries_max(3);
    for n in 0..5 {
        agent.append(&window, Value::text(n.to_string())).await.unwrap();
    }
    let texts = |page: myelin_mesh::WindowPage| page.entries.into_iter().map(|entry| entry.value.bytes).collect::<Vec<_>>();
    assert_eq!(texts(agent.recent(&window, Recent::last(10)).await.unwrap()), ["2", "3", "4"]);
    let page = agent.recent(&window, Recent::last(2)).await.unwrap();
    assert!(!page.more);
    let place = page.entries[0].position;
    assert_eq!(texts(page), ["3", "4"]);
    assert_eq!(texts(agent.recent(&window, Recent::after(place)).await.unwrap()), ["4"]);
    assert_eq!(
        texts(agent.recent(&Window::new(key("w")).entries_max(1), Recent::after(myelin_mesh::Position::START)).await.unwrap()),
        ["4"]
    );
    assert_eq!(agent.scan_windows(&Prefix::all(), None, 10).await.unwrap().keys, [key("w")]);
    assert!(agent.clear(&key("w")).await.unwrap());
    assert!(!agent.clear(&key("w")).await.unwrap());
}

async fn watched(mesh: &myelin_mesh::Mesh) {
    let agent = space(mesh, "watched");
    agent.set(&key("was"), "there".into(), Ttl::DEFAULT).await.unwrap();
    let mut watch = agent.watch(&Prefix::all());
    let change = |event| match event {
        WatchEvent::Change(Change { key, to }) => (key.as_str().to_owned(), to),
        other => panic!("a change was expected: {other:?}"),
    };
    assert_eq!(change(watch.next().await.unwrap()).0, "was");
    assert_eq!(watch.next().await.unwrap(), WatchEvent::Live);
    let position = watch.position().unwrap();
    agent.set(&key("new"), "value".into(), Ttl::after(Duration::from_millis(300))).await.unwrap();
    assert!(matches!(change(watch.next().await.unwrap()), (key, Changed::Put(_)) if key == "new"));
    agent.delete(&key("was")).await.unwrap();
    assert_eq!(change(watch.next().await.unwrap()), ("was".into(), Changed::Deleted));
    assert_eq!(change(watch.next().await.unwrap()), ("new".into(), Changed::Expired));
    let mut again = agent.watch_from(&Prefix::all(), position);
    assert_eq!(change(again.next().await.unwrap()), ("was".into(), Changed::Deleted), "the content of the other is gone already");
    assert_eq!(change(again.next().await.unwrap()), ("new".into(), Changed::Expired));
}

#[tokio::test]
async fn on_one_server() {
    let server = RedisServer::start();
    let mesh = mesh(of_server(&server)).await;
    verbs(&mesh).await;
    watched(&mesh).await;
    mesh.close().await;
    assert!(space(&mesh, "n").get(&key("k")).await.is_err_and(|error| !error.is_retryable()), "closed");
}

#[tokio::test]
async fn on_a_cluster() {
    let cluster = RedisCluster::start();
    let mesh = mesh(of_cluster(&cluster)).await;
    verbs(&mesh).await;
    watched(&mesh).await;
}

#[tokio::test]
async fn nothing_is_left_behind_by_what_expired() {
    let server = RedisServer::start();
    let mesh = mesh(of_server(&server)).await;
    let agent = space(&mesh, "short");
    for n in 0..200 {
        agent.set(&key(&format!("e{n}")), "x".into(), Ttl::after(Duration::from_millis(20))).await.unwrap();
        agent.append(&Window::new(key(&format!("w{n}"))).age_max(Duration::from_millis(20)), "x".into()).await.unwrap();
    }
    let names = server.command(&["KEYS", "*"]);
    let myelin_testkit::RedisReply::Array(names) = names else { panic!("{names:?}") };
    for name in names {
        let ttl = server.command(&["PTTL", &name.text()]).integer().unwrap();
        assert!((-2..=90_000).contains(&ttl) && ttl != -1, "{} lives for {ttl} ms", name.text());
    }
    let windows = agent.stats().await.unwrap().windows;
    assert!(windows < 150, "each new window looks at four others: {windows} of 200 are still listed");
    eventually("the indexes are empty", async || {
        agent.scan_windows(&Prefix::all(), None, 1000).await.ok()?;
        let stats = agent.stats().await.ok()?;
        (stats.entries == 0 && stats.windows == 0).then_some(())
    })
    .await;
}

/// A checkout is no round trip: what the server hears is the reads and nothing else, and all of them come over two connections.
#[tokio::test]
async fn a_read_is_one_command() {
    let server = RedisServer::start();
    let mesh = mesh(myelin_mesh::RedisConfig { near: None, ..of_server(&server) }).await;
    let agent = space(&mesh, "n");
    agent.set(&key("k"), "x".into(), Ttl::FOREVER).await.unwrap();
    agent.get(&key("k")).await.unwrap();
    let calls = |command: &str| {
        let stats = server.command(&["INFO", "commandstats"]).text();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = (calls("get"), calls("hello"));
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let agent = agent.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    agent.get(&key("k")).await.unwrap();
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    assert_eq!(calls("get") - before.0, 64 * 20);
    assert!(calls("hello") - before.1 <= 1, "the second of the two connections, at most");
    // The connection for tracking has a beat each second.
    assert!(calls("ping") <= 5, "a PING for each checkout would be more than a thousand");
}

#[tokio::test]
async fn a_full_server_says_so_and_keeps_what_it_has() {
    let arguments = vec!["--maxmemory".to_owned(), "4mb".to_owned()];
    let server = RedisServer::start_with(myelin_testkit::RedisOptions { arguments, ..Default::default() });
    let mesh = mesh(of_server(&server)).await;
    let agent = space(&mesh, "n");
    let window = Window::new(key("w"));
    let large = || Value::bytes((0..100_000).map(|_| fastrand::u8(..)).collect::<Vec<_>>());
    let mut kept = 0;
    let error = loop {
        match agent.set(&key(&format!("k{kept}")), large(), Ttl::DEFAULT).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "ten megabytes do not fit into four");
    };
    assert!(matches!(error, myelin_mesh::error::WriteError::Full { .. }) && !error.may_have_happened(), "{error:?}");
    assert_eq!(agent.get(&key(&format!("k{kept}"))).await.unwrap(), None, "all or nothing");
    let append = agent.append(&window, large()).await;
    assert!(matches!(append, Err(myelin_mesh::error::WriteError::Full { .. })), "{append:?}");
    assert!(kept > 0 && agent.get(&key("k0")).await.unwrap().is_some());
}
