use super::super::config::BOUND_DEFAULT;
use super::*;

const ONE: NodeId = NodeId(1);
const OTHER: NodeId = NodeId(2);
const PING: &[u8] = b"ping";

/// A poller's side at its own pace of time.
struct Side {
    asking: Asking,
    service: Arc<str>,
    now: Instant,
}

impl Side {
    fn new() -> Self {
        Self { asking: Asking::new(Timing::new(BOUND_DEFAULT)), service: "a".into(), now: Instant::now() }
    }

    fn poll(&mut self) -> Option<String> {
        let known = self.asking.poll(&self.service, PING, || true, self.now)?;
        Some(String::from_utf8(known.content.first().to_vec()).unwrap())
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn said(&mut self) -> Vec<(To, Said)> {
        std::iter::from_fn(|| self.asking.next_said(self.now)).collect()
    }

    fn key(&self) -> Key {
        Key::new(&self.service, PING)
    }

    fn document(&mut self, node: NodeId, told: u32, text: &str) {
        let key = self.key();
        self.asking.document(node, told, &key, ("kind", Frames::single(text.as_bytes())), self.now);
    }

    /// The number of the question that is asked now.
    fn renewed(&mut self) -> u32 {
        let numbers = self.said().into_iter().filter_map(|(_, said)| if let Said::Renew { number } = said { Some(number) } else { None });
        numbers.last().expect("a question is due")
    }

    /// A document that counts.
    fn known(told: u32) -> Self {
        let mut side = Self::new();
        assert_eq!((side.poll(), side.poll()), (None, None));
        side.document(ONE, told, "x");
        let number = side.renewed();
        side.asking.lease(ONE, (number, told), Duration::ZERO, side.now);
        assert_eq!(side.poll().as_deref(), Some("x"));
        side
    }
}

#[test]
fn everybody_is_asked_at_the_second_of_two_like_requests() {
    let mut side = Side::new();
    side.poll();
    assert_eq!(side.said(), []);
    side.poll();
    let ask = Said::Ask { bound: BOUND_DEFAULT, keys: vec![side.key()] };
    assert_eq!(side.said(), [(To::Everybody, ask.clone())]);
    side.poll();
    assert_eq!(side.said(), [], "and not again at once");
    side.wait(2_000);
    side.poll();
    assert_eq!(side.said(), [(To::Everybody, ask)]);
}

#[test]
fn a_document_counts_from_the_first_lease_that_was_written_after_it() {
    let mut side = Side::known(u32::MAX);
    // The numbers wrap. What only changed counts at once, what is new does not.
    side.document(ONE, 0, "y");
    assert_eq!(side.poll().as_deref(), Some("y"));
    let key = side.key();
    side.asking.withdraw(ONE, 1, &key, Why::Silent, side.now);
    assert_eq!(side.poll(), None);
    side.document(ONE, 2, "z");
    assert_eq!(side.poll(), None, "nobody has said since how old it is");
    side.wait(200);
    let number = side.renewed();
    side.asking.lease(ONE, (number, 2), Duration::ZERO, side.now);
    assert_eq!(side.poll().as_deref(), Some("z"));
}

#[test]
fn the_age_is_counted_from_the_question_and_ends_at_the_bound() {
    let mut side = Side::known(1);
    side.wait(2_000);
    let number = side.renewed();
    // The answer takes its time, and so had the look at the agent.
    side.wait(1_000);
    side.asking.lease(ONE, (number, 1), Duration::from_millis(1_500), side.now);
    side.wait(2_500);
    assert!(side.poll().is_some(), "1 s and 1.5 s and 2.5 s");
    side.wait(1);
    assert_eq!(side.poll(), None);
    side.asking.lease(ONE, (number, 1), Duration::ZERO, side.now);
    assert_eq!(side.poll(), None, "a question is answered once");
}

#[test]
fn after_a_gap_nothing_of_that_sidecar_counts() {
    let mut side = Side::known(5);
    side.document(ONE, 7, "y");
    assert_eq!(side.poll(), None);
    let mut side = Side::known(5);
    side.wait(2_000);
    let number = side.renewed();
    side.asking.lease(ONE, (number, 6), Duration::ZERO, side.now);
    assert_eq!(side.poll(), None, "something was told that did not come");
    assert!(side.said().iter().any(|(_, said)| matches!(said, Said::Ask { .. })), "it is asked for again");
}

#[test]
fn of_replicas_neither_counts_and_both_are_told_so() {
    let mut side = Side::known(5);
    side.document(OTHER, 9, "x");
    assert_eq!(side.poll(), None);
    let dropped = |node| (To::One(node), Said::Drop { keys: vec![Key::new("a", PING)] });
    assert_eq!(side.said(), [dropped(ONE), dropped(OTHER)]);
    side.wait(59_000);
    side.poll();
    assert_eq!(side.said(), [], "and nobody is asked for a while");
    side.wait(1_000);
    side.poll();
    assert!(matches!(side.said()[..], [(To::Everybody, Said::Ask { .. })]));
}

#[test]
fn requests_with_numbers_of_their_own_do_not_drive_out_those_that_come_again() {
    let mut side = Side::known(5);
    for number in 0..50 {
        side.wait(10);
        let own = format!("ping {number}");
        assert_eq!(side.asking.poll(&side.service, own.as_bytes(), || true, side.now), None);
    }
    assert!(side.poll().is_some());
    assert_eq!(side.asking.services[&side.service].len(), REQUESTS_MAX);
    assert_eq!(side.asking.poll(&side.service, b"no poll", || false, side.now), None);
    let bytes = side.asking.services.values().flatten().map(Asked::len_bytes).sum::<usize>();
    assert_eq!(side.asking.bytes, bytes, "what is bounded is what is there");
}

#[test]
fn what_nobody_polls_any_more_is_let_go_and_told_so() {
    let mut side = Side::known(5);
    for _ in 0..60 {
        side.wait(200);
        let key = side.key();
        if side.said().contains(&(To::One(ONE), Said::Drop { keys: vec![key] })) {
            assert_eq!((side.asking.bytes, side.asking.counts().0), (0, 0));
            return;
        }
    }
    panic!("it is never let go");
}
