//! The store over a disk that fails: what callers are told is true, and it goes on when the disk does.

use super::disk::Disk;
use super::*;
use crate::error::{ReadError, WriteError};
use crate::store::AnyStore;
use crate::{Durability, Mesh, MeshConfig, Prefix, Space, Ttl, Value, WatchEvent};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn on(disk: &Disk, durability: Durability) -> Mesh {
    let mut config = EmbeddedConfig::new("/nowhere");
    config.durability = durability;
    let mut file = StoreFile::of(&config);
    file.disk = Some(disk.clone());
    Mesh::over(AnyStore::Embedded(Embedded::open_file(file, &config).unwrap()), MeshConfig::default())
}

fn new_disk() -> Disk {
    let disk = Disk::default();
    core::Core::create(&redb::Builder::new().create_with_backend(disk.clone()).unwrap()).unwrap();
    disk
}

fn space(mesh: &Mesh) -> Space {
    mesh.space(Namespace::new("a").unwrap())
}

fn value(number: usize) -> Value {
    Value::bytes(vec![number as u8; 1000])
}

/// Writes until there is an answer that is no success.
async fn first_failure(space: &Space, round: usize) -> (usize, WriteError) {
    for number in 0..10_000 {
        if let Err(error) = space.set(&key(&format!("{round}-{number}")), value(number), Ttl::FOREVER).await {
            return (number, error);
        }
    }
    panic!("the disk never failed");
}

#[tokio::test]
async fn a_full_disk_is_told_and_does_not_last() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let space = space(&mesh);
    for writes in [20, 3, 0] {
        disk.fill_after(Some(writes));
        let (failed, error) = first_failure(&space, writes).await;
        assert!(matches!(error, WriteError::Full { .. } | WriteError::Unavailable { .. }), "{error:?}");
        assert!(error.is_retryable() && !error.may_have_happened());
        disk.fill_after(None);
        // The writer tries again by itself, also when nobody writes.
        let there = eventually(async || space.get_many(&[key(&format!("{writes}-{failed}"))]).await.ok()).await;
        assert_eq!(there, [None], "what certainly did not happen is not there");
        for number in 0..failed {
            assert_eq!(space.get(&key(&format!("{writes}-{number}"))).await.unwrap().unwrap().value, value(number));
        }
        eventually(async || space.set(&key("again"), value(1), Ttl::FOREVER).await.ok()).await;
    }
    mesh.close().await;
}

#[tokio::test]
async fn what_a_broken_disk_took_is_unknown_or_is_not_there() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let space = space(&mesh);
    space.set(&key("before"), value(1), Ttl::FOREVER).await.unwrap();
    disk.fail_syncs(true);
    let error = space.set(&key("k"), value(2), Ttl::FOREVER).await.unwrap_err();
    assert!(error.is_retryable());
    disk.fail_syncs(false);
    let there = eventually(async || space.get_many(&["before", "k"].map(key)).await.ok()).await;
    assert_eq!(there[0].as_ref().unwrap().value, value(1));
    assert!(there[1].is_none() || error.may_have_happened(), "{error:?}");
    mesh.close().await;
}

#[tokio::test]
async fn watchers_are_told_that_they_missed_something_when_the_file_failed() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let space = space(&mesh);
    let mut watch = space.watch(&Prefix::all());
    assert_eq!(watch.next().await, Ok(WatchEvent::Live));
    disk.fail_syncs(true);
    space.set(&key("k"), value(1), Ttl::FOREVER).await.unwrap_err();
    disk.fail_syncs(false);
    let told = eventually(async || watch.next().await.ok()).await;
    assert_eq!(told, WatchEvent::Resync);
    mesh.close().await;
}

