use super::*;

fn filter(text: &str) -> Filter {
    Filter::new(text).expect("a filter")
}

fn subject(text: &str) -> Subject {
    Subject::new(text).expect("a subject")
}

fn want(text: &str) -> Announcement {
    Announcement::Want { filter: filter(text) }
}

#[test]
fn nothing_is_sent_before_somebody_wants_it_or_after_nobody_does() {
    let (mut interests, node, now) = (Interests::default(), NodeId::random(), Instant::now());
    assert!(!interests.wants(&subject("zmq.topic.a"), now));
    assert_eq!(interests.hear(node, want("zmq.topic.a"), now), Heard::Tell, "a node that we did not know is told what we want");
    assert!(interests.wants(&subject("zmq.topic.a"), now));
    assert!(!interests.wants(&subject("zmq.topic.b"), now));
    assert_eq!(interests.hear(node, Announcement::Drop { filter: filter("zmq.topic.a") }, now), Heard::Noted);
    assert!(!interests.wants(&subject("zmq.topic.a"), now));
}

/// A cable was cut when somebody stopped to listen, and somebody listens again over the next connection. What the first one had taken comes last.
#[test]
fn a_word_behind_a_later_one_changes_nothing() {
    let (mut interests, node, now) = (Interests::default(), NodeId::random(), Instant::now());
    interests.hear(node, Announcement::Hello { host: "x".into() }, now);
    assert!(!interests.is_late(node, 1));
    assert!(!interests.is_late(node, 3), "one that was lost is not waited for");
    assert!(interests.is_late(node, 2));
    assert!(!interests.is_late(node, 4));
    assert!(!interests.is_late(node, 0), "an older version does not count");
    assert!(!interests.is_late(NodeId::random(), 1), "nor is anything late of who was not heard of");
}

#[test]
fn a_dead_node_is_sent_nothing_after_the_lease() {
    let (mut interests, node, start) = (Interests::default(), NodeId::random(), Instant::now());
    interests.hear(node, want("t.>"), start);
    let at = |ms| start + Duration::from_millis(ms);
    // However long nothing was published, what comes first is sent: the node may well be there.
    assert!(interests.wants(&subject("t.a"), at(10_000)));
    assert!(interests.wants(&subject("t.a"), at(11_499)));
    assert!(!interests.wants(&subject("t.a"), at(11_500)));
    assert!(!interests.wants(&subject("t.b"), at(60_000)), "and nothing else, until it is heard of");
    interests.hear(node, Announcement::Confirm, at(60_001));
    assert!(interests.wants(&subject("t.a"), at(60_002)));
}

#[test]
fn a_node_that_confirms_is_sent_everything() {
    let (mut interests, mut wants) = (Interests::default(), Wants::default());
    let (node, start) = (NodeId::random(), Instant::now());
    wants.add(&filter("t.a"));
    interests.hear(node, want("t.a"), start);
    for ms in (0..60_000).step_by(7) {
        let now = start + Duration::from_millis(ms);
        assert!(interests.wants(&subject("t.a"), now), "at {ms} ms");
        if wants.arrived(now) {
            // A confirmation that takes long.
            interests.hear(node, Announcement::Confirm, now + Duration::from_millis(400));
        }
    }
}

#[test]
fn one_living_node_is_enough() {
    let (mut interests, start) = (Interests::default(), Instant::now());
    let (dead, living) = (NodeId::random(), NodeId::random());
    for node in [dead, living] {
        interests.hear(node, want("t.a"), start);
    }
    for second in 0..20 {
        let now = start + Duration::from_secs(second);
        interests.hear(living, Announcement::Confirm, now);
        assert!(interests.wants(&subject("t.a"), now));
    }
    interests.hear(living, Announcement::Bye, start + Duration::from_secs(20));
    assert!(!interests.wants(&subject("t.a"), start + Duration::from_secs(20)), "the dead one does not count");
}

#[test]
fn who_is_silent_for_three_beats_is_forgotten() {
    let (mut interests, start) = (Interests::default(), Instant::now());
    let (silent, speaking) = (NodeId::random(), NodeId::random());
    for node in [silent, speaking] {
        interests.hear(node, Announcement::Hello { host: "x".into() }, start);
    }
    interests.hear(speaking, Announcement::Confirm, start + BEAT * 2);
    assert_eq!(interests.expire(start + BEAT * 3), []);
    assert_eq!(interests.expire(start + BEAT * 3 + Duration::from_millis(1)), [silent]);
    assert_eq!(interests.nodes(), 1);
}

#[test]
fn what_a_node_wants_is_what_it_said_last() {
    let (mut interests, node, now) = (Interests::default(), NodeId::random(), Instant::now());
    interests.hear(node, want("t.a"), now);
    interests.hear(node, Announcement::Wants { host: "x".into(), filters: vec![filter("t.b")] }, now);
    assert!(!interests.wants(&subject("t.a"), now));
    assert!(interests.wants(&subject("t.b"), now));
    assert_eq!(interests.hear(node, Announcement::Hello { host: "x".into() }, now), Heard::Tell);
    assert_eq!(interests.hear(node, Announcement::Left { callers: vec![7] }, now), Heard::Left(vec![7]));
    assert_eq!(interests.hear(node, Announcement::Bye, now), Heard::Gone);
    assert_eq!(interests.hear(node, Announcement::Bye, now), Heard::Noted);
}

#[test]
fn strangers_cannot_fill_the_memory() {
    let (mut interests, now) = (Interests::default(), Instant::now());
    for _ in 0..NODES_MAX {
        interests.hear(NodeId::random(), Announcement::Confirm, now);
    }
    assert_eq!(interests.hear(NodeId::random(), want("t.a"), now), Heard::Ignored);
    assert_eq!(interests.nodes(), NODES_MAX);
}

#[test]
fn the_last_listener_is_news_and_so_is_the_first() {
    let (mut wants, a) = (Wants::default(), filter("t.a"));
    assert!(wants.add(&a) && !wants.add(&a));
    assert!(!wants.remove(&a) && wants.remove(&a) && !wants.remove(&a));
    assert!(wants.all(&[filter("t.>")]).is_empty());
    for number in 0..=FILTERS_MAX {
        wants.add(&filter(&format!("t.{number}")));
    }
    assert_eq!(wants.all(&[filter("t.>")]), [filter("t.>")], "too many to say");
}

#[test]
fn a_filter_covers_what_it_matches() {
    for (wide, narrow, is_so) in [
        ("a.>", "a.b", true),
        ("a.>", "a.*.c", true),
        ("a.>", "a", false),
        ("a.>", ">", false),
        ("a.*", "a.*", true),
        ("a.*", "a.>", false),
        ("a.b", "a.*", false),
        (">", ">", true),
    ] {
        assert_eq!(covers(&filter(wide), &filter(narrow)), is_so, "{wide} {narrow}");
    }
}

#[test]
fn filters_overlap_when_a_subject_matches_both() {
    for (one, other, is_so) in [
        ("a.b", "a.b", true),
        ("a.b", "a.c", false),
        ("a.*", "*.b", true),
        (">", "a.b.c", true),
        ("a.>", "a", false),
        ("a.>", "*.b", true),
        ("a.b", "a.b.c", false),
    ] {
        assert_eq!(overlap(&filter(one), &filter(other)), is_so, "{one} {other}");
        assert_eq!(overlap(&filter(other), &filter(one)), is_so, "{other} {one}");
    }
}
