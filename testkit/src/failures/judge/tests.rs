use super::*;

fn cut(cuts: &[u64], logs: &[(&str, &str)]) -> (Vec<&'static str>, Counts) {
    judged(logs, Deeds { kills: Vec::new(), cuts: cuts.to_vec() })
}

fn of(logs: &[(&str, &str)], kills: &[u64]) -> (Vec<&'static str>, Counts) {
    judged(logs, Deeds { kills: kills.to_vec(), cuts: Vec::new() })
}

fn judged(logs: &[(&str, &str)], deeds: Deeds) -> (Vec<&'static str>, Counts) {
    let peers = Peers(logs.iter().map(|(role, text)| ((*role).to_owned(), (*text).to_owned())).collect());
    let findings = judge(&peers, Logs::default(), &deeds);
    (findings.broken.iter().map(|(which, _)| *which).collect(), findings.counts)
}

#[test]
fn silence_and_a_late_reply_are_no_fault() {
    let (broken, counts) =
        of(&[("dealer", "S d-1 1\nT d-1 9\nS d-2 10\nR d-1 11\nR d-2 12\n"), ("req", "S r-1 1\nT r-1 9\nS r-2 10\nR r-2 11\n")], &[]);
    assert_eq!(broken, [""; 0]);
    assert_eq!((counts.asked, counts.answered, counts.silent, counts.late), (4, 2, 2, 1));
}

#[test]
fn a_reply_of_somebody_else_and_one_that_comes_twice_are_faults() {
    assert_eq!(of(&[("dealer", "S d-1 1\nR e-1 2\n")], &[]).0, [WRONG_REPLY]);
    assert_eq!(of(&[("dealer", "S d-1 1\nR d-1 2\nR d-1 3\n")], &[]).0, [DOUBLED_REPLY]);
    assert_eq!(of(&[("req", "S r-1 1\nT r-1 2\nS r-2 3\nR r-1 4\n")], &[]).0, [WRONG_REPLY]);
    assert_eq!(of(&[("req", "S r-1 1\nX 2 00ff\n")], &[]).0, [WRONG_REPLY]);
}

#[test]
fn a_word_that_is_answered_by_two_machines_is_a_fault() {
    for line in ["? 7 1 one", "X ? 7 1 one stale"] {
        let logs = Logs { workers: vec![crash::Peer { name: "w".to_owned(), text: format!("{line}\n") }], ..Logs::default() };
        let broken = judge(&Peers::default(), logs, &Deeds::default()).broken;
        assert_eq!(broken.iter().map(|(which, _)| *which).collect::<Vec<_>>(), [TWO_ANSWERS]);
    }
}

#[test]
fn topics_may_miss_messages_and_not_repeat_them() {
    let publisher = ("pub", "S p-1 1\nS p-2 2\nS p-3 3\n");
    assert_eq!(of(&[publisher, ("sub", "R p-1 2\nR p-3 4\n")], &[]).0, [""; 0]);
    assert_eq!(of(&[publisher, ("sub", "R p-1 2\nR p-1 4\n")], &[]).0, [HEARD_TWICE]);
    assert_eq!(of(&[publisher, ("sub", "R p-2 2\nR p-1 4\n")], &[]).0, [HEARD_TWICE]);
    assert_eq!(of(&[publisher, ("sub", "R p-9 2\n")], &[]).0, [NOT_WHOLE]);
}

#[test]
fn only_what_was_on_its_way_when_a_cable_was_cut_may_be_late_and_that_is_counted() {
    let publisher = ("pub", "S p-1 5000\nS p-2 6000\nS p-3 7000\n");
    let late = [publisher, ("sub", "R p-3 7001\nR p-2 9000\n")];
    let (broken, counts) = cut(&[4_500], &late);
    assert_eq!((broken, counts.late_after_cut, counts.late_ms_max), (vec![], 1, 3_000));
    assert_eq!(cut(&[6_500], &late).0, [HEARD_TWICE], "sent before the cut");
    assert_eq!(cut(&[3_500], &late).0, [HEARD_TWICE], "sent when it was noticed");
    assert_eq!(cut(&[4_500], &[publisher, ("sub", "R p-1 5001\nR p-1 9000\n")]).0, [HEARD_TWICE], "twice is twice");
}

#[test]
fn a_push_is_lost_only_with_the_sidecar_that_had_it() {
    let push = ("push", "S p-1 10\nS p-2 20\nS p-3 30\nS p-4 900\n");
    assert_eq!(of(&[push, ("pull", "R p-1 12\nR p-2 22\nR p-3 31\nR p-3 40\nR p-4 910\n")], &[]).1.pulled_again, 1);
    let gap = ("pull", "R p-1 12\nR p-2 22\nR p-4 910\n");
    assert_eq!(of(&[push, gap], &[]).0, [PUSH_LOST]);
    let (broken, counts) = of(&[push, gap], &[35]);
    assert_eq!((broken, counts.died_in_sockets), (vec![], 1));
    assert_eq!(of(&[push, ("pull", "R p-1 12\nR p-3 31\nR p-4 910\n")], &[35]).0, [PUSH_LOST], "a later one had come");
    assert_eq!(of(&[push, ("pull", "R p-1 12\nR p-2 22\nR p-3 31\n")], &[35]).0, [PUSH_LOST], "pushed when it lived again");
}