#[tokio::test]
async fn after_lost_power_everything_acknowledged_is_there() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut disk = new_disk();
    let mut written = 0;
    for _ in 0..10 {
        let mesh = on(&disk, Durability::Synced);
        let space = space(&mesh);
        for _ in 0..random.usize(1..20) {
            space.set(&key(&written.to_string()), value(written), Ttl::FOREVER).await.unwrap();
            written += 1;
        }
        // The disk as it is at this moment, without its power; the old process goes on with another one.
        let cut = Disk::snapshot(&disk);
        cut.cut_power(&mut random);
        disk = cut;
        let mesh_after = on(&disk, Durability::Synced);
        let after = mesh_after.space(Namespace::new("a").unwrap());
        for number in 0..written {
            assert_eq!(after.get(&key(&number.to_string())).await.unwrap().unwrap().value, value(number), "{number} of {written}");
        }
        mesh_after.close().await;
        mesh.close().await;
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_for_good_is_told_to_everybody() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let space = space(&mesh);
    // More than one write writes again.
    let entries = (0..200).map(|number| (key(&format!("k{number}")), value(number))).collect();
    space.set_many(entries, Ttl::FOREVER).await.unwrap();
    // All that is there is gone, and then a write fails, so that the file is opened again.
    disk.flip(&disk.used(), 0);
    disk.fail_syncs(true);
    let error = space.set(&key("l"), value(2), Ttl::FOREVER).await.unwrap_err();
    assert!(error.may_have_happened(), "{error:?}");
    disk.fail_syncs(false);
    eventually(async || match space.set(&key("m"), value(3), Ttl::FOREVER).await {
        Err(WriteError::Damaged { .. }) => Some(()),
        Err(WriteError::Unavailable { .. }) => None,
        outcome => panic!("{outcome:?}"),
    })
    .await;
    assert!(matches!(space.get(&key("k1")).await, Err(ReadError::Damaged { .. })));
    mesh.close().await;
    assert_eq!(space.get(&key("k1")).await, Err(ReadError::Closed));
}

#[tokio::test]
async fn what_expires_all_at_once_is_noticed_within_the_bound() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let space = space(&mesh);
    let ttl = Ttl::after(Duration::from_millis(1000));
    for part in 0..6 {
        let entries = (0..256).map(|number| (key(&format!("{part}-{number}")), value(number))).collect();
        space.set_many(entries, ttl).await.unwrap();
    }
    space.set(&key("last"), value(0), ttl).await.unwrap();
    eventually(async || space.get(&key("last")).await.unwrap().is_none().then_some(())).await;
    let expired = std::time::Instant::now();
    eventually(async || (space.stats().await.unwrap().entries == 0).then_some(())).await;
    println!("1,537 entries were swept {:?} after the last expired", expired.elapsed());
    mesh.close().await;
}

#[tokio::test]
async fn writes_that_come_together_share_a_sync() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Synced);
    let before = disk.syncs();
    let writes: Vec<_> = (0..200)
        .map(|number| {
            let space = space(&mesh);
            tokio::spawn(async move { space.set(&key(&number.to_string()), value(number), Ttl::FOREVER).await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let syncs = disk.syncs() - before;
    assert!(syncs < 200, "{syncs} syncs for 200 writes");
    mesh.close().await;
}

#[tokio::test]
async fn relaxed_writes_are_synced_when_the_store_is_closed() {
    let disk = new_disk();
    let mesh = on(&disk, Durability::Relaxed);
    let before = disk.syncs();
    for number in 0..20 {
        space(&mesh).set(&key(&number.to_string()), value(number), Ttl::FOREVER).await.unwrap();
    }
    assert!(disk.syncs() - before < 20);
    mesh.close().await;
    let disk = Disk::snapshot(&disk);
    disk.cut_power(&mut fastrand::Rng::with_seed(1));
    let mesh = on(&disk, Durability::Relaxed);
    assert_eq!(space(&mesh).stats().await.unwrap().entries, 20);
    mesh.close().await;
}

#[tokio::test]
async fn what_is_over_the_bound_is_refused_until_there_is_room() {
    let disk = new_disk();
    let mut config = EmbeddedConfig::new("/nowhere");
    config.bytes_max = 20_000;
    let mut file = StoreFile::of(&config);
    file.disk = Some(disk);
    let store = Embedded::open_file(file, &config).unwrap();
    let mesh = Mesh::over(AnyStore::Embedded(store), MeshConfig { compress_from_bytes: usize::MAX, ..MeshConfig::default() });
    let space = space(&mesh);
    let (number, error) = first_failure(&space, 0).await;
    assert!(matches!(error, WriteError::Full { .. }) && (15..20).contains(&number), "{number}: {error}");
    let window = Window::new(key("w"));
    assert!(matches!(space.append(&window, value(0)).await, Err(WriteError::Full { .. })));
    // In place of what is there, there is room.
    space.set(&key("0-0"), value(1), Ttl::FOREVER).await.unwrap();
    space.delete_many(&["0-1", "0-2"].map(key)).await.unwrap();
    space.append(&window, value(0)).await.unwrap();
    mesh.close().await;
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looked = timeout(Duration::from_secs(20), async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    looked.await.expect("within 20 s")
}
