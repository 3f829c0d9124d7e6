//! Proof of what a stream promises: random operations, cut short by the end of the process or of the power at any write, against a model
//! made of maps. A failing case is shrunk and its seed kept by proptest.
//!
//! `MYELIN_MODEL_CASES` and `MYELIN_MODEL_STEPS` set how much is tried (200 cases of up to 120 steps).

mod harness;
mod promises;
mod workers;

use std::cell::Cell;

use myelin_wire::{Filter, Subject};
use proptest::prelude::*;

use self::harness::Harness;
use crate::config::{OnFull, Retention};

pub(super) const SUBJECTS: [&str; 4] = ["s.a", "s.b", "s.c.d", "s.c.e"];
pub(super) const FILTERS: [&str; 4] = ["", "s.a", "s.c.*", "s.>"];

pub(super) fn subject(index: u8) -> Subject {
    Subject::new(SUBJECTS[usize::from(index) % SUBJECTS.len()]).unwrap()
}

pub(super) fn filter(index: u8) -> Option<Filter> {
    let text = FILTERS[usize::from(index) % FILTERS.len()];
    (!text.is_empty()).then(|| Filter::new(text).unwrap())
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish {
        subject: u8,
        id: Option<u8>,
        bytes: usize,
        ttl: Option<u16>,
        due: Option<u16>,
        expects: Option<bool>,
    },
    Lease {
        consumer: u8,
        max: usize,
    },
    Ack {
        consumer: u8,
        pick: u8,
        count: usize,
    },
    Nak {
        consumer: u8,
        pick: u8,
        delay: Option<u16>,
    },
    Extend {
        consumer: u8,
        pick: u8,
    },
    Time {
        ms: u16,
    },
    Delete {
        pick: u8,
    },
    Purge {
        filter: u8,
    },
    PutConsumer {
        consumer: u8,
        filter: u8,
        in_flight_max: usize,
    },
    DeleteConsumer {
        consumer: u8,
    },
    Config {
        messages_max: u64,
        on_full: OnFull,
        age: Option<u16>,
    },
    Commit {
        is_synced: bool,
    },
    Round {
        mark: bool,
    },
    ProcessEnds,
    PowerEnds,
    /// Power ends at the `after`th write of a commit and a round.
    PowerEndsInCommit {
        after: u64,
    },
    /// As `PowerEnds`, and once more while the stream is opened.
    PowerEndsInOpen {
        after: u64,
    },
    Space {
        free: Option<u32>,
    },
}

impl Step {
    fn is_end(&self) -> bool {
        matches!(self, Self::ProcessEnds | Self::PowerEnds | Self::PowerEndsInCommit { .. } | Self::PowerEndsInOpen { .. })
    }
}

fn steps() -> impl Strategy<Value = Step> {
    let id = prop::option::weighted(0.4, 0u8..6);
    let bytes = prop_oneof![6 => 0usize..200, 2 => 0usize..4000, 1 => 4000usize..30_000];
    let time = || prop::option::weighted(0.15, 1u16..3000);
    let messages_max = prop_oneof![Just(1u64 << 20), 1u64..12];
    let on_full = prop_oneof![Just(OnFull::Reject), Just(OnFull::DropOldest)];
    prop_oneof![
        30 => (any::<u8>(), id, bytes, time(), time(), prop::option::weighted(0.1, any::<bool>()))
            .prop_map(|(subject, id, bytes, ttl, due, expects)| Step::Publish { subject, id, bytes, ttl, due, expects }),
        14 => (0u8..3, 1usize..6).prop_map(|(consumer, max)| Step::Lease { consumer, max }),
        14 => (0u8..3, any::<u8>(), 1usize..4).prop_map(|(consumer, pick, count)| Step::Ack { consumer, pick, count }),
        6 => (0u8..3, any::<u8>(), time()).prop_map(|(consumer, pick, delay)| Step::Nak { consumer, pick, delay }),
        2 => (0u8..3, any::<u8>()).prop_map(|(consumer, pick)| Step::Extend { consumer, pick }),
        8 => prop_oneof![1u16..50, 1u16..4000].prop_map(|ms| Step::Time { ms }),
        4 => any::<u8>().prop_map(|pick| Step::Delete { pick }),
        1 => any::<u8>().prop_map(|filter| Step::Purge { filter }),
        7 => (0u8..3, any::<u8>(), 1usize..6).prop_map(|(consumer, filter, in_flight_max)| Step::PutConsumer { consumer, filter, in_flight_max }),
        2 => (0u8..3).prop_map(|consumer| Step::DeleteConsumer { consumer }),
        2 => (messages_max, on_full, time()).prop_map(|(messages_max, on_full, age)| Step::Config { messages_max, on_full, age }),
        16 => prop::bool::weighted(0.7).prop_map(|is_synced| Step::Commit { is_synced }),
        10 => any::<bool>().prop_map(|mark| Step::Round { mark }),
        4 => Just(Step::ProcessEnds),
        4 => Just(Step::PowerEnds),
        4 => (0u64..12).prop_map(|after| Step::PowerEndsInCommit { after }),
        2 => (0u64..12).prop_map(|after| Step::PowerEndsInOpen { after }),
        2 => prop::option::of(0u32..60_000).prop_map(|free| Step::Space { free }),
    ]
}

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![Just(Retention::Limits), Just(Retention::WorkQueue), Just(Retention::Interest)]
}

#[test]
fn what_is_promised_holds_whatever_happens() {
    let cases = number("MYELIN_MODEL_CASES", 200);
    let steps_max = number("MYELIN_MODEL_STEPS", 120) as usize;
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() };
    let (all, ends) = (Cell::new(0u64), Cell::new(0u64));
    proptest!(config, |(retention in retention(), seed: u64, steps in prop::collection::vec(steps(), 1..=steps_max))| {
        let mut harness = Harness::new(retention, seed);
        for step in &steps {
            harness.step(step);
        }
        harness.step(&Step::Space { free: None });
        harness.step(&Step::ProcessEnds);
        harness.step(&Step::PowerEnds);
        all.set(all.get() + steps.len() as u64 + 3);
        ends.set(ends.get() + 2 + steps.iter().filter(|step| step.is_end()).count() as u64);
    });
    println!("{cases} cases held, {} operations in them, {} of these the end of the process or of power", all.get(), ends.get());
}
