//! The end of a mesh.

use super::Fixture;
use super::fixture::{key, within};
use crate::error::{CompareError, ReadError, WatchError, WriteError};
use crate::{Expected, Prefix, Recent, Ttl, WatchEvent, Window};

/// To whatever is asked, and it never waits.
pub async fn a_closed_mesh_says_so(on: &Fixture) {
    let space = on.space("a");
    let window = Window::new(key("w"));
    space.set(&key("k"), "x".into(), Ttl::DEFAULT).await.unwrap();
    on.mesh().close().await;
    assert_eq!(space.get(&key("k")).await, Err(ReadError::Closed));
    assert_eq!(space.set(&key("k"), "y".into(), Ttl::DEFAULT).await, Err(WriteError::Closed));
    let compared = space.compare_and_set(&key("k"), Expected::Absent, "y".into(), Ttl::DEFAULT).await;
    assert_eq!(compared, Err(CompareError::Write(WriteError::Closed)));
    assert_eq!(space.delete(&key("k")).await, Err(WriteError::Closed));
    assert_eq!(space.touch(&key("k"), Ttl::DEFAULT).await, Err(WriteError::Closed));
    assert_eq!(space.scan(&Prefix::all(), None, 1).await, Err(ReadError::Closed));
    assert_eq!(space.append(&window, "x".into()).await, Err(WriteError::Closed));
    assert_eq!(space.recent(&window, Recent::last(1)).await, Err(ReadError::Closed));
    assert_eq!(space.clear(&key("w")).await, Err(WriteError::Closed));
    assert_eq!(space.stats().await, Err(ReadError::Closed));
    assert_eq!(space.watch(&Prefix::all()).next().await, Err(WatchError::Closed));
    on.mesh().close().await;
}

/// Whoever waits for it is told.
pub async fn a_watch_ends_with_its_mesh(on: &Fixture) {
    let mut watch = on.space("a").watch(&Prefix::all());
    assert_eq!(watch.next().await, Ok(WatchEvent::Live));
    let waiting = tokio::spawn(async move { watch.next().await });
    on.mesh().close().await;
    assert_eq!(within("the watch ends", waiting).await.unwrap(), Err(WatchError::Closed));
}
