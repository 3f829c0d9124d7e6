//! What is known of elsewhere is right again after a beat, whatever was lost, doubled or overtaken; it is bounded, and forgets who is silent.

use proptest::prelude::*;

use super::super::message::Page;
use super::super::own::Own;
use super::*;

const BEAT: Duration = Duration::from_secs(20);

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn own(node: u64) -> Own {
    Own::new(NodeId(node), 1, format!("host-{node}").into(), BEAT)
}

fn nodes() -> Nodes {
    Nodes::new(NodeId(0), NodesLimits::default())
}

/// Everything that a sidecar has to say now.
fn said(own: &mut Own, now: Instant) -> Vec<(Head, News)> {
    std::iter::from_fn(|| own.next(now)).collect()
}

fn all_pages(own: &Own) -> Page {
    let mut all = own.page(None);
    while !all.is_last {
        let next = own.page(all.names.last().map(|(name, _)| name));
        all.is_last = next.is_last;
        all.names.extend(next.names);
    }
    all
}

/// Asks whoever is to be asked, all of whom are `own`.
fn ask(nodes: &mut Nodes, own: &Own, now: Instant) -> usize {
    let asked = nodes.next_asked(now, usize::MAX);
    for node in &asked {
        assert_eq!(*node, own.node());
        let Page { head, names, .. } = all_pages(own);
        nodes.listed(&head, names, now);
    }
    asked.len()
}

fn known(nodes: &Nodes) -> Vec<String> {
    nodes.names().iter().map(ToString::to_string).collect()
}

#[test]
fn who_says_hello_is_asked_once_and_then_changes_are_followed() {
    let (mut own, mut nodes, now) = (own(1), nodes(), Instant::now());
    own.serve(&name("A"), Sockets::Service);
    let hello = said(&mut own, now);
    assert!(matches!(hello.as_slice(), [(_, News::Hello)]), "{hello:?}");
    let heard = nodes.heard(&hello[0].0, hello[0].1.clone(), now);
    assert!(heard.is_greeting);
    assert_eq!(ask(&mut nodes, &own, now), 1);
    assert_eq!(known(&nodes), ["A"]);
    let change = own.serve(&name("B"), Sockets::ServiceAndHealth);
    assert!(own.told() < change);
    for (head, news) in said(&mut own, now) {
        assert_eq!(nodes.heard(&head, news, now).moved, [name("B")]);
    }
    assert!(own.told() >= change);
    assert_eq!(ask(&mut nodes, &own, now), 0);
    let found = nodes.find("B");
    assert_eq!(found, [There { node: NodeId(1), host: "host-1".into(), sockets: Sockets::ServiceAndHealth }]);
    assert_eq!(own.serve(&name("B"), Sockets::ServiceAndHealth), 0, "nothing new");
    assert!(said(&mut own, now).is_empty());
}

#[test]
fn a_beat_comes_after_three_to_five_quarters_and_soon_for_who_has_come() {
    let (mut own, start) = (own(1), Instant::now());
    said(&mut own, start);
    let at = own.next_at(start).unwrap();
    assert!((BEAT * 3 / 4..=BEAT * 5 / 4).contains(&(at - start)));
    assert!(own.next(at - Duration::from_millis(1)).is_none());
    assert!(matches!(said(&mut own, at).as_slice(), [(_, News::Beat)]));
    own.greeted(at);
    assert!(own.next_at(at).unwrap() - at <= BEAT / 100);
    assert!(matches!(own.bye(), Some((_, News::Bye))));
    own.greet();
    assert!(own.bye().is_none() && own.next_at(at).is_none() && own.next(at + BEAT * 9).is_none(), "nothing follows a goodbye");
}

#[test]
fn a_goodbye_and_three_silent_beats_end_what_is_known() {
    let (mut own, mut nodes, now) = (own(1), nodes(), Instant::now());
    own.serve(&name("A"), Sockets::Service);
    let (head, _) = said(&mut own, now).remove(0);
    for ends_by_silence in [true, false] {
        nodes.heard(&head, News::Beat, now);
        ask(&mut nodes, &own, now);
        assert_eq!(known(&nodes), ["A"]);
        if ends_by_silence {
            assert_eq!(nodes.next_at(true), Some(now + BEAT * 3));
            assert_eq!(nodes.expire(now + BEAT * 3 - Duration::from_millis(1)), (0, vec![]));
            assert_eq!(nodes.expire(now + BEAT * 3), (1, vec![name("A")]));
        } else {
            assert_eq!(nodes.heard(&head, News::Bye, now).moved, [name("A")]);
        }
        assert_eq!((known(&nodes).len(), nodes.len(), nodes.bytes, nodes.next_at(true)), (0, 0, 0, None));
    }
}

#[test]
fn a_name_of_two_machines_stays_when_one_leaves() {
    let (mut nodes, now) = (nodes(), Instant::now());
    let mut heads = Vec::new();
    for number in [1, 2] {
        let mut own = own(number);
        own.serve(&name("A"), Sockets::Service);
        let (head, news) = said(&mut own, now).remove(0);
        nodes.heard(&head, news, now + Duration::from_secs(number));
        ask(&mut nodes, &own, now + Duration::from_secs(number));
        heads.push(head);
    }
    assert_eq!((known(&nodes), nodes.names_len()), (vec!["A".to_owned()], 1));
    let hosts: Vec<_> = nodes.find("A").iter().map(|there| there.host.to_string()).collect();
    assert_eq!(hosts, ["host-2", "host-1"], "the one that was heard of last first");
    nodes.heard(&heads[1], News::Bye, now);
    assert_eq!(&*nodes.find("A")[0].host, "host-1");
}

