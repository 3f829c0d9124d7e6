//! Proves that the registry file survives: what is saved is loaded, and damage costs the damaged entries and nothing else.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use myelin_bridge_zmq::discovery::agent::{Agent, AgentName, Card, Replica};
use myelin_bridge_zmq::discovery::attach::Attached;
use myelin_bridge_zmq::discovery::store::{DamageKind, Store};
use tempfile::TempDir;

fn agent(index: u16) -> Arc<Agent> {
    let endpoint = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let health = (!index.is_multiple_of(3)).then(|| endpoint(6000 + index));
    let replica = Replica { endpoint: endpoint(5000 + index), health, order: u64::from(index) + 1 };
    let older = Replica { endpoint: "[::1]:99".parse().unwrap(), health: None, order: 0 };
    Arc::new(Agent {
        name: AgentName::new(&format!("agent {index} \"é\"")).unwrap(),
        card: Card {
            agent_type: "\"analyzer\"".into(),
            capabilities: r#"["a", "b"]"#.into(),
            dependencies: "[]".into(),
            metadata: r#"{"load": NaN, "big": 123456789012345678901234567890, "lone": "\ud800"}"#.into(),
        },
        last_registered: SystemTime::UNIX_EPOCH + Duration::from_micros(1_718_000_000_250_000),
        replicas: if index.is_multiple_of(2) { vec![replica] } else { vec![older, replica] },
        ports: (index != 2).then_some(Attached { service_port: 40_000 + index, health_port: health.map(|at| at.port()) }),
        attached: false,
    })
}

fn agents(count: u16) -> Vec<Arc<Agent>> {
    (0..count).map(agent).collect()
}

fn saved(count: u16) -> (TempDir, Store, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    store.save(&agents(count)).unwrap();
    let bytes = fs::read(store.path()).unwrap();
    (dir, store, bytes)
}

fn load(store: &Store) -> (Vec<Arc<Agent>>, Option<DamageKind>) {
    let loaded = store.load().unwrap();
    let kind = loaded.damage.map(|damage| {
        let aside = damage.set_aside.expect("a copy was kept");
        assert_eq!(fs::read(aside).unwrap(), fs::read(store.path()).unwrap());
        damage.kind
    });
    (loaded.agents.into_iter().map(Arc::new).collect(), kind)
}

#[test]
fn what_is_saved_is_loaded() {
    let (_dir, store, bytes) = saved(5);
    assert_eq!(load(&store), (agents(5), None));
    store.save(&agents(5)).unwrap();
    assert_eq!(fs::read(store.path()).unwrap(), bytes);
    store.save(&[]).unwrap();
    assert_eq!(load(&store), (Vec::new(), None));
}

#[test]
fn nothing_saved_is_nothing_loaded() {
    let dir = TempDir::new().unwrap();
    let store = Store::open(&dir.path().join("a/b")).unwrap();
    assert_eq!(load(&store), (Vec::new(), None));
}

#[test]
fn an_unfinished_write_is_not_looked_at() {
    let (_dir, store, _) = saved(3);
    fs::write(store.path().with_file_name("discovery.json.new"), b"half").unwrap();
    assert_eq!(load(&store), (agents(3), None));
    store.save(&agents(4)).unwrap();
    assert_eq!(load(&store), (agents(4), None));
}

#[test]
fn a_truncated_file_keeps_its_whole_lines() {
    let (_dir, store, bytes) = saved(3);
    let near_a_line_feed = |len: &usize| bytes[len.saturating_sub(2)..(len + 2).min(bytes.len())].contains(&b'\n');
    for len in (0..bytes.len()).filter(|len| near_a_line_feed(len) || len.is_multiple_of(17)) {
        fs::write(store.path(), &bytes[..len]).unwrap();
        let (found, damage) = load(&store);
        let whole = bytes[..len].iter().filter(|byte| **byte == b'\n').count().saturating_sub(1).min(3);
        assert_eq!(found, agents(3)[..whole], "{len} bytes");
        assert!(damage.is_some(), "{len} bytes");
    }
}

#[test]
fn a_flipped_bit_is_noticed_and_costs_what_it_hit() {
    let (_dir, store, bytes) = saved(3);
    let saved = agents(3);
    let line_feed = |at: &usize| bytes[*at] == b'\n';
    for at in (0..bytes.len()).filter(|at| line_feed(at) || at.is_multiple_of(5)) {
        // Each bit in turn.
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(store.path(), &damaged).unwrap();
        let (found, damage) = load(&store);
        assert!(damage.is_some(), "byte {at}");
        assert!(found.iter().all(|agent| saved.contains(agent)), "byte {at}: an agent changed");
        // A line feed that is gone joins two lines.
        let lost = if damage == Some(DamageKind::Version) { 3 } else { 2 };
        assert!(found.len() + lost >= 3, "byte {at}: {} left", found.len());
    }
}

#[test]
fn missing_and_foreign_lines_are_noticed() {
    let (_dir, store, bytes) = saved(3);
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().collect();

    fs::write(store.path(), [lines[0], lines[1], lines[3], lines[4], ""].join("\n")).unwrap();
    assert_eq!(load(&store), (vec![agent(0), agent(2)], Some(DamageKind::Truncated)));

    fs::write(store.path(), [lines[0], "{}", "", lines[1], lines[2], lines[3], lines[4], ""].join("\n")).unwrap();
    assert_eq!(load(&store), (agents(3), Some(DamageKind::Lines(2))));

    fs::write(store.path(), [b"\xff\xfe".as_slice(), text.as_bytes()].concat()).unwrap();
    assert_eq!(load(&store), (agents(3), Some(DamageKind::Lines(1))));

    fs::write(store.path(), vec![0; 4096]).unwrap();
    assert_eq!(load(&store).1, Some(DamageKind::Lines(1)));
}

#[test]
fn a_file_of_another_version_is_set_aside_whole() {
    let (_dir, store, bytes) = saved(3);
    let text = String::from_utf8(bytes).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    fs::write(store.path(), &text).unwrap();
    assert_eq!(load(&store), (Vec::new(), Some(DamageKind::Version)));
    assert_eq!(fs::read_to_string(store.path()).unwrap(), text, "nothing is overwritten before the next save");
}

#[test]
fn an_unusable_directory_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file.join("state")).unwrap_err();
    assert!(error.to_string().contains("file/state"), "{error}");

    let store = Store::open(dir.path()).unwrap();
    fs::create_dir(store.path()).unwrap();
    assert!(store.load().is_err());
    assert!(store.save(&agents(1)).is_err());
}
