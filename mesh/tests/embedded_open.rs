//! A store is opened whole or not at all, and what is wrong is told by an error.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use myelin_mesh::error::OpenError;
use myelin_mesh::{EmbeddedConfig, Key, Mesh, MeshConfig, Namespace, Recent, Space, Ttl, Value, Window};

async fn open(directory: &Path) -> Result<Mesh, OpenError> {
    Mesh::embedded(EmbeddedConfig::new(directory), MeshConfig::default()).await
}

fn space(mesh: &Mesh) -> Space {
    mesh.space(Namespace::new("a").unwrap())
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("not/there/yet");
    let window = Window::new(key("w"));
    let mesh = open(&directory).await.unwrap();
    let revision = space(&mesh).set(&key("k"), Value::json("{}"), Ttl::FOREVER).await.unwrap();
    let position = space(&mesh).append(&window, "first".into()).await.unwrap();
    space(&mesh).set(&key("short"), "x".into(), Duration::from_millis(50).into()).await.unwrap();
    let short = Instant::now();
    mesh.close().await;
    let mesh = open(&directory).await.unwrap();
    let entry = space(&mesh).get(&key("k")).await.unwrap().unwrap();
    assert_eq!((entry.revision, entry.value), (revision, Value::json("{}")));
    assert_eq!(space(&mesh).recent(&window, Recent::last(9)).await.unwrap().entries[0].position, position);
    assert!(space(&mesh).append(&window, "second".into()).await.unwrap() > position);
    // Its time went on while nobody was there.
    while short.elapsed() < Duration::from_millis(60) {
        tokio::task::yield_now().await;
    }
    assert_eq!(space(&mesh).get(&key("short")).await, Ok(None));
    mesh.close().await;
}

#[tokio::test]
async fn one_mesh_at_a_time_has_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = open(directory.path()).await.unwrap();
    let error = open(directory.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }) && error.is_retryable(), "{error}");
    space(&mesh).set(&key("k"), "x".into(), Ttl::FOREVER).await.unwrap();
    mesh.close().await;
    open(directory.path()).await.unwrap().close().await;
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_stays_as_it_is() {
    for content in [&b""[..], b"x", b"this is no store of ours, but somebody's notes", &[0; 100_000], &[255; 5000]] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("memory.redb");
        fs::write(&path, content).unwrap();
        let error = open(directory.path()).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }) && !error.is_retryable(), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_or_shortened_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("memory.redb");
    let mesh = open(directory.path()).await.unwrap();
    for number in 0..100 {
        space(&mesh).set(&key(&number.to_string()), Value::bytes(vec![number; 1000]), Ttl::FOREVER).await.unwrap();
    }
    mesh.close().await;
    let whole = fs::read(&path).unwrap();
    let used: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut damaged = 0;
    for step in 0..20 {
        let mut bytes = whole.clone();
        let at = used[step * used.len() / 20];
        bytes[at..(at + 64).min(whole.len())].fill(0xa5);
        fs::write(&path, &bytes).unwrap();
        match open(directory.path()).await {
            Ok(mesh) => {
                assert_eq!(space(&mesh).stats().await.unwrap().entries, 100, "opened is whole");
                mesh.close().await;
            }
            Err(OpenError::Damaged { .. } | OpenError::Format { .. }) => damaged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(damaged > 0);
    for length in [1, 4096, whole.len() / 2] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(directory.path()).await.unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{length} bytes: {error}");
    }
    fs::write(&path, whole).unwrap();
    open(directory.path()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_place_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file).await.unwrap_err();
    assert!(matches!(&error, OpenError::Io { path, .. } if path.contains("file")), "{error}");
    let error = EmbeddedConfig::new(&file).has_store().unwrap_err();
    assert!(matches!(&error, OpenError::Io { path, .. } if path.contains("file")), "{error}");
}

#[tokio::test]
async fn who_looks_for_a_store_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("not/there/yet");
    assert_eq!(EmbeddedConfig::new(&directory).has_store(), Ok(false));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing is left of the look");
    open(&directory).await.unwrap().close().await;
    assert_eq!(EmbeddedConfig::new(&directory).has_store(), Ok(true));
}

#[tokio::test]
async fn what_a_crash_left_of_a_store_being_made_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("memory.redb.new"), "half").unwrap();
    let mesh = open(directory.path()).await.unwrap();
    space(&mesh).set(&key("k"), "x".into(), Ttl::FOREVER).await.unwrap();
    mesh.close().await;
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_mesh_that_is_dropped_lets_go_of_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = open(directory.path()).await.unwrap();
    space(&mesh).set(&key("k"), "x".into(), Ttl::FOREVER).await.unwrap();
    drop(mesh);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mesh = loop {
        match open(directory.path()).await {
            Ok(mesh) => break mesh,
            Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
        }
    };
    assert!(space(&mesh).get(&key("k")).await.unwrap().is_some());
    mesh.close().await;
}
