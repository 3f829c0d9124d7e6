//! What is refused before anything is sent.

use super::Fixture;
use super::fixture::key;
use crate::error::{CompareError, ReadError, WriteError};
use crate::{Expected, Recent, Ttl, Value, Window, limits};

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
