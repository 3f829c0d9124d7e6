//! Random histories of readers, a writer and a messenger of invalidations, against the one promise that matters: what is served was current when its
//! server was last heard, or the invalidation is still on its way.

use super::{Begin, Counts, Fill, Millis, Near, NearLimits};
use proptest::prelude::*;
use std::collections::VecDeque;

const KEYS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// A reader asks, and fills when it has to; its value is read at once and kept later.
    Read(usize),
    /// The oldest fill that runs is finished with the value it read.
    Finish,
    /// The oldest fill that runs is given up.
    Abandon,
    /// The server's value changes; the invalidation is queued, as on a socket.
    Write(usize),
    /// The oldest queued invalidation arrives.
    Deliver,
    /// The connection breaks: queued invalidations are lost and the cache closes.
    Lose,
    /// The server is heard again.
    Heard,
    /// Time passes.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..KEYS).prop_map(Step::Read),
        4 => Just(Step::Finish),
        1 => Just(Step::Abandon),
        4 => (0..KEYS).prop_map(Step::Write),
        4 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        2 => Just(Step::Heard),
        2 => (0_u64..1_500).prop_map(Step::Pass),
    ]
}

/// A fill that runs, and what it has read: a value, and when.
type Filling<'a> = (Fill<'a, (u64, u64)>, (u64, u64));

const LEASE_MS: u64 = 2_000;
const TTL_MS: u64 = 3_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_served_that_a_delivered_invalidation_has_named(steps in prop::collection::vec(step(), 1..120)) {
        let near = Near::new(NearLimits { bytes_max: 1 << 20, entries_max: 64 }, Counts::default());
        let keys: Vec<Vec<u8>> = (0..KEYS).map(|key| vec![b'k', u8::try_from(key).unwrap()]).collect();
        let mut server = [0_u64; KEYS];
        // The newest value of each key whose invalidation has arrived (or was made up for by emptying).
        let mut told = [0_u64; KEYS];
        let mut socket: VecDeque<(usize, u64)> = VecDeque::new();
        let mut fills: VecDeque<Filling<'_>> = VecDeque::new();
        let mut now = 1;
        let mut lease = 0;
        for step in steps {
            match step {
                Step::Read(key) => match near.get(&keys[key], Millis(now)) {
                    Some((value, read_at)) => {
                        prop_assert!(value >= told[key], "key {key} served {value}, told of {}", told[key]);
                        prop_assert!(now < lease, "served without a lease");
                        prop_assert!(now < read_at + TTL_MS, "served past its TTL");
                    }
                    None => match near.begin(&keys[key], Millis(now)) {
                        Begin::Fill(fill) => fills.push_back((fill, (server[key], now))),
                        Begin::Bypass => prop_assert!(now >= lease),
                        Begin::Wait(_) => prop_assert!(!fills.is_empty()),
                        Begin::Hit(_) => prop_assert!(false, "missed and hit in one moment"),
                    },
                },
                Step::Finish => {
                    if let Some((fill, read)) = fills.pop_front() {
                        fill.finish(read, 8, Millis(read.1 + TTL_MS));
                    }
                }
                Step::Abandon => drop(fills.pop_front()),
                Step::Write(key) => {
                    server[key] += 1;
                    socket.push_back((key, server[key]));
                }
                Step::Deliver => {
                    if let Some((key, value)) = socket.pop_front() {
                        near.invalidate(&keys[key]);
                        told[key] = told[key].max(value);
                    }
                }
                Step::Lose => {
                    near.close();
                    socket.clear();
                    told = server;
                    lease = 0;
                }
                Step::Heard => {
                    near.renew(Millis(now), Millis(now + LEASE_MS));
                    lease = now + LEASE_MS;
                }
                Step::Pass(time) => {
                    let held = now < lease;
                    now += time;
                    if held && now >= lease {
                        // What lapses is emptied before it serves again, so everything written so far counts as told.
                        told = server;
                    }
                }
            }
        }
    }
}

fn small(bytes_max: usize, entries_max: usize) -> Near<u64> {
    counted(bytes_max, entries_max, &Counts::default())
}

fn counted(bytes_max: usize, entries_max: usize, counts: &Counts) -> Near<u64> {
    let near = Near::new(NearLimits { bytes_max, entries_max }, counts.clone());
    near.renew(Millis(0), Millis(1_000));
    near
}

