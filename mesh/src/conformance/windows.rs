//! Windows: the latest entries, bounded by count and by age.

use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::fixture::{eventually, gone, key};
use super::{Fixture, SHORT};
use crate::{Position, Prefix, Recent, Space, Ttl, Value, Window, WindowPage};

fn window() -> Window {
    Window::new(key("w"))
}

async fn append(space: &Space, window: &Window, numbers: impl IntoIterator<Item = u32>) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in numbers {
        positions.push(space.append(window, Value::text(number.to_string())).await.unwrap());
    }
    positions
}

async fn read(space: &Space, window: &Window, which: Recent) -> (Vec<u32>, bool) {
    let page = space.recent(window, which).await.unwrap();
    (numbers(&page), page.more)
}

fn numbers(page: &WindowPage) -> Vec<u32> {
    page.entries.iter().map(|entry| str::from_utf8(&entry.value.bytes).unwrap().parse().unwrap()).collect()
}

/// With content, type, place and time.
pub async fn entries_come_back_in_order(on: &Fixture) {
    let space = on.space("a");
    let first = space.append(&window(), Value::json("{}")).await.unwrap();
    let second = space.append(&window(), Value::bytes(vec![0, 255])).await.unwrap();
    let page = space.recent(&window(), Recent::last(10)).await.unwrap();
    assert!(first < second && !page.more);
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.position, entry.value.clone())).collect();
    assert_eq!(found, [(first, Value::json("{}")), (second, Value::bytes(vec![0, 255]))]);
    // The store's clock may be another machine's.
    let hour = Duration::from_secs(3600);
    let time = page.entries[0].time();
    assert!(time > SystemTime::now() - hour && time < SystemTime::now() + hour);
}

/// Nothing is no error.
pub async fn a_window_that_nobody_wrote_is_empty(on: &Fixture) {
    let space = on.space("a");
    for which in [Recent::last(5), Recent::since(SystemTime::UNIX_EPOCH), Recent::after(Position::START)] {
        assert_eq!(space.recent(&window(), which).await, Ok(WindowPage::default()));
    }
    assert_eq!(space.clear(&key("w")).await, Ok(false));
    assert_eq!(space.append_many(&window(), &[]).await, Ok(Vec::new()));
    assert_eq!(space.stats().await.unwrap().windows, 0);
}

/// So many, oldest first.
pub async fn the_newest_are_asked_for_by_count(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window(), 1..=5).await;
    assert_eq!(read(&space, &window(), Recent::last(1)).await, (vec![5], false));
    assert_eq!(read(&space, &window(), Recent::last(3)).await, (vec![3, 4, 5], false));
    assert_eq!(read(&space, &window(), Recent::last(9)).await, (vec![1, 2, 3, 4, 5], false));
}

/// Nothing twice, nothing missed.
pub async fn a_reader_goes_on_where_it_was(on: &Fixture) {
    let space = on.space("a");
    let positions = append(&space, &window(), 1..=5).await;
    assert_eq!(read(&space, &window(), Recent::after(Position::START)).await, (vec![1, 2, 3, 4, 5], false));
    assert_eq!(read(&space, &window(), Recent::after(positions[2])).await, (vec![4, 5], false));
    assert_eq!(read(&space, &window(), Recent::after(positions[4])).await, (vec![], false));
    assert_eq!(read(&space, &window(), Recent::after(Position::START).limit(2)).await, (vec![1, 2], true));
    assert_eq!(read(&space, &window(), Recent::after(positions[1]).limit(3)).await, (vec![3, 4, 5], false));
    append(&space, &window(), [6]).await;
    assert_eq!(read(&space, &window(), Recent::after(positions[4])).await, (vec![6], false));
}

/// Including what was appended at that time.
pub async fn a_reader_asks_from_a_time_on(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window(), [1]).await;
    // Until the store's clock has gone on: the next one has a later time.
    let later = eventually("time passes", async || {
        let position = append(&space, &window(), [2]).await[0];
        let page = space.recent(&window(), Recent::last(100)).await.unwrap();
        (position.time() > page.entries[0].time()).then_some(position)
    })
    .await;
    let page = space.recent(&window(), Recent::since(later.time())).await.unwrap();
    assert!(page.entries.iter().any(|entry| entry.position == later) && !numbers(&page).contains(&1));
    assert!(page.entries.iter().all(|entry| entry.time() >= later.time()));
    let all = space.recent(&window(), Recent::since(SystemTime::UNIX_EPOCH)).await.unwrap();
    assert_eq!(numbers(&all)[0], 1);
    let none = space.recent(&window(), Recent::since(later.time() + Duration::from_secs(3600))).await.unwrap();
    assert!(none.entries.is_empty());
}

/// As one.
pub async fn several_are_appended_in_order(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window(), [0]).await;
    let values: Vec<_> = (1..=50).map(|number: u32| Value::text(number.to_string())).collect();
    let positions = space.append_many(&window(), &values).await.unwrap();
    assert!(positions.is_sorted() && positions.len() == 50);
    assert_eq!(read(&space, &window(), Recent::last(100)).await, ((0..=50).collect(), false));
    // More than the window holds: the last stay.
    let small = window().entries_max(3);
    space.append_many(&small, &values).await.unwrap();
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![48, 49, 50], false));
}

/// The oldest go.
pub async fn the_count_is_a_bound(on: &Fixture) {
    let space = on.space("a");
    let small = window().entries_max(10);
    append(&space, &small, 1..=25).await;
    for which in [Recent::last(100), Recent::after(Position::START)] {
        // Also for who would see more: it was trimmed, not hidden.
        assert_eq!(read(&space, &window(), which).await, ((16..=25).collect(), false));
    }
}

