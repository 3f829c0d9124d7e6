//! What earlier versions wrote is opened, whole, and is what docs/memory-file.md says, read by that page and not by our code.
//!
//! `fixtures/format1.redb.gz` is a store as the first version of format 1 left it. It was made by `a_fixture_is_written` below, which makes the one of
//! the next format when there is one; what is there already never changes.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use myelin_mesh::error::OpenError;
use myelin_mesh::{
    ContentType, EmbeddedConfig, Expected, Key, Mesh, MeshConfig, Namespace, Prefix, Recent, Space, Ttl, Value, Window, limits,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tempfile::TempDir;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

const AGENT: &str = "fleet.planner";
/// Compressed, by the words that are in the vocabulary.
const HEALTH: &str = r#"{"status": "healthy", "agent_id": "planner", "health_status": "HEALTHY", "timestamp": 1763748000, "uptime": 123456, "metadata": {}}"#;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format1.redb.gz")
}

/// A directory with a copy of the fixture, and the path of its file.
fn copy() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.redb");
    let mut bytes = Vec::new();
    GzDecoder::new(&fs::read(fixture()).unwrap()[..]).read_to_end(&mut bytes).unwrap();
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

async fn open(directory: &TempDir) -> Result<Mesh, OpenError> {
    Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await
}

fn space(mesh: &Mesh) -> Space {
    mesh.space(Namespace::new(AGENT).unwrap())
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn sound() -> Value {
    Value { bytes: vec![0, 255, 7].into(), content_type: ContentType::new("audio/wav").unwrap() }
}

/// As long as a window can live.
fn window() -> Window {
    Window::new(key("messages")).entries_max(limits::WINDOW_ENTRIES_CEILING).age_max(limits::TTL_MAX)
}

#[tokio::test]
async fn a_store_of_format_1_is_opened_with_all_that_is_in_it() {
    let (directory, _) = copy();
    let mesh = open(&directory).await.unwrap();
    let agent = space(&mesh);
    let health = agent.get(&key("health")).await.unwrap().unwrap();
    assert_eq!((&health.value, health.ttl), (&Value::json(HEALTH), None));
    let noted = agent.get(&key("revision of health")).await.unwrap().unwrap();
    assert_eq!(noted.value, Value::text(health.revision.to_string()));
    let raw = agent.get(&key("raw")).await.unwrap().unwrap();
    assert_eq!(raw.value, sound());
    assert!(raw.ttl.unwrap() > Duration::from_secs(24 * 3600));
    assert_eq!(agent.get(&key("short")).await.unwrap(), None, "its time went on");
    assert_eq!(agent.scan(&Prefix::all(), None, 9).await.unwrap().keys, ["health", "raw", "revision of health"].map(key));
    let page = agent.recent(&window(), Recent::last(9)).await.unwrap();
    let texts: Vec<_> = page.entries.iter().map(|entry| entry.value.clone()).collect();
    assert_eq!(texts, ["first", "second", "third"].map(Value::from));

    // And it goes on with it.
    let last = page.entries[2].position;
    assert!(agent.append(&window(), "fourth".into()).await.unwrap() > last);
    agent.compare_and_set(&key("health"), Expected::Revision(health.revision), "well".into(), Ttl::FOREVER).await.unwrap();
    mesh.close().await;
    let mesh = open(&directory).await.unwrap();
    assert_eq!(space(&mesh).recent(&window(), Recent::last(9)).await.unwrap().entries.len(), 4);
    assert_eq!(space(&mesh).get(&key("health")).await.unwrap().unwrap().value, "well".into());
    mesh.close().await;
}

#[test]
fn its_rows_are_what_the_page_says() {
    let (_directory, path) = copy();
    let database = Database::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    let rows = |table: &'static str| -> Vec<(Vec<u8>, Vec<u8>)> {
        let table = read.open_table(Rows::new(table)).unwrap();
        table.iter().unwrap().map(|row| row.map(|(name, row)| (name.value().to_vec(), row.value().to_vec())).unwrap()).collect()
    };
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    for table in ["entries", "windows", "log", "spaces"] {
        for (name, row) in rows(table) {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&name);
            hasher.update(&row[4..]);
            assert_eq!(row[..4], hasher.finalize().to_be_bytes(), "{table}");
        }
    }
    let raw = rows("entries").into_iter().find(|(name, _)| name == b"fleet.planner\0raw").unwrap().1;
    let (expires, due) = (number(&raw[4..12]), number(&raw[12..20]));
    assert!(due <= expires && expires < u64::MAX);
    assert_eq!(raw[36..], *b"\x0f\x09audio/wav\x00\xff\x07");
    let health = rows("entries").into_iter().find(|(name, _)| name == b"fleet.planner\0health").unwrap().1;
    assert_eq!((number(&health[4..12]), health[36]), (u64::MAX, 0x11));
    assert_eq!(usize::from(health[37] & 127) | usize::from(health[38]) << 7, HEALTH.len());
    let [(name, row)] = &rows("windows")[..] else { panic!("one window") };
    assert_eq!((&name[..], number(&row[20..28])), (&b"fleet.planner\0messages"[..], 3));
    let log = rows("log");
    assert!(log.iter().all(|(name, _)| name.starts_with(b"fleet.planner\0messages\0") && name.len() == 23 + 16));
    assert_eq!(log[0].1[4..], *b"\x03first");
    assert!(rows("due").contains(&([&due.to_be_bytes()[..], b"\0fleet.planner\0raw"].concat(), Vec::new())));
    assert_eq!(rows("spaces").len(), 1);
    let meta = read.open_table(META).unwrap();
    assert_eq!(meta.get("format").unwrap().unwrap().value(), 1);
    assert!(meta.get("turn").unwrap().unwrap().value() > 0 && meta.get("clock_ms").unwrap().unwrap().value() > 0);
}

#[tokio::test]
async fn a_store_of_a_later_format_is_refused_and_stays_as_it_is() {
    let (directory, path) = copy();
    let database = Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("format", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    match open(&directory).await.unwrap_err() {
        OpenError::Format { found, known, .. } => assert_eq!((found, known), (2, 1)),
        other => panic!("{other:?}"),
    }
    let database = Database::open(&path).unwrap();
    let read = database.begin_read().unwrap();
    assert_eq!(read.open_table(META).unwrap().get("format").unwrap().unwrap().value(), 2);
}

#[tokio::test]
#[ignore = "writes a fixture, of which there is one for each format"]
async fn a_fixture_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = open(&directory).await.unwrap();
    let agent = space(&mesh);
    let revision = agent.set(&key("health"), Value::json(HEALTH), Ttl::FOREVER).await.unwrap();
    agent.set(&key("revision of health"), Value::text(revision.to_string()), Ttl::FOREVER).await.unwrap();
    agent.set(&key("raw"), sound(), limits::TTL_MAX.into()).await.unwrap();
    for text in ["first", "second", "third"] {
        agent.append(&window(), text.into()).await.unwrap();
    }
    // Last, so that no sweep comes before the end.
    agent.set(&key("short"), "x".into(), Duration::from_secs(1).into()).await.unwrap();
    mesh.close().await;
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&fs::read(directory.path().join("memory.redb")).unwrap()).unwrap();
    // One that is there is kept.
    let mut file = fs::File::create_new(fixture()).unwrap();
    file.write_all(&packed.finish().unwrap()).unwrap();
}