fn fill(near: &Near<u64>, key: &[u8], value: u64, bytes: usize) -> bool {
    match near.begin(key, Millis(1)) {
        Begin::Fill(fill) => fill.finish(value, bytes, Millis(1_000)),
        other => panic!("nobody else fills {key:?}: {other:?}"),
    }
}

#[test]
fn both_bounds_hold_under_a_churn() {
    for (bytes_max, entries_max, value_bytes) in [(1 << 20, 100, 10), (1 << 20, 1_000_000, 1_000)] {
        let counts = Counts::default();
        let near = counted(bytes_max, entries_max, &counts);
        for key in 0_u32..20_000 {
            fill(&near, &key.to_be_bytes(), 1, value_bytes);
            let (entries, bytes) = near.size();
            assert!(entries <= entries_max && bytes <= bytes_max as u64, "{entries} entries, {bytes} bytes");
        }
        assert!(counts.evictions.get() > 10_000, "the bound was reached");
    }
}

#[test]
fn a_value_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() {
    let near = small(1 << 20, 100);
    fill(&near, b"small", 1, 10);
    fill(&near, b"huge", 2, 2 << 20);
    assert_eq!(near.get(b"huge", Millis(2)), None);
    assert_eq!(near.get(b"small", Millis(2)), Some(1));
}

#[tokio::test]
async fn many_readers_of_one_key_make_one_fill_and_a_given_up_fill_passes_on() {
    let near = small(1 << 20, 100);
    let Begin::Fill(first) = near.begin(b"key", Millis(1)) else { panic!("the first reader fills") };
    let Begin::Wait(second) = near.begin(b"key", Millis(1)) else { panic!("the second waits") };
    let Begin::Wait(third) = near.begin(b"key", Millis(1)) else { panic!("the third waits") };
    drop(first);
    assert_eq!(second.value().await, None, "the fill was given up");
    let Begin::Fill(again) = near.begin(b"key", Millis(1)) else { panic!("one of them fills") };
    let Begin::Wait(fourth) = near.begin(b"key", Millis(1)) else { panic!("and others wait") };
    assert!(again.finish(7, 8, Millis(1_000)));
    assert_eq!(fourth.value().await, Some(7));
    assert_eq!(third.value().await, None, "it waited for the first");
    assert_eq!(near.get(b"key", Millis(1)), Some(7));
}

#[test]
fn a_voided_fill_does_not_end_its_successor() {
    let near = small(1 << 20, 100);
    let Begin::Fill(old) = near.begin(b"key", Millis(1)) else { panic!("fills") };
    near.invalidate(b"key");
    let Begin::Fill(new) = near.begin(b"key", Millis(1)) else { panic!("the old one was voided") };
    assert!(!old.finish(1, 8, Millis(1_000)), "overtaken");
    assert!(matches!(near.begin(b"key", Millis(1)), Begin::Wait(_)), "the successor still runs");
    assert!(new.finish(2, 8, Millis(1_000)));
    assert_eq!(near.get(b"key", Millis(1)), Some(2));
}

/// Ten million keys (or `MYELIN_CHURN_KEYS`) through a small cache: what the process has grown by is what the bound says, and not what passed through.
#[test]
#[ignore = "half a minute in release; the proof of the memory bound"]
fn memory_stays_bounded_while_ten_million_keys_pass() {
    const BYTES_MAX: usize = 32 << 20;
    let keys: u64 = std::env::var("MYELIN_CHURN_KEYS").map_or(10_000_000, |text| text.parse().expect("a number of keys"));
    let near: Near<std::sync::Arc<[u8]>> = Near::new(NearLimits { bytes_max: BYTES_MAX, entries_max: 200_000 }, Counts::default());
    near.renew(Millis(0), Millis(1_000));
    let before = resident();
    for key in 0..keys {
        let value: std::sync::Arc<[u8]> = vec![0; 64 + usize::try_from(key % 512).unwrap()].into();
        if let Begin::Fill(fill) = near.begin(&key.to_be_bytes(), Millis(1)) {
            let bytes = value.len();
            fill.finish(value, bytes, Millis(1_000));
        }
    }
    let grown = resident().saturating_sub(before);
    let (entries, bytes) = near.size();
    println!("{keys} keys: {entries} entries, {bytes} bytes by our count, the process grew by {grown} bytes");
    assert!(grown < BYTES_MAX * 3 / 2, "grew by {grown} with a bound of {BYTES_MAX}");
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