/// The oldest go, also from what is read between two appends.
pub async fn the_age_is_a_bound(on: &Fixture) {
    let space = on.space("a");
    let short = window().age_max(SHORT);
    append(&space, &window(), 1..=3).await;
    space.set(&key("witness"), "x".into(), SHORT.into()).await.unwrap();
    gone(&space, &key("witness")).await;
    assert_eq!(read(&space, &short, Recent::last(100)).await, (vec![], false));
    assert_eq!(read(&space, &short, Recent::after(Position::START)).await, (vec![], false));
    append(&space, &short, [4]).await;
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![4], false));
}

/// And changes nothing by it.
pub async fn a_reader_may_ask_for_less_than_is_kept(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window(), 1..=9).await;
    let small = window().entries_max(4);
    assert_eq!(read(&space, &small, Recent::last(100)).await, (vec![6, 7, 8, 9], false));
    assert_eq!(read(&space, &small, Recent::after(Position::START)).await, (vec![6, 7, 8, 9], false));
    assert_eq!(read(&space, &small, Recent::since(SystemTime::UNIX_EPOCH).limit(2)).await, (vec![6, 7], true));
    assert_eq!(read(&space, &window(), Recent::last(100)).await, ((1..=9).collect(), false));
}

/// For as long again.
pub async fn an_append_keeps_a_window_alive(on: &Fixture) {
    let space = on.space("a");
    let short = window().age_max(SHORT);
    let mut number = 0;
    space.set(&key("witness"), "x".into(), (2 * SHORT).into()).await.unwrap();
    eventually("longer than its age", async || {
        number += 1;
        append(&space, &short, [number]).await;
        assert!(read(&space, &short, Recent::last(100)).await.0.contains(&number));
        space.get(&key("witness")).await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(!read(&space, &window(), Recent::last(1000)).await.0.contains(&1));
}

/// With all that is in it, and without a trace.
pub async fn a_window_that_nobody_writes_is_gone(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window().age_max(SHORT), 1..=20).await;
    assert_eq!(space.scan_windows(&Prefix::all(), None, 10).await.unwrap().keys, [key("w")]);
    eventually("the window expires", async || space.scan_windows(&Prefix::all(), None, 10).await.unwrap().keys.is_empty().then_some(()))
        .await;
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![], false));
    eventually("it is swept", async || {
        let stats = space.stats().await.unwrap();
        (stats.windows == 0 && stats.bytes.unwrap_or(0) == 0).then_some(())
    })
    .await;
    append(&space, &window(), [21]).await;
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![21], false));
}

/// Each at a place of its own, and those of one writer in its order.
pub async fn appends_at_the_same_time_are_all_there(on: &Fixture) {
    let mut all = JoinSet::new();
    for writer in 0..8 {
        let space = if writer % 2 == 0 { on.space("a") } else { on.second("a") };
        all.spawn(async move { append(&space, &window(), (0..10).map(|number| writer * 100 + number)).await });
    }
    let positions: Vec<_> = all.join_all().await.into_iter().flatten().collect();
    let page = on.space("a").recent(&window(), Recent::last(100)).await.unwrap();
    assert_eq!(page.entries.len(), 80);
    assert!(page.entries.is_sorted_by_key(|entry| entry.position));
    assert!(page.entries.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert!(positions.iter().all(|position| page.entries.iter().any(|entry| entry.position == *position)));
    for writer in 0..8 {
        let own: Vec<_> = numbers(&page).into_iter().filter(|number| number / 100 == writer).collect();
        assert!(own.is_sorted() && own.len() == 10);
    }
}

/// With nothing of what was in it.
pub async fn a_cleared_window_begins_anew(on: &Fixture) {
    let space = on.space("a");
    append(&space, &window(), 1..=5).await;
    assert_eq!(space.clear(&key("w")).await, Ok(true));
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![], false));
    append(&space, &window(), [6]).await;
    assert_eq!(read(&space, &window(), Recent::last(100)).await, (vec![6], false));
    assert_eq!(space.clear(&key("w")).await, Ok(true));
    assert_eq!(space.clear(&key("w")).await, Ok(false));
    space.set(&key("w"), "an entry".into(), Ttl::DEFAULT).await.unwrap();
    assert_eq!(space.stats().await.unwrap().windows, 0);
}

/// No answer is longer than 4 MiB, but one entry is always in it.
pub async fn a_large_window_is_read_in_parts(on: &Fixture) {
    let space = on.space("a");
    let noise = |_| Value::bytes(std::iter::repeat_with(|| fastrand::u8(..)).take(900_000).collect::<Vec<_>>());
    let values: Vec<_> = (0..8).map(noise).collect();
    for value in &values {
        space.append(&window(), value.clone()).await.unwrap();
    }
    let newest = space.recent(&window(), Recent::last(8)).await.unwrap();
    assert!(newest.more && newest.entries.len() == 4);
    assert_eq!(newest.entries[3].value, values[7]);
    let mut read = Vec::new();
    let mut at = Position::START;
    loop {
        let page = space.recent(&window(), Recent::after(at)).await.unwrap();
        assert!(!page.entries.is_empty());
        at = page.entries.last().unwrap().position;
        read.extend(page.entries.into_iter().map(|entry| entry.value));
        if !page.more {
            break;
        }
    }
    assert!(read == values, "every entry, once, in order");
}
