//! What is refused before anything is sent.

use super::Fixture;
use super::fixture::key;
use crate::error::{CompareError, ReadError, WriteError};
use crate::{Expected, Prefix, Recent, Ttl, Value, WatchEvent, Window, limits};

/// One byte over the limit, whatever it would be when compressed.
pub async fn a_value_that_is_too_large(on: &Fixture) {
    let space = on.space("a");
    let window = Window::new(key("w"));
    let max = limits::VALUE_BYTES_DEFAULT;
    let large = Value::bytes(vec![0; max + 1]);
    let error = WriteError::TooLarge { size: max + 1, max };
    assert!(!error.is_retryable() && !error.may_have_happened());
    assert_eq!(space.set(&key("k"), large.clone(), Ttl::DEFAULT).await, Err(error.clone()));
    let many = vec![(key("small"), "x".into()), (key("k"), large.clone())];
    assert_eq!(space.set_many(many, Ttl::DEFAULT).await, Err(error.clone()));
    let compared = space.compare_and_set(&key("k"), Expected::Absent, large.clone(), Ttl::DEFAULT).await;
    assert_eq!(compared, Err(CompareError::Write(error.clone())));
    assert_eq!(space.append(&window, large.clone()).await, Err(error.clone()));
    assert_eq!(space.append_many(&window, &["x".into(), large]).await, Err(error));
    assert_eq!(space.get_many(&["k", "small"].map(key)).await, Ok(vec![None, None]));
    assert!(space.recent(&window, Recent::last(9)).await.unwrap().entries.is_empty());
    space.set(&key("k"), Value::bytes(vec![0; max]), Ttl::DEFAULT).await.unwrap();
}

/// 257.
pub async fn too_many_keys_in_a_call(on: &Fixture) {
    let space = on.space("a");
    let (count, max) = (limits::KEYS_PER_CALL_MAX + 1, limits::KEYS_PER_CALL_MAX);
    let mut keys: Vec<_> = (0..count).map(|number| key(&number.to_string())).collect();
    let entries = |keys: &[crate::Key]| keys.iter().map(|key| (key.clone(), "x".into())).collect::<Vec<_>>();
    assert_eq!(space.get_many(&keys).await, Err(ReadError::TooMany { count, max }));
    assert_eq!(space.delete_many(&keys).await, Err(WriteError::TooMany { count, max }));
    assert_eq!(space.set_many(entries(&keys), Ttl::DEFAULT).await, Err(WriteError::TooMany { count, max }));
    let values = vec!["x".into(); count];
    assert_eq!(space.append_many(&Window::new(key("w")), &values).await, Err(WriteError::TooMany { count, max }));
    assert_eq!(space.stats().await.unwrap().entries, 0);
    keys.pop();
    space.set_many(entries(&keys), Ttl::DEFAULT).await.unwrap();
    assert!(space.get_many(&keys).await.unwrap().iter().all(Option::is_some));
    assert_eq!(space.delete_many(&keys).await, Ok(max as u64));
}

/// 32 MiB and a byte.
pub async fn too_many_bytes_in_a_call(on: &Fixture) {
    let space = on.space("a");
    let max = limits::CALL_BYTES_MAX;
    let value = Value::bytes(vec![0; limits::VALUE_BYTES_DEFAULT]);
    let mut values = vec![value; max / limits::VALUE_BYTES_DEFAULT];
    values.push(Value::bytes(vec![0]));
    let entries = values.iter().enumerate().map(|(number, value)| (key(&number.to_string()), value.clone())).collect();
    let error = WriteError::CallTooLarge { size: max + 1, max };
    assert_eq!(space.set_many(entries, Ttl::DEFAULT).await, Err(error.clone()));
    assert_eq!(space.append_many(&Window::new(key("w")), &values).await, Err(error));
    let stats = space.stats().await.unwrap();
    assert_eq!((stats.entries, stats.windows), (0, 0));
}

/// 17 entries of 1 MiB, with and without anything to compress in them. One fewer is answered, and a watch tells all.
pub async fn too_many_bytes_in_an_answer(on: &Fixture) {
    let size = limits::VALUE_BYTES_DEFAULT;
    let count = limits::READ_BYTES_MAX / size + 1;
    for (name, is_random) in [("noise", true), ("zeros", false)] {
        let space = on.space(name);
        let keys: Vec<_> = (0..count).map(|number| key(&number.to_string())).collect();
        let mut random = fastrand::Rng::with_seed(6);
        let mut value = || Value::bytes((0..size).map(|_| if is_random { random.u8(..) } else { 0 }).collect::<Vec<_>>());
        for some in keys.chunks(count / 2) {
            space.set_many(some.iter().map(|key| (key.clone(), value())).collect(), Ttl::DEFAULT).await.unwrap();
        }
        let error = ReadError::AnswerTooLarge { max: limits::READ_BYTES_MAX };
        assert!(!error.is_retryable() && !error.may_have_happened() && error.to_string().contains("16842752"), "{error}");
        assert_eq!(space.get_many(&keys).await, Err(error.clone()), "{name}");
        assert_eq!(space.get_many(&vec![keys[0].clone(); count]).await, Err(error), "{name}");
        let most = space.get_many(&keys[1..]).await.unwrap();
        assert!(most.iter().flatten().filter(|entry| entry.value.bytes.len() == size).count() == count - 1, "{name}");
        let (mut watch, mut told) = (space.watch(&Prefix::all()), 0);
        while watch.next().await.unwrap() != WatchEvent::Live {
            told += 1;
        }
        assert_eq!(told, count, "{name}");
    }
}
