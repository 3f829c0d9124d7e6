//! Watches: what is there, and then what becomes of it.

use std::collections::BTreeMap;

use super::fixture::{eventually, key, within};
use super::{Fixture, SHORT};
use crate::{Change, Changed, Key, Prefix, Revision, Space, Ttl, Value, Watch, WatchEvent};

/// What a watch told, in a few letters: `+` written, `-` deleted, `~` expired, `live`, `resync`.
async fn told(watch: &mut Watch) -> String {
    match within("something is told", watch.next()).await.unwrap() {
        WatchEvent::Change(Change { key, to: Changed::Put(_) }) => format!("+{key}"),
        WatchEvent::Change(Change { key, to: Changed::Deleted }) => format!("-{key}"),
        WatchEvent::Change(Change { key, to: Changed::Expired }) => format!("~{key}"),
        WatchEvent::Live => "live".to_owned(),
        WatchEvent::Resync => "resync".to_owned(),
    }
}

async fn set(space: &Space, name: &str) -> Revision {
    space.set(&key(name), "x".into(), Ttl::FOREVER).await.unwrap()
}

/// In the order of the keys.
pub async fn a_watch_begins_with_what_is_there(on: &Fixture) {
    let space = on.space("a");
    let entries: Vec<_> = (0..200).map(|number| (key(&format!("k{number:03}")), Value::text(number.to_string()))).collect();
    space.set_many(entries.clone(), Ttl::DEFAULT).await.unwrap();
    space.delete(&key("k007")).await.unwrap();
    let mut watch = space.watch(&Prefix::all());
    for (name, value) in entries.iter().filter(|(name, _)| name.as_str() != "k007") {
        let WatchEvent::Change(Change { key, to: Changed::Put(entry) }) = watch.next().await.unwrap() else { panic!("an entry") };
        assert_eq!((&key, &entry.value), (name, value));
        assert_eq!(watch.position(), None);
    }
    assert_eq!(told(&mut watch).await, "live");
    assert!(watch.position().is_some());
}

/// By whomever.
pub async fn writes_and_deletes_are_told_in_order(on: &Fixture) {
    let (space, second) = (on.space("a"), on.second("a"));
    let mut watch = space.watch(&Prefix::all());
    assert_eq!(told(&mut watch).await, "live");
    let revision = set(&second, "a").await;
    let WatchEvent::Change(Change { to: Changed::Put(entry), .. }) = within("a change", watch.next()).await.unwrap() else {
        panic!("a write")
    };
    assert_eq!((entry.revision, entry.value, entry.ttl), (revision, "x".into(), None));
    second.delete(&key("a")).await.unwrap();
    assert_eq!(told(&mut watch).await, "-a");
    set(&space, "b").await;
    assert_eq!(told(&mut watch).await, "+b");
    // What changes nothing is not told.
    space.touch(&key("b"), Ttl::DEFAULT).await.unwrap();
    space.delete(&key("none")).await.unwrap();
    set(&second, "c").await;
    assert_eq!(told(&mut watch).await, "+c");
}

/// When it is noticed, though nobody asks for the entry.
pub async fn an_expiry_is_told(on: &Fixture) {
    let space = on.space("a");
    space.set(&key("first"), "x".into(), SHORT.into()).await.unwrap();
    let mut watch = space.watch(&Prefix::all());
    assert_eq!(told(&mut watch).await, "+first");
    assert_eq!(told(&mut watch).await, "live");
    space.set(&key("second"), "x".into(), SHORT.into()).await.unwrap();
    let mut rest = vec![told(&mut watch).await, told(&mut watch).await, told(&mut watch).await];
    rest.sort();
    assert_eq!(rest, ["+second", "~first", "~second"]);
}

/// And that of no other namespace.
pub async fn only_the_prefix_is_told(on: &Fixture) {
    let (space, other) = (on.space("a"), on.space("b"));
    set(&space, "job/1").await;
    set(&space, "jobs").await;
    let mut watch = space.watch(&Prefix::new("job/").unwrap());
    assert_eq!(told(&mut watch).await, "+job/1");
    assert_eq!(told(&mut watch).await, "live");
    set(&other, "job/9").await;
    set(&space, "jobs").await;
    set(&space, "job/2").await;
    assert_eq!(told(&mut watch).await, "+job/2");
}

/// And misses nothing that happened meanwhile.
pub async fn a_watch_goes_on_from_a_position(on: &Fixture) {
    let space = on.space("a");
    set(&space, "a").await;
    let mut watch = space.watch(&Prefix::all());
    assert_eq!(told(&mut watch).await, "+a");
    assert_eq!(told(&mut watch).await, "live");
    set(&space, "b").await;
    assert_eq!(told(&mut watch).await, "+b");
    let position = watch.position().unwrap().to_string();
    drop(watch);
    set(&space, "c").await;
    space.delete(&key("a")).await.unwrap();
    let mut watch = on.second("a").watch_from(&Prefix::all(), position.parse().unwrap());
    assert_eq!(told(&mut watch).await, "+c");
    assert_eq!(told(&mut watch).await, "-a");
    set(&space, "d").await;
    assert_eq!(told(&mut watch).await, "+d");
}

/// Then it begins from the front.
pub async fn a_position_that_nobody_knows_is_a_resync(on: &Fixture) {
    let space = on.space("a");
    set(&space, "a").await;
    let mut watch = space.watch_from(&Prefix::all(), "1-2-3".parse().unwrap());
    for expected in ["resync", "+a", "live"] {
        assert_eq!(told(&mut watch).await, expected);
    }
    set(&space, "b").await;
    assert_eq!(told(&mut watch).await, "+b");
}

/// Whatever happens while it is made.
pub async fn a_copy_becomes_the_same(on: &Fixture) {
    let space = on.space("a");
    let mut copy: BTreeMap<Key, Revision> = BTreeMap::new();
    let mut watch = space.watch(&Prefix::all());
    let writer = {
        let space = on.second("a");
        tokio::spawn(async move {
            for number in 0..300 {
                let name = key(&format!("k{}", fastrand::u8(..20)));
                match number % 5 {
                    0 => drop(space.delete(&name).await.unwrap()),
                    1 => drop(space.set(&name, "x".into(), SHORT.into()).await.unwrap()),
                    _ => drop(space.set(&name, "x".into(), Ttl::FOREVER).await.unwrap()),
                }
            }
            space.set(&key("the end"), "x".into(), Ttl::FOREVER).await.unwrap();
        })
    };
    let mut ended = false;
    eventually("the copy is the same", async || {
        while !ended {
            match within("something is told", watch.next()).await.unwrap() {
                WatchEvent::Change(Change { key, to: Changed::Put(entry) }) => {
                    ended |= key.as_str() == "the end";
                    copy.insert(key, entry.revision);
                }
                WatchEvent::Change(Change { key, to: Changed::Deleted | Changed::Expired }) => drop(copy.remove(&key)),
                WatchEvent::Live => {}
                WatchEvent::Resync => copy.clear(),
            }
        }
        let keys = space.scan(&Prefix::all(), None, 100).await.unwrap().keys;
        let entries = space.get_many(&keys).await.unwrap();
        let there: BTreeMap<_, _> = keys.into_iter().zip(entries).filter_map(|(key, entry)| Some((key, entry?.revision))).collect();
        // What differs can only be an expiry that is still to be told.
        ended = there == copy;
        ended.then_some(())
    })
    .await;
    writer.await.unwrap();
}
