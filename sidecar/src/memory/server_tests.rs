//! Who is refused and when: without a store, with all places taken, with an answer that no message carries; and what a stop tells.

use std::time::Duration;

use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig as BusConfig, SubscribeOptions};
use myelin_mesh::{EmbeddedConfig, Mesh, MeshConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::{EVENTS, Unmade};
use super::*;

const PATIENT: Duration = Duration::from_secs(20);

async fn start(opened: Opened) -> (Bus, MemoryServer) {
    let bus = Bus::embedded(BusConfig { payload_bytes_max: 64 << 10, ..BusConfig::default() });
    let store = Store::new(&opened);
    let settings = ServerSettings { engine: "embedded", value_bytes_max: 1 << 20 };
    let server = MemoryServer::start(&bus, opened, (store, MemoryMetrics::default()), settings).await.unwrap();
    (bus, server)
}

async fn ready(directory: &tempfile::TempDir) -> (Bus, MemoryServer) {
    let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await.unwrap();
    start(Opened::Ready(mesh)).await
}

async fn ask<A: DeserializeOwned>(bus: &Bus, verb: &str, asked: &impl Serialize) -> Result<A, Refusal> {
    let subject = Subject::new(&format!("{API}{verb}")).unwrap();
    let Body::Blob(bytes) = bus.request(&subject, pack(asked).into(), PATIENT).await.unwrap().body else { panic!("frames") };
    match rmp_serde::from_slice(&bytes) {
        Ok(wire::Failed { error: Some(refusal) }) => Err(refusal),
        _ => Ok(rmp_serde::from_slice(&bytes).unwrap()),
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn get() -> wire::Get {
    wire::Get { space: text("s"), key: text("k") }
}

fn set(value: Vec<u8>) -> wire::Set {
    wire::Set { space: text("s"), key: text("k"), value: value.into(), ..wire::Set::default() }
}

#[tokio::test]
async fn without_a_store_the_answer_says_whether_to_come_again() {
    let (off, _server) = start(Opened::Off).await;
    let refused = ask::<wire::Got>(&off, "GET", &get()).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable, refused.may_have_happened), ("no_memory", false, false));
    let redis = Box::new(myelin_mesh::RedisConfig::single("127.0.0.1:1"));
    let (away, _server) = start(Opened::Away { redis, config: MeshConfig::default(), reason: "nobody there".into() }).await;
    let refused = ask::<wire::Written>(&away, "SET", &set(vec![1])).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable, refused.may_have_happened), ("unavailable", true, false));
    assert!(refused.message.contains("nobody there"));
}

#[tokio::test]
async fn with_all_places_taken_one_waits_a_while_and_the_others_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, server) = ready(&directory).await;
    let taken = Arc::clone(&server.serving.work).acquire_many_owned(WORK_KIB).await.unwrap();
    assert_eq!(ask::<wire::Got>(&bus, "GET", &get()).await.unwrap_err().code, "overloaded");
    let begun = Instant::now();
    let refused = ask::<wire::Got>(&bus, "GET", &get()).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable), ("overloaded", true));
    assert!(begun.elapsed() < PATIENCE, "the second one does not wait");
    drop(taken);
    assert_eq!(ask::<wire::Got>(&bus, "GET", &get()).await, Ok(wire::Got { entry: None }));
}

