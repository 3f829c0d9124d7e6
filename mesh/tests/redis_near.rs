//! The near cache over a real Redis: what somebody else writes is not hidden by it, what is written here is seen here, and a server that is not heard
//! empties it before the next read.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::{Mesh, Space, Ttl, Value};
use myelin_testkit::RedisServer;
use servers::{eventually, key, mesh, near_works, of_server, space};
use std::time::Duration;

async fn two(server: &RedisServer) -> (Mesh, Space, Mesh, Space) {
    let (here, there) = (mesh(of_server(server)).await, mesh(of_server(server)).await);
    let (near, far) = (space(&here, "fleet"), space(&there, "fleet"));
    near_works(&here, &near).await;
    (here, near, there, far)
}

async fn text(space: &Space, name: &str) -> Option<String> {
    let entry = space.get(&key(name)).await.expect("the server answers")?;
    Some(String::from_utf8(entry.value.bytes.to_vec()).expect("a text"))
}

#[tokio::test]
async fn what_another_process_writes_replaces_what_is_kept() {
    let server = RedisServer::start();
    let (here, near, _there, far) = two(&server).await;
    for round in 0..200 {
        far.set(&key("k"), Value::text(round.to_string()), Ttl::DEFAULT).await.unwrap();
        eventually("the new value is read", async || (text(&near, "k").await? == round.to_string()).then_some(())).await;
        let hits = here.metrics().counts().near_hits;
        text(&near, "k").await;
        assert_eq!(here.metrics().counts().near_hits, hits + 1, "and then served from here");
    }
    assert!(here.metrics().counts().near_invalidations >= 199);
}

#[tokio::test]
async fn every_way_of_changing_is_told() {
    let server = RedisServer::start();
    let (_here, near, _there, far) = two(&server).await;
    let k = key("k");
    assert_eq!(text(&near, "k").await, None, "that there is none is kept, too");
    let first = far.set(&k, "1".into(), Ttl::DEFAULT).await.unwrap();
    eventually("set", async || text(&near, "k").await).await;
    let second = far.compare_and_set(&k, myelin_mesh::Expected::Revision(first), "2".into(), Ttl::DEFAULT).await.unwrap();
    eventually("compare and set", async || (text(&near, "k").await? == "2").then_some(())).await;
    far.touch(&k, Ttl::after(Duration::from_secs(5))).await.unwrap();
    let ttl = async || near.get(&k).await.ok()??.ttl;
    eventually("touch", async || (ttl().await? <= Duration::from_secs(5)).then_some(())).await;
    far.compare_and_delete(&k, second).await.unwrap();
    eventually("delete", async || text(&near, "k").await.is_none().then_some(())).await;
    far.set(&k, "3".into(), Ttl::DEFAULT).await.unwrap();
    eventually("set again", async || text(&near, "k").await).await;
    server.command(&["FLUSHALL"]);
    eventually("everything is gone", async || text(&near, "k").await.is_none().then_some(())).await;
}

#[tokio::test]
async fn an_entry_is_not_served_past_its_time() {
    let server = RedisServer::start();
    let (here, near, ..) = two(&server).await;
    near.set(&key("k"), "x".into(), Ttl::after(Duration::from_millis(400))).await.unwrap();
    let set = tokio::time::Instant::now();
    let hits = here.metrics().counts().near_hits;
    while text(&near, "k").await.is_some() {
        assert!(set.elapsed() < Duration::from_millis(600), "served past its time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(here.metrics().counts().near_hits > hits + 10, "it was kept");
}

#[tokio::test]
async fn a_session_reads_what_it_wrote() {
    let server = RedisServer::start();
    let (here, near, ..) = two(&server).await;
    for round in 0..500 {
        // A reader that races, so that fills are under way while the write happens.
        let racing = near.clone();
        let reader = tokio::spawn(async move { text(&racing, "k").await });
        near.set(&key("k"), Value::text(round.to_string()), Ttl::DEFAULT).await.unwrap();
        assert_eq!(text(&near, "k").await, Some(round.to_string()));
        reader.await.unwrap();
    }
    assert!(here.metrics().counts().near_misses > 400);
}

#[tokio::test]
async fn many_readers_of_one_key_ask_once() {
    let server = RedisServer::start();
    let (_here, near, ..) = two(&server).await;
    near.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    let calls = || {
        let stats = server.command(&["INFO", "commandstats"]).text();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_get:calls=")).map(str::to_owned);
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = calls();
    let readers: Vec<_> = (0..200)
        .map(|_| {
            let near = near.clone();
            tokio::spawn(async move { text(&near, "k").await })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.await.unwrap().as_deref(), Some("x"));
    }
    assert_eq!(calls(), before + 1);
}

#[tokio::test]
async fn a_lost_connection_empties_it_before_the_next_read() {
    let server = RedisServer::start();
    let (here, near, _there, far) = two(&server).await;
    far.set(&key("k"), "old".into(), Ttl::DEFAULT).await.unwrap();
    eventually("it is kept", async || text(&near, "k").await).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    eventually("the cache is emptied", async || (here.near_size()?.0 == 0).then_some(())).await;
    far.set(&key("k"), "new".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(text(&near, "k").await.as_deref(), Some("new"));
    near_works(&here, &near).await;
}

/// A server that hangs tells nothing; after two seconds nothing is served from here any more, although the connection still stands.
#[tokio::test]
async fn a_silent_server_ends_the_lease() {
    let mut server = RedisServer::start();
    let (here, near, ..) = two(&server).await;
    near.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    text(&near, "k").await;
    server.process().freeze();
    let frozen = tokio::time::Instant::now();
    let mut last_hit = frozen;
    while frozen.elapsed() < Duration::from_millis(3_500) {
        let hits = here.metrics().counts().near_hits;
        drop(tokio::time::timeout(Duration::from_millis(20), near.get(&key("k"))).await);
        if here.metrics().counts().near_hits > hits {
            last_hit = tokio::time::Instant::now();
        }
    }
    let served = last_hit - frozen;
    assert!(served <= Duration::from_millis(2_050), "still served after {served:?}");
    server.process().thaw();
    near_works(&here, &near).await;
    assert!(here.metrics().counts().near_emptied >= 1);
}
