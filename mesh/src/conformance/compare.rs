//! Compare-and-set: of several that expect the same, one succeeds.

use std::collections::HashMap;

use tokio::task::JoinSet;

use super::Fixture;
use super::fixture::key;
use crate::error::CompareError;
use crate::{Expected, Revision, Ttl, Value};

fn conflict(current: Option<Revision>) -> Result<Revision, CompareError> {
    Err(CompareError::Conflict { current })
}

/// And not what is there.
pub async fn absent_is_what_was_never_there_or_was_deleted(on: &Fixture) {
    let space = on.space("a");
    let revision = space.compare_and_set(&key("k"), Expected::Absent, "1".into(), Ttl::DEFAULT).await.unwrap();
    let again = space.compare_and_set(&key("k"), Expected::Absent, "2".into(), Ttl::DEFAULT).await;
    assert_eq!(again, conflict(Some(revision)));
    space.delete(&key("k")).await.unwrap();
    space.compare_and_set(&key("k"), Expected::Absent, "3".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value, "3".into());
}

/// Whoever writes makes another one.
pub async fn a_revision_matches_once(on: &Fixture) {
    let space = on.space("a");
    let first = space.set(&key("k"), "1".into(), Ttl::DEFAULT).await.unwrap();
    let second = space.compare_and_set(&key("k"), Expected::Revision(first), "2".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.compare_and_set(&key("k"), Expected::Revision(first), "x".into(), Ttl::DEFAULT).await, conflict(Some(second)));
    let third = space.set(&key("k"), "2".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.compare_and_set(&key("k"), Expected::Revision(second), "x".into(), Ttl::DEFAULT).await, conflict(Some(third)));
    space.delete(&key("k")).await.unwrap();
    assert_eq!(space.compare_and_set(&key("k"), Expected::Revision(third), "x".into(), Ttl::DEFAULT).await, conflict(None));
}

/// Neither the content nor the time to live.
pub async fn a_conflict_changes_nothing_and_tells_what_is_there(on: &Fixture) {
    let space = on.space("a");
    let old = space.set(&key("k"), "1".into(), Ttl::FOREVER).await.unwrap();
    let now = space.set(&key("k"), "2".into(), Ttl::FOREVER).await.unwrap();
    let error = space.compare_and_set(&key("k"), Expected::Revision(old), "3".into(), Ttl::DEFAULT).await.unwrap_err();
    assert_eq!(error, CompareError::Conflict { current: Some(now) });
    assert!(!error.is_retryable() && !error.may_have_happened());
    let entry = space.get(&key("k")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision, entry.ttl), ("2".into(), now, None));
}

/// It changes no content.
pub async fn a_touch_is_no_other_revision(on: &Fixture) {
    let space = on.space("a");
    let revision = space.set(&key("k"), "1".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.touch(&key("k"), Ttl::FOREVER).await, Ok(true));
    space.compare_and_set(&key("k"), Expected::Revision(revision), "2".into(), Ttl::DEFAULT).await.unwrap();
}

/// Letting go of a lock takes no other's.
pub async fn a_delete_may_expect_too(on: &Fixture) {
    let space = on.space("a");
    let mine = space.set(&key("k"), "mine".into(), Ttl::DEFAULT).await.unwrap();
    let theirs = space.set(&key("k"), "theirs".into(), Ttl::DEFAULT).await.unwrap();
    let error = CompareError::Conflict { current: Some(theirs) };
    assert_eq!(space.compare_and_delete(&key("k"), mine).await, Err(error));
    assert_eq!(space.get(&key("k")).await.unwrap().unwrap().value, "theirs".into());
    assert_eq!(space.compare_and_delete(&key("k"), theirs).await, Ok(()));
    assert_eq!(space.get(&key("k")).await, Ok(None));
    assert_eq!(space.compare_and_delete(&key("k"), theirs).await, Err(CompareError::Conflict { current: None }));
}

/// The others are told by whom.
pub async fn of_many_at_once_one_succeeds(on: &Fixture) {
    for round in 0..5 {
        let mut all = JoinSet::new();
        for number in 0..16 {
            let space = if number % 2 == 0 { on.space("a") } else { on.second("a") };
            let lock = key(&format!("lock{round}"));
            all.spawn(async move { space.compare_and_set(&lock, Expected::Absent, Value::text(number.to_string()), Ttl::DEFAULT).await });
        }
        let outcomes = all.join_all().await;
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(won.len(), 1);
        let lost = outcomes.iter().filter(|outcome| **outcome == conflict(Some(*won[0]))).count();
        assert_eq!(lost, 15);
    }
}

/// Each reads a number and writes the next if nobody else did, and writes down from which revision to which. Linearizable means: the steps make one
/// chain from nothing to the end, without a fork, and every acknowledged one is in it. A lost update would be a fork, and a number too few.
pub async fn sixteen_writers_lose_no_update(on: &Fixture) {
    const WRITERS: u32 = 16;
    const EACH: u32 = 8;
    let counter = key("counter");
    let mut all = JoinSet::new();
    for writer in 0..WRITERS {
        let space = if writer % 2 == 0 { on.space("a") } else { on.second("a") };
        let counter = counter.clone();
        all.spawn(async move {
            let mut steps = Vec::new();
            while steps.len() < EACH as usize {
                let found = space.get(&counter).await.unwrap();
                let (expected, before) = match &found {
                    Some(entry) => (Expected::Revision(entry.revision), entry.value.to::<u32>().unwrap()),
                    None => (Expected::Absent, 0),
                };
                let value = Value::of(&(before + 1)).unwrap();
                match space.compare_and_set(&counter, expected, value, Ttl::FOREVER).await {
                    Ok(revision) => steps.push((found.map(|entry| entry.revision), revision, before + 1)),
                    Err(CompareError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            steps
        });
    }
    let steps: Vec<_> = all.join_all().await.into_iter().flatten().collect();
    let mut by_origin: HashMap<_, _> = HashMap::new();
    for (from, to, number) in steps {
        assert_eq!(by_origin.insert(from, (to, number)), None, "two writes replaced one revision");
    }
    let (mut at, mut count) = (None, 0);
    while let Some((to, number)) = by_origin.remove(&at) {
        count += 1;
        assert_eq!(number, count, "each step adds one");
        at = Some(to);
    }
    assert_eq!((count, by_origin.len()), (WRITERS * EACH, 0), "all steps are in one chain");
}
