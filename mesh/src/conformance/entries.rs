//! Entries: what is written is read, by its key and by no other.

use std::collections::HashSet;

use super::Fixture;
use super::fixture::{eventually, key};
use crate::{ContentType, Prefix, Recent, Ttl, Value, Window};

/// Content, type and revision come back.
pub async fn what_is_set_is_got(on: &Fixture) {
    let space = on.space("a");
    let value = Value { bytes: vec![1, 2, 3].into(), content_type: ContentType::new("audio/x-pickle").unwrap() };
    let revision = space.set(&key("k"), value.clone(), Ttl::DEFAULT).await.unwrap();
    let entry = space.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (value, revision));
    let other = space.set(&key("k"), Value::json("{}"), Ttl::DEFAULT).await.unwrap();
    let entry = space.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Value::json("{}"), other));
}

/// Nothing is no error.
pub async fn a_key_that_nobody_wrote_has_nothing(on: &Fixture) {
    let space = on.space("a");
    assert_eq!(space.get(&key("k")).await, Ok(None));
    assert_eq!(space.delete(&key("k")).await, Ok(false));
    assert_eq!(space.touch(&key("k"), Ttl::FOREVER).await, Ok(false));
}

/// Also those of the same content.
pub async fn every_write_has_a_revision_of_its_own(on: &Fixture) {
    let (space, second) = (on.space("a"), on.second("a"));
    let mut revisions = HashSet::new();
    for _ in 0..10 {
        for space in [&space, &second] {
            revisions.insert(space.set(&key("k"), "same".into(), Ttl::DEFAULT).await.unwrap());
        }
    }
    assert_eq!(revisions.len(), 20);
}

/// Whatever they are, and whether they can be compressed or not.
pub async fn any_bytes_are_kept_as_they_are(on: &Fixture) {
    let space = on.space("a");
    let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(300_000).collect();
    for bytes in [Vec::new(), (0..=255).collect(), vec![0; 1 << 20], br#"{"status": "ok", "a": NaN}"#.repeat(2000), noise] {
        space.set(&key("k"), Value::bytes(bytes.clone()), Ttl::DEFAULT).await.unwrap();
        assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value, Value::bytes(bytes));
    }
}

/// With a hole where there is none, and twice what is asked for twice.
pub async fn several_are_read_in_the_order_in_which_they_are_asked_for(on: &Fixture) {
    let space = on.space("a");
    space.set(&key("b"), "2".into(), Ttl::DEFAULT).await.unwrap();
    space.set(&key("a"), "1".into(), Ttl::DEFAULT).await.unwrap();
    let entries = space.get_many(&["b", "none", "a", "b"].map(key)).await.unwrap();
    let values: Vec<_> = entries.into_iter().map(|entry| entry.map(|entry| entry.value)).collect();
    assert_eq!(values, [Some("2".into()), None, Some("1".into()), Some("2".into())]);
    assert_eq!(space.get_many(&[]).await, Ok(Vec::new()));
}

/// Of a key that comes twice the later one stays.
pub async fn several_are_written_at_once(on: &Fixture) {
    let space = on.space("a");
    let entries = vec![(key("a"), "1".into()), (key("b"), "2".into()), (key("a"), "3".into())];
    let revisions = space.set_many(entries, Ttl::DEFAULT).await.unwrap();
    let found: Vec<_> = space.get_many(&["a", "b"].map(key)).await.unwrap().into_iter().flatten().collect();
    assert_eq!((&found[0].value, found[0].revision), (&"3".into(), revisions[2]));
    assert_eq!((&found[1].value, found[1].revision), (&"2".into(), revisions[1]));
    assert_eq!(space.set_many(Vec::new(), Ttl::DEFAULT).await, Ok(Vec::new()));
}

/// And what was never there is not counted.
pub async fn a_deleted_entry_is_gone(on: &Fixture) {
    let space = on.space("a");
    for name in ["a", "b", "c"] {
        space.set(&key(name), "x".into(), Ttl::FOREVER).await.unwrap();
    }
    assert_eq!(space.delete(&key("a")).await, Ok(true));
    assert_eq!(space.delete(&key("a")).await, Ok(false));
    assert_eq!(space.delete_many(&["a", "b", "none", "c"].map(key)).await, Ok(2));
    assert_eq!(space.get_many(&["a", "b", "c"].map(key)).await, Ok(vec![None, None, None]));
    assert_eq!(space.delete_many(&[]).await, Ok(0));
}

