//! Scans: every key, once, in order.

use super::Fixture;
use super::fixture::key;
use crate::{Prefix, Space, Ttl, Window};

async fn fill(space: &Space, names: &[&str]) {
    let entries = names.iter().map(|name| (key(name), "x".into())).collect();
    space.set_many(entries, Ttl::DEFAULT).await.unwrap();
}

async fn all(space: &Space, prefix: &str, limit: usize) -> Vec<String> {
    let prefix = Prefix::new(prefix).unwrap();
    let mut keys = Vec::new();
    let mut after = None;
    loop {
        let page = space.scan(&prefix, after.as_ref(), limit).await.unwrap();
        assert!(page.keys.len() <= limit);
        keys.extend(page.keys.iter().map(ToString::to_string));
        after = page.next;
        if after.is_none() {
            return keys;
        }
    }
}

/// That of their bytes.
pub async fn keys_come_in_order(on: &Fixture) {
    let space = on.space("a");
    fill(&space, &["b", "a/2", "ü", "a/1", "a", "B", "a/10", "a:"]).await;
    assert_eq!(all(&space, "", 100).await, ["B", "a", "a/1", "a/10", "a/2", "a:", "b", "ü"]);
    assert_eq!(all(&space, "a/", 100).await, ["a/1", "a/10", "a/2"]);
    assert_eq!(all(&space, "a/1", 100).await, ["a/1", "a/10"]);
    assert!(all(&space, "c", 100).await.is_empty());
    space.delete(&key("a/1")).await.unwrap();
    assert_eq!(all(&space, "a/", 100).await, ["a/10", "a/2"]);
}

/// Whatever its size, and although others come and go.
pub async fn every_key_is_in_one_page(on: &Fixture) {
    let space = on.space("a");
    let names: Vec<_> = (0..50).map(|number| format!("k{number:02}")).collect();
    fill(&space, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for limit in [1, 7, 50, 51] {
        assert_eq!(all(&space, "k", limit).await, names);
    }
    let page = space.scan(&Prefix::all(), None, 10).await.unwrap();
    fill(&space, &["a"]).await;
    space.delete(&key("k09")).await.unwrap();
    let rest = space.scan(&Prefix::all(), page.next.as_ref(), 100).await.unwrap();
    let seen: Vec<_> = page.keys.iter().chain(&rest.keys).map(ToString::to_string).collect();
    assert_eq!(seen, names);
}

/// A star is a star.
pub async fn a_prefix_is_no_pattern(on: &Fixture) {
    let space = on.space("a");
    fill(&space, &["a*b", "axb", "a?b", "[a]", "\\a", "{a}"]).await;
    for name in ["a*", "a?", "[a", "\\", "{"] {
        let found = all(&space, name, 10).await;
        assert!(found.len() == 1 && found[0].starts_with(name), "{name}: {found:?}");
    }
}

/// A scan of one kind does not see the other.
pub async fn windows_are_listed_apart(on: &Fixture) {
    let space = on.space("a");
    fill(&space, &["k1", "k2"]).await;
    for name in ["w2", "w1", "k1"] {
        space.append(&Window::new(key(name)), "x".into()).await.unwrap();
    }
    assert_eq!(all(&space, "", 10).await, ["k1", "k2"]);
    let page = space.scan_windows(&Prefix::all(), None, 2).await.unwrap();
    assert_eq!(page.keys, ["k1", "w1"].map(key));
    let page = space.scan_windows(&Prefix::all(), page.next.as_ref(), 2).await.unwrap();
    assert_eq!((page.keys, page.next), (vec![key("w2")], None));
    assert_eq!(space.scan_windows(&Prefix::new("w").unwrap(), None, 9).await.unwrap().keys, ["w1", "w2"].map(key));
}
