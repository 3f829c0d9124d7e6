use super::super::config::BOUND_DEFAULT;
use super::*;

const ONE: NodeId = NodeId(1);

/// The agents' side, and an agent that answers at once or not.
struct Side {
    checking: Checking,
    now: Instant,
    answers: Option<&'static str>,
    said: Vec<Said>,
    checks: usize,
}

impl Side {
    fn asked() -> Self {
        let mut side =
            Self { checking: Checking::new(Masks::default()), now: Instant::now(), answers: Some("ok"), said: Vec::new(), checks: 0 };
        side.checking.asked(ONE, BOUND_DEFAULT, &key(), Serves::One("kind".into()), side.now);
        side
    }

    /// Lets time pass in small steps.
    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 50 {
            self.now += Duration::from_millis(50);
            while let Some(act) = self.checking.next_act(self.now) {
                match act {
                    Act::Say(node, said) => {
                        assert_eq!(node, ONE);
                        self.said.push(said);
                    }
                    Act::Check { key, number } => {
                        self.checks += 1;
                        if let Some(text) = self.answers {
                            self.checking.answered(&key, number, Some(Frames::single(text.as_bytes())), self.now);
                        }
                    }
                    Act::Unfit { .. } => {}
                }
            }
        }
    }

    fn renew(&mut self) {
        self.checking.renewed(ONE, 0, self.now);
    }
}

fn key() -> Key {
    Key::new("a", b"ping")
}

fn why(said: &Said) -> Option<Why> {
    if let Said::Withdraw { why, .. } = said { Some(*why) } else { None }
}

#[test]
fn nothing_is_told_before_two_answers_say_the_same() {
    let mut side = Side::asked();
    side.run(1_000);
    assert_eq!((side.checks, side.said.len()), (1, 0));
    side.run(1_000);
    assert_eq!(side.checks, 2);
    assert!(matches!(side.said[..], [Said::Document { .. }]), "{:?}", side.said);
    side.run(3_000);
    assert_eq!(side.said.len(), 1, "and not again while it stays so");
    side.answers = Some("changed");
    side.run(1_600);
    assert_eq!(side.said.len(), 2, "a change of what was told is told at once");
}

#[test]
fn silence_is_told_before_any_lease_and_an_agent_that_hangs_gets_one_check() {
    let mut side = Side::asked();
    side.run(2_000);
    (side.answers, side.checks) = (None, 0);
    side.run(2_000);
    // No time has passed here for the task to look at what is due.
    side.now += Duration::from_secs(2);
    side.said.clear();
    side.renew();
    side.run(50);
    assert_eq!(side.said.first().and_then(why), Some(Why::Silent), "{:?}", side.said);
    assert!(matches!(side.said[..], [_, Said::Lease { oldest, .. }] if oldest.is_zero()), "nothing is told any more, so nothing is old");
    side.run(8_000);
    assert_eq!(side.checks, 1);
}

#[test]
fn a_lease_says_how_long_ago_the_oldest_look_began() {
    let mut side = Side::asked();
    side.run(2_000);
    side.said.clear();
    side.renew();
    side.run(50);
    assert!(matches!(side.said[..], [Said::Lease { oldest, .. }] if oldest < Duration::from_millis(1_500)), "{:?}", side.said);
    side.now += Duration::from_secs(1);
    side.renew();
    let Some(Act::Say(_, Said::Lease { oldest, .. })) = side.checking.next_act(side.now) else { panic!("no lease") };
    assert!(oldest >= Duration::from_secs(1), "{oldest:?}");
}

#[test]
fn what_cannot_be_told_is_said_to_be_so() {
    for (serves, expected) in [(Serves::Several, Some(Why::Several)), (Serves::Unfit, Some(Why::Unfit)), (Serves::Nobody, None)] {
        let mut side = Side::asked();
        side.checking = Checking::new(Masks::default());
        side.checking.asked(ONE, BOUND_DEFAULT, &key(), serves, side.now);
        side.run(3_000);
        assert_eq!((side.said.first().and_then(why), side.checks), (expected, 0));
    }
    let mut side = Side::asked();
    side.run(2_000);
    side.checking.ended("a", Why::Ended);
    side.run(50);
    assert_eq!(side.said.last().and_then(why), Some(Why::Ended));
    assert_eq!(side.checking.len(), 0);
}

#[test]
fn whoever_says_nothing_for_three_bounds_is_forgotten_and_the_agent_is_left_alone() {
    let mut side = Side::asked();
    side.run(14_900);
    assert_eq!(side.checking.len(), 1);
    side.run(200);
    assert_eq!((side.checking.len(), side.checking.next_at(side.now)), (0, None));
    side.said.clear();
    side.renew();
    side.run(50);
    assert!(matches!(side.said[..], [Said::Lease { .. }]), "a number that it cannot have tells it that nothing counts");
}
