//! Time to live. That time passed is seen from another entry with the same time, written later: when that one is gone, so is the first.

use std::time::Duration;

use super::fixture::{gone, key};
use super::{Fixture, SHORT};
use crate::error::CompareError;
use crate::{Expected, Prefix, Space, Ttl};

async fn set(space: &Space, name: &str, ttl: Ttl) {
    space.set(&key(name), "x".into(), ttl).await.unwrap();
}

/// Waits until everything that had a short time to live when this was called is past it.
async fn until_short_is_over(space: &Space) {
    set(space, "witness", SHORT.into()).await;
    gone(space, &key("witness")).await;
}

/// For `get` and `get_many` alike.
pub async fn an_entry_expires(on: &Fixture) {
    let space = on.space("a");
    set(&space, "k", SHORT.into()).await;
    set(&space, "stays", Ttl::FOREVER).await;
    assert!(space.get(&key("k")).await.unwrap().is_some());
    gone(&space, &key("k")).await;
    let found = space.get_many(&["k", "stays"].map(key)).await.unwrap();
    assert_eq!((found[0].is_some(), found[1].is_some()), (false, true));
}

/// It is never more than was given.
pub async fn the_time_that_is_left_is_told(on: &Fixture) {
    let space = on.space("a");
    let minute = Duration::from_secs(60);
    set(&space, "k", minute.into()).await;
    let left = space.get(&key("k")).await.unwrap().unwrap().ttl.unwrap();
    assert!(left <= minute && left > minute / 2, "{left:?}");
    set(&space, "k", Ttl::FOREVER).await;
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().ttl, None);
}

/// A day, if nobody says otherwise.
pub async fn a_space_has_a_time_for_who_names_none(on: &Fixture) {
    let space = on.space("a");
    let day = Duration::from_secs(24 * 3600);
    set(&space, "k", Ttl::DEFAULT).await;
    let left = space.get(&key("k")).await.unwrap().unwrap().ttl.unwrap();
    assert!(left <= day && left > day / 2, "{left:?}");
    let space = space.ttl_default(Ttl::after(Duration::from_secs(60)));
    set(&space, "k", Ttl::DEFAULT).await;
    assert!(space.get(&key("k")).await.unwrap().unwrap().ttl.unwrap() <= Duration::from_secs(60));
    let space = space.ttl_default(Ttl::FOREVER);
    set(&space, "k", Ttl::DEFAULT).await;
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().ttl, None);
}

/// That of the entry before has no part in it.
pub async fn a_write_begins_a_new_time(on: &Fixture) {
    let space = on.space("a");
    for name in ["longer", "for ever", "compared"] {
        set(&space, name, SHORT.into()).await;
    }
    set(&space, "longer", Duration::from_secs(60).into()).await;
    set(&space, "for ever", Ttl::FOREVER).await;
    let revision = space.get(&key("compared")).await.unwrap().unwrap().revision;
    space.compare_and_set(&key("compared"), Expected::Revision(revision), "x".into(), Ttl::DEFAULT).await.unwrap();
    set(&space, "shorter", Ttl::FOREVER).await;
    set(&space, "shorter", SHORT.into()).await;
    until_short_is_over(&space).await;
    let found = space.get_many(&["longer", "for ever", "compared", "shorter"].map(key)).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false]);
}

/// And leaves content and revision.
pub async fn a_touch_begins_a_new_time(on: &Fixture) {
    let space = on.space("a");
    let revision = space.set(&key("k"), "x".into(), SHORT.into()).await.unwrap();
    assert_eq!(space.touch(&key("k"), Duration::from_secs(60).into()).await, Ok(true));
    until_short_is_over(&space).await;
    let entry = space.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((entry.revision, entry.value), (revision, "x".into()));
    assert!(entry.ttl.unwrap() <= Duration::from_secs(60));
}

/// Also one that was to last for ever.
pub async fn a_touch_may_shorten_a_life(on: &Fixture) {
    let space = on.space("a");
    set(&space, "k", Ttl::FOREVER).await;
    set(&space, "l", Duration::from_secs(60).into()).await;
    assert_eq!(space.touch(&key("k"), SHORT.into()).await, Ok(true));
    assert_eq!(space.touch(&key("l"), SHORT.into()).await, Ok(true));
    gone(&space, &key("k")).await;
    gone(&space, &key("l")).await;
}

/// There is nothing to do it to.
pub async fn what_expired_cannot_be_touched_or_deleted(on: &Fixture) {
    let space = on.space("a");
    set(&space, "k", SHORT.into()).await;
    until_short_is_over(&space).await;
    assert_eq!(space.touch(&key("k"), Ttl::FOREVER).await, Ok(false));
    assert_eq!(space.delete(&key("k")).await, Ok(false));
    assert_eq!(space.get(&key("k")).await, Ok(None));
}

/// Its revision is nobody's any more.
pub async fn what_expired_is_absent_for_a_compare(on: &Fixture) {
    let space = on.space("a");
    let revision = space.set(&key("k"), "x".into(), SHORT.into()).await.unwrap();
    until_short_is_over(&space).await;
    let late = space.compare_and_set(&key("k"), Expected::Revision(revision), "y".into(), Ttl::DEFAULT).await;
    assert_eq!(late, Err(CompareError::Conflict { current: None }));
    space.compare_and_set(&key("k"), Expected::Absent, "z".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value, "z".into());
}

/// Nor is it counted for long.
pub async fn what_expired_is_not_listed(on: &Fixture) {
    let space = on.space("a");
    for name in ["a", "b", "c"] {
        set(&space, name, SHORT.into()).await;
    }
    set(&space, "d", Ttl::FOREVER).await;
    until_short_is_over(&space).await;
    assert_eq!(space.scan(&Prefix::all(), None, 10).await.unwrap().keys, [key("d")]);
    super::fixture::eventually("what expired is swept", async || (space.stats().await.unwrap().entries == 1).then_some(())).await;
}