/// Not even those whose names begin alike.
pub async fn namespaces_do_not_meet(on: &Fixture) {
    let (one, other) = (on.space("a"), on.space("a.b"));
    one.set(&key("k"), "one".into(), Ttl::DEFAULT).await.unwrap();
    other.set(&key("k"), "other".into(), Ttl::DEFAULT).await.unwrap();
    one.append(&Window::new(key("w")), "one".into()).await.unwrap();
    assert_eq!(one.get(&key("k")).await.unwrap().unwrap().value, "one".into());
    assert_eq!(other.delete(&key("k")).await, Ok(true));
    assert_eq!(one.get(&key("k")).await.unwrap().unwrap().value, "one".into());
    assert_eq!(other.scan(&Prefix::all(), None, 10).await.unwrap().keys, []);
    assert!(other.recent(&Window::new(key("w")), Recent::last(1)).await.unwrap().entries.is_empty());
}

/// Whatever means something to a store elsewhere.
pub async fn a_key_is_any_text(on: &Fixture) {
    let space = on.space("a");
    let names = ["lock:/src/a b.rs", "{x}", "}{", "*", "a?[b]\\", "ü\u{1f980}", "a:b:c", "e:k", "'\"--;", &"k".repeat(512)].map(key);
    for (number, name) in names.iter().enumerate() {
        space.set(name, Value::text(number.to_string()), Ttl::DEFAULT).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(space.get(name).await.unwrap().unwrap().value, Value::text(number.to_string()), "{name}");
    }
}

/// They are two things.
pub async fn an_entry_and_a_window_of_one_name_do_not_meet(on: &Fixture) {
    let space = on.space("a");
    let window = Window::new(key("k"));
    space.append(&window, "in the window".into()).await.unwrap();
    assert_eq!(space.get(&key("k")).await, Ok(None));
    space.set(&key("k"), "the entry".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.clear(&key("k")).await, Ok(true));
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value, "the entry".into());
    space.append(&window, "in the window".into()).await.unwrap();
    assert_eq!(space.delete(&key("k")).await, Ok(true));
    assert_eq!(space.recent(&window, Recent::last(9)).await.unwrap().entries.len(), 1);
}

/// What one writes, the other reads.
pub async fn both_handles_have_one_memory(on: &Fixture) {
    let (space, second) = (on.space("a"), on.second("a"));
    let revision = space.set(&key("k"), "1".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(second.get(&key("k")).await.unwrap().unwrap().revision, revision);
    let revision = second.set(&key("k"), "2".into(), Ttl::DEFAULT).await.unwrap();
    eventually("the other's write is seen", async || (space.get(&key("k")).await.unwrap()?.revision == revision).then_some(())).await;
}

/// As MessagePack, with the names of its fields.
pub async fn a_rust_value_is_kept(on: &Fixture) {
    let space = on.space("a");
    let value = (7, "seven".to_owned(), vec![0.5]);
    space.set_as(&key("k"), &value, Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.get_as::<(i32, String, Vec<f64>)>(&key("k")).await, Ok(Some(value)));
    assert_eq!(space.get_as::<u8>(&key("none")).await, Ok(None));
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value.content_type, ContentType::MESSAGE_PACK);
    let window = Window::new(key("w"));
    let position = space.append_as(&window, "first").await.unwrap();
    assert_eq!(space.recent_as::<String>(&window, Recent::last(5)).await, Ok(vec![(position, "first".to_owned())]));
    assert!(!space.get_as::<String>(&key("k")).await.unwrap_err().is_retryable());
}

/// Entries and windows of one namespace.
pub async fn what_is_there_is_counted(on: &Fixture) {
    let space = on.space("a");
    let empty = space.stats().await.unwrap();
    assert_eq!((empty.entries, empty.windows), (0, 0));
    for name in ["a", "b", "b", "c"] {
        space.set(&key(name), "x".into(), Ttl::DEFAULT).await.unwrap();
    }
    space.delete(&key("a")).await.unwrap();
    for name in ["v", "w", "w"] {
        space.append(&Window::new(key(name)), "x".into()).await.unwrap();
    }
    let stats = space.stats().await.unwrap();
    assert_eq!((stats.entries, stats.windows), (2, 2));
    assert!(stats.bytes.is_none_or(|bytes| bytes > 0));
    space.delete_many(&["b", "c"].map(key)).await.unwrap();
    space.clear(&key("v")).await.unwrap();
    space.clear(&key("w")).await.unwrap();
    let stats = space.stats().await.unwrap();
    assert_eq!((stats.entries, stats.windows, stats.bytes.unwrap_or(0)), (0, 0, 0));
}