#[tokio::test]
async fn what_no_message_carries_is_refused_and_windows_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, server) = ready(&directory).await;
    let mesh = server.serving.store.mesh().await.unwrap();
    let space = mesh.space(myelin_mesh::Namespace::new("s").unwrap());
    space.set(&myelin_mesh::Key::new("k").unwrap(), vec![7; 100 << 10].into(), myelin_mesh::Ttl::DEFAULT).await.unwrap();
    assert_eq!(ask::<wire::Got>(&bus, "GET", &get()).await.unwrap_err().code, "answer_too_large");
    let value = |byte| wire::Unnamed { value: vec![byte; 20 << 10].into(), content_type: None };
    for byte in 1..=4 {
        let append = wire::Append { space: text("s"), window: text("w"), values: vec![value(byte)], ..wire::Append::default() };
        ask::<wire::Appended>(&bus, "APPEND", &append).await.unwrap();
    }
    let mut recent = wire::Recent { space: text("s"), window: text("w"), last: Some(4), ..wire::Recent::default() };
    let firsts = |page: &wire::Recalled| page.entries.iter().map(|entry| entry.value[0]).collect::<Vec<_>>();
    let newest: wire::Recalled = ask(&bus, "RECENT", &recent).await.unwrap();
    assert_eq!((firsts(&newest), newest.more), (vec![2, 3, 4], true));
    (recent.last, recent.since_ms) = (None, Some(0));
    let oldest: wire::Recalled = ask(&bus, "RECENT", &recent).await.unwrap();
    assert_eq!((firsts(&oldest), oldest.more), (vec![1, 2, 3], true));
    (recent.since_ms, recent.after) = (None, Some(oldest.entries[2].position.clone()));
    let rest: wire::Recalled = ask(&bus, "RECENT", &recent).await.unwrap();
    assert_eq!((firsts(&rest), rest.more), (vec![4], false));
}

#[tokio::test]
async fn a_stop_tells_watchers_and_answers_what_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let (bus, server) = ready(&directory).await;
    let mut told = bus.subscribe(&Filter::new(&format!("{EVENTS}w")).unwrap(), SubscribeOptions::default()).await.unwrap();
    let watch = wire::Watch { space: text("s"), id: text("w"), ..wire::Watch::default() };
    ask::<wire::Watching>(&bus, "WATCH", &watch).await.unwrap();
    let live = timeout(PATIENT, told.next()).await.unwrap().unwrap();
    live.respond(&bus, Body::default());
    ask::<wire::Written>(&bus, "SET", &set(vec![1])).await.unwrap();
    let put = timeout(PATIENT, told.next()).await.unwrap().unwrap();
    put.respond(&bus, Body::default());
    assert!(server.shutdown(PATIENT).await);
    let Body::Blob(last) = timeout(PATIENT, told.next()).await.unwrap().unwrap().body else { panic!("frames") };
    let last: wire::Events = rmp_serde::from_slice(&last).unwrap();
    assert!(last.is_over && last.error.is_some_and(|error| error.code == "closed"));
    // Written out and let go of: it can be opened again at once.
    Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await.unwrap();
}

/// A store that nobody asks is not made, and whoever asks first makes it, however many are first.
#[tokio::test]
async fn a_store_is_made_by_the_first_who_asks() {
    let directory = tempfile::tempdir().unwrap();
    let unmade = || Unmade { store: EmbeddedConfig::new(directory.path()), mesh: MeshConfig::default() };
    let files = || std::fs::read_dir(directory.path()).unwrap().count();
    let (bus, server) = start(Opened::Unmade(Box::new(unmade()))).await;
    assert!(server.serving.store.is_reachable() && server.serving.store.ready().is_none());
    assert!(server.shutdown(PATIENT).await);
    assert_eq!(files(), 0);
    drop((bus, server));
    let (bus, server) = start(Opened::Unmade(Box::new(unmade()))).await;
    let (get, set) = (get(), set(vec![1]));
    let asked =
        tokio::join!(ask::<wire::Got>(&bus, "GET", &get), ask::<wire::Written>(&bus, "SET", &set), ask::<wire::Got>(&bus, "GET", &get));
    assert!(asked.0.is_ok() && asked.1.is_ok() && asked.2.is_ok(), "{asked:?}");
    assert_eq!(files(), 1);
    assert!(server.shutdown(PATIENT).await);
    assert_eq!(server.serving.store.mesh().await.unwrap_err().code, "closed", "it is not made again");
}

#[tokio::test]
async fn a_store_that_cannot_be_made_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("place");
    std::fs::write(&place, "a file where a directory is needed").unwrap();
    let unmade = Unmade { store: EmbeddedConfig::new(&place), mesh: MeshConfig::default() };
    let (bus, _server) = start(Opened::Unmade(Box::new(unmade))).await;
    let refused = ask::<wire::Got>(&bus, "GET", &get()).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.retryable), ("unavailable", true));
    std::fs::remove_file(&place).unwrap();
    assert_eq!(ask::<wire::Got>(&bus, "GET", &get()).await, Ok(wire::Got { entry: None }));
}
