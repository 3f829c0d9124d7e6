//! The bytes: those in the tree mean what they meant, any message survives, and any bytes are read or refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::presence::AgentLimits;
use crate::wire::Subject;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/presence/vectors")
}

fn vector(name: &str) -> Vec<u8> {
    let path = directory().join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits")).collect()
}

fn head() -> Head {
    Head { node: NodeId(0xab), interval: Duration::from_secs(30), version: 7, digest: 0xffff_ffff_ffff_fffe }
}

fn card() -> Arc<AgentCard> {
    let limits = AgentLimits { in_flight_max: Some(4), payload_bytes_max: Some(1 << 20) };
    let card = AgentCard::new(AgentId::new("planner-7").expect("an id")).kind("planner").capability("plan").capability("tool:kubectl");
    Arc::new(card.limits(limits).metadata("version", "1.4"))
}

fn told(card: Option<Arc<AgentCard>>) -> Told {
    let axes = Axes { reachable: true, ready: true, busy: 25, healthy: Some(true) };
    Told { incarnation: 1_763_740_800_000, state: State::Alive, reason: Reason::Announced, age: Duration::from_millis(1_500), axes, card }
}

fn item(version: u64, told: Option<Told>) -> Item {
    Item { id: AgentId::new("planner-7").expect("an id"), version, told }
}

fn list(items: Vec<Item>) -> List {
    List { machine: "main-pc".into(), from: 5, to: 7, items }
}

/// Never changed: nodes of this version say just this.
fn canonical() -> Vec<(&'static str, Message)> {
    let missing = vec![Missing { node: NodeId(0xcd), known: 3, has_left: false }];
    let asleep = Told { state: State::Asleep, reason: Reason::PutToSleep, axes: Axes::default(), ..told(None) };
    vec![
        ("v1-hello", Message::Hello(head(), "main-pc".into(), vec![])),
        ("v1-beat", Message::Beat(head(), vec![])),
        ("v1-beat-missing", Message::Beat(head(), missing)),
        ("v1-list", Message::List(head(), list(vec![item(6, Some(told(Some(card()))))]))),
        ("v1-list-known-card", Message::List(head(), list(vec![item(6, Some(asleep))]))),
        ("v1-list-removed", Message::List(head(), list(vec![item(7, None)]))),
        ("v1-hearsay", Message::Hearsay(head(), list(vec![item(6, Some(told(Some(card()))))]))),
        ("v1-ask", Message::Ask { node: NodeId(0xab), since: 5 }),
        ("v1-bye", Message::Bye(head())),
    ]
}

/// What nodes of later versions may add is passed over.
fn lenient() -> Vec<(&'static str, Message)> {
    vec![
        ("lenient-later-elements", Message::Beat(head(), vec![Missing { node: NodeId(0xcd), known: 3, has_left: false }])),
        ("lenient-later-item", Message::List(head(), list(vec![item(6, Some(Told { reason: Reason::Other(77), ..told(None) }))]))),
    ]
}

#[test]
fn the_bytes_in_the_tree_mean_what_they_meant() {
    for (name, message) in canonical() {
        let bytes = vector(name);
        assert_eq!(decode(&bytes).as_ref(), Ok(&message), "{name}");
        assert_eq!(encode(&message), bytes, "{name}");
    }
    for (name, message) in lenient() {
        assert_eq!(decode(&vector(name)).as_ref(), Ok(&message), "{name}");
    }
}

#[test]
fn every_file_is_tested() {
    let files: BTreeSet<_> = fs::read_dir(directory()).expect("vectors").map(|entry| entry.expect("a file").file_name()).collect();
    let tested = canonical().into_iter().chain(lenient()).map(|(name, _)| format!("{name}.hex").into()).collect();
    assert_eq!(files, tested);
}

#[test]
fn a_beat_is_small_whatever_it_covers() {
    let head = Head { node: NodeId(u64::MAX), interval: Duration::from_secs(600), version: u64::MAX, digest: u64::MAX };
    assert!(encode(&Message::Beat(head, vec![])).len() <= 64);
}

#[test]
fn lists_that_contradict_themselves_are_not_read() {
    let removed = |version| item(version, None);
    for items in [vec![removed(5)], vec![removed(8)], vec![removed(7), removed(6)], vec![removed(6), removed(6)]] {
        assert_eq!(decode(&encode(&Message::List(head(), list(items)))), Err(Unreadable));
    }
}

#[test]
fn a_declared_length_buys_nothing() {
    // An array of 2^32 - 1 items, a text of as many bytes.
    let mut bytes = encode(&Message::List(head(), list(vec![])));
    bytes.pop();
    bytes.extend([0xdd, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(decode(&bytes), Err(Unreadable));
    assert_eq!(decode(b"\x98\xa3mp1\x00\x01\x02\x03\x04\xdb\xff\xff\xff\xff"), Err(Unreadable));
    assert_eq!(decode(&vec![0xc0; MESSAGE_BYTES_MAX + 1]), Err(Unreadable));
}

#[test]
fn the_largest_list_fits_into_a_message() {
    let value = "v".repeat(4 * 1024);
    let mut card = AgentCard::new(AgentId::new(&"i".repeat(255)).expect("an id")).subject(Subject::new(&"s".repeat(255)).expect("one"));
    for (name, len) in [("a", 4_096), ("b", 4_096), ("c", 4_096), ("d", 3_300)] {
        card = card.metadata(name, &value[..len]);
    }
    assert!(card.check().is_ok() && card.len_bytes() > 16_000);
    let (mut items, mut bytes) = (Vec::new(), 0);
    // As lists are filled: until they are over, with one more.
    for version in 1.. {
        if bytes > ITEMS_BYTES {
            break;
        }
        let item = item(version, Some(told(Some(Arc::new(card.clone())))));
        bytes += item_len(&item);
        items.push(item);
    }
    let to = items.len() as u64;
    let message = Message::List(Head { version: to, ..head() }, List { from: 0, to, items, machine: "m".repeat(255).into() });
    assert!(encode(&message).len() <= MESSAGE_BYTES_MAX);
}

fn any_told() -> impl Strategy<Value = Told> {
    let axes = (any::<bool>(), any::<bool>(), 0..=100_u8, any::<Option<bool>>());
    (any::<u64>(), 0..5_u64, any::<u8>(), any::<u32>(), axes, any::<bool>()).prop_map(
        |(incarnation, state, reason, age, axes, has_card)| {
            let (reachable, ready, busy, healthy) = axes;
            Told {
                incarnation,
                state: State::of_number(state).expect("one of five"),
                reason: Reason::of_number(reason),
                age: Duration::from_millis(age.into()),
                axes: Axes { reachable, ready, busy, healthy },
                card: has_card.then(card),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_list_survives(told in proptest::collection::vec(proptest::option::of(any_told()), 0..20), node: u64, machine in "[a-z\u{e9}]{0,20}") {
        let items: Vec<_> = told.into_iter().zip(1..).map(|(told, version)| item(version, told)).collect();
        let to = items.len() as u64;
        let head = Head { node: NodeId(node), version: to + 1, ..head() };
        let message = Message::List(head, List { machine: machine.as_str().into(), from: 0, to, items });
        prop_assert_eq!(decode(&encode(&message)), Ok(message));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        crate::presence::fuzz_message(&bytes);
    }

    #[test]
    fn any_damage_is_read_or_refused(which in 0..9_usize, at: proptest::sample::Index, byte: u8) {
        let (_, message) = canonical().swap_remove(which);
        let mut bytes = encode(&message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        crate::presence::fuzz_message(&bytes);
        let _either = decode(&bytes[..at]);
    }
}
