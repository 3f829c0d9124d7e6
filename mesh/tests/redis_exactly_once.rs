//! A connection that ends after the server has executed and before its answer is here: an append and a compare-and-set are then executed once, and
//! their caller hears `Unknown`; nothing of ours executes them again. A read and a plain write are done again, and succeed.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod servers;

use myelin_mesh::error::{CompareError, WriteError};
use myelin_mesh::{Expected, MeshConfig, Recent, RedisConfig, Ttl, Window};
use myelin_testkit::{Cutter, RedisServer};
use servers::{key, mesh, of_server, space};

async fn behind_a_cutter(server: &RedisServer) -> (Cutter, myelin_mesh::Mesh) {
    let cutter = Cutter::before(server.port());
    let config = RedisConfig { near: None, ..RedisConfig::single(format!("127.0.0.1:{}", cutter.port())) };
    let mesh = myelin_mesh::Mesh::redis(config, MeshConfig::default()).await.expect("the server is there");
    (cutter, mesh)
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_happened_once() {
    let server = RedisServer::start();
    let (cutter, cut) = behind_a_cutter(&server).await;
    let (agent, window) = (space(&cut, "a"), Window::new(key("w")));
    agent.append(&window, "before".into()).await.unwrap();
    for round in 1..=20 {
        let text = format!("needle-{round}");
        cutter.cut_after(text.as_bytes());
        let outcome = agent.append(&window, text.clone().into()).await;
        assert!(matches!(outcome, Err(WriteError::Unknown { .. })), "{outcome:?}");
        assert_eq!(cutter.cuts(), round);
    }
    let watcher = mesh(of_server(&server)).await;
    let page = space(&watcher, "a").recent(&window, Recent::last(100)).await.unwrap();
    let found: Vec<_> = page.entries.iter().map(|entry| String::from_utf8(entry.value.bytes.to_vec()).unwrap()).collect();
    let expected: Vec<_> = std::iter::once("before".to_owned()).chain((1..=20).map(|round| format!("needle-{round}"))).collect();
    assert_eq!(found, expected, "each once, in order");
    assert_eq!(cut.metrics().counts().unknown, 20);
}

#[tokio::test]
async fn a_compare_and_set_whose_answer_is_lost_happened_once_and_reading_tells() {
    let server = RedisServer::start();
    let (cutter, cut) = behind_a_cutter(&server).await;
    let agent = space(&cut, "a");
    let mut revision = agent.set(&key("k"), "0".into(), Ttl::DEFAULT).await.unwrap();
    // From here on the server knows the script: an answer that is lost is one of the script, and not that it is unknown.
    revision = agent.compare_and_set(&key("k"), Expected::Revision(revision), "1".into(), Ttl::DEFAULT).await.unwrap();
    for round in 1..=20 {
        let text = format!("needle-{round}");
        cutter.cut_after(text.as_bytes());
        let outcome = agent.compare_and_set(&key("k"), Expected::Revision(revision), text.clone().into(), Ttl::DEFAULT).await;
        assert!(
            matches!(outcome, Err(CompareError::Write(WriteError::Unknown { .. }))),
            "a second try would have been a conflict: {outcome:?}"
        );
        let entry = agent.get(&key("k")).await.unwrap().unwrap();
        assert_eq!(entry.value, text.into());
        revision = entry.revision;
    }
    assert_eq!(cutter.cuts(), 20);
}

#[tokio::test]
async fn what_may_be_done_twice_is() {
    let server = RedisServer::start();
    let (cutter, cut) = behind_a_cutter(&server).await;
    let agent = space(&cut, "a");
    cutter.cut_after(b"needle-set");
    agent.set(&key("k"), "needle-set".into(), Ttl::DEFAULT).await.unwrap();
    cutter.cut_after(b"needle-key");
    assert_eq!(agent.get(&key("needle-key")).await.unwrap(), None);
    assert_eq!(agent.get(&key("k")).await.unwrap().unwrap().value, "needle-set".into());
    assert_eq!(cutter.cuts(), 2);
}

/// A server that was restarted while nothing was asked: the connections ended, which is known, so the next append is not `Unknown`. Its script is
/// unknown to the new server, which is no reason either.
#[tokio::test]
async fn an_idle_connection_that_ended_makes_no_unknown() {
    let mut server = RedisServer::start();
    let mesh = mesh(of_server(&server)).await;
    let (agent, window) = (space(&mesh, "a"), Window::new(key("w")));
    for _ in 0..5 {
        agent.append(&window, "x".into()).await.unwrap();
        // Not on this thread, which has to notice the end of its connections meanwhile.
        let restarted = tokio::task::spawn_blocking(|| {
            server.restart();
            server
        });
        server = restarted.await.unwrap();
    }
    agent.append(&window, "x".into()).await.unwrap();
}