#[test]
fn our_own_voice_and_that_of_an_earlier_start_are_not_heard() {
    let (mut own, mut nodes, now) = (own(0), nodes(), Instant::now());
    let (mut head, _) = said(&mut own, now).remove(0);
    nodes.heard(&head, News::Hello, now);
    assert_eq!(nodes.len(), 0);
    (head.node, head.incarnation) = (NodeId(5), 2);
    nodes.heard(&head, News::Hello, now);
    head.incarnation = 1;
    nodes.heard(&head, News::Bye, now);
    assert_eq!(nodes.len(), 1);
}

#[test]
fn a_sidecar_that_does_not_answer_is_asked_a_few_times() {
    let (mut own, mut nodes, mut now) = (own(1), nodes(), Instant::now());
    own.serve(&name("A"), Sockets::Service);
    let (head, news) = said(&mut own, now).remove(0);
    nodes.heard(&head, news, now);
    let mut asked = 0;
    for _ in 0..10 {
        for node in nodes.next_asked(now, 8) {
            asked += 1;
            nodes.not_listed(node, now);
        }
        now += Duration::from_secs(1);
    }
    assert_eq!(asked, TRIES_MAX);
    nodes.heard(&head, News::Beat, now);
    assert_eq!(nodes.next_asked(now, 8).len(), 1, "its next beat begins again");
}

#[test]
fn it_is_bounded_in_sidecars_names_and_bytes() {
    let limits = NodesLimits { nodes_max: 2, names_max: 3, bytes_max: 4 * (NAME_OVERHEAD_BYTES + 1) };
    let (mut nodes, now) = (Nodes::new(NodeId(0), limits), Instant::now());
    let mut refused = 0;
    for number in 1..=3 {
        let mut own = own(number);
        for text in ["A", "B", "C", "D"] {
            own.serve(&name(text), Sockets::Service);
        }
        let (head, _) = said(&mut own, now).remove(0);
        refused += nodes.heard(&head, News::Beat, now).refused;
        for _ in nodes.next_asked(now, 8) {
            let Page { head, names, .. } = all_pages(&own);
            refused += nodes.listed(&head, names, now).refused;
        }
        nodes.heard(&head, News::Beat, now);
        assert!(nodes.next_asked(now, 8).is_empty(), "what does not fit is not asked for again");
    }
    // One name of the first, three of the second, the third itself.
    assert_eq!((nodes.len(), known(&nodes).len(), refused), (2, 3, 1 + 3 + 1));
    assert!(nodes.bytes <= limits.bytes_max);
}

#[derive(Debug, Clone)]
enum Step {
    Serve {
        name: u8,
        has_health: bool,
    },
    Hello,
    /// The messages on their way arrive: those of which the bit is set, in reverse order where `turned`, each `times`.
    Arrive {
        mask: u16,
        turned: bool,
        times: usize,
    },
    Ask,
    AskInVain,
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..30u8, any::<bool>()).prop_map(|(name, has_health)| Step::Serve { name, has_health }),
        1 => Just(Step::Hello),
        4 => (any::<u16>(), any::<bool>(), 1..3usize).prop_map(|(mask, turned, times)| Step::Arrive { mask, turned, times }),
        2 => Just(Step::Ask),
        1 => Just(Step::AskInVain),
        2 => (1..70u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #[test]
    fn one_beat_heals_whatever_happened(steps in prop::collection::vec(step(), 0..60)) {
        let (mut own, mut nodes, mut now) = (own(1), nodes(), Instant::now());
        let mut underway: Vec<(Head, News)> = Vec::new();
        let mut served: std::collections::BTreeMap<String, bool> = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Serve { name: number, has_health } => {
                    own.serve(&name(&format!("{number:02}")), Sockets::new(has_health));
                    served.insert(format!("{number:02}"), has_health);
                    underway.extend(said(&mut own, now));
                }
                Step::Hello => own.greet(),
                Step::Arrive { mask, turned, times } => {
                    let mut arriving: Vec<_> =
                        underway.drain(..).enumerate().filter(|(bit, _)| mask >> (bit % 16) & 1 == 1).map(|(_, said)| said).collect();
                    if turned {
                        arriving.reverse();
                    }
                    for (head, news) in arriving {
                        for _ in 0..times {
                            nodes.heard(&head, news.clone(), now);
                        }
                    }
                }
                Step::Ask => _ = ask(&mut nodes, &own, now),
                Step::AskInVain => {
                    for node in nodes.next_asked(now, 8) {
                        nodes.not_listed(node, now);
                    }
                }
                Step::Pass { seconds } => {
                    now += Duration::from_secs(seconds);
                    nodes.expire(now);
                    underway.extend(said(&mut own, now));
                }
            }
            // What is known of it was said of it, and is counted right.
            prop_assert!(known(&nodes).iter().all(|name| served.contains_key(name)));
            let bytes: usize = nodes.nodes.values().flat_map(|node| node.names.keys()).map(bytes_of).sum();
            prop_assert_eq!(nodes.bytes, bytes);
        }
        now += BEAT * 5 / 4;
        for (head, news) in said(&mut own, now) {
            nodes.heard(&head, news, now);
        }
        // At most one question is still waiting for its time after it was asked in vain.
        now += Duration::from_secs(5);
        ask(&mut nodes, &own, now);
        let known: std::collections::BTreeMap<String, bool> =
            nodes.names().iter().map(|name| (name.to_string(), nodes.find(name.as_str())[0].sockets.has_health())).collect();
        prop_assert_eq!(known, served);
    }
}
