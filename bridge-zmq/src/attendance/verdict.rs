//! What follows from a look at an agent, as evidence for presence.

use myelin_bus::presence::Evidence;

use super::look::Seen;

/// What is remembered between two looks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// The last look found nobody.
    is_lost: bool,
}

impl Verdict {
    /// The evidence of a look, in order.
    pub(super) fn of(&mut self, seen: Seen) -> Vec<Evidence> {
        let was_lost = std::mem::replace(&mut self.is_lost, seen == Seen::Refused);
        let back = was_lost.then_some(Evidence::ConnectionBack);
        match seen {
            // Said once: from then on it is dead or comes back.
            Seen::Refused if was_lost => Vec::new(),
            Seen::Refused => vec![Evidence::ConnectionLost],
            Seen::Nothing => back.into_iter().chain([Evidence::Unanswered]).collect(),
            Seen::Greeted => vec![back.unwrap_or(Evidence::Answered)],
        }
    }

    /// Whether the next look decides about a life.
    pub(super) fn is_urgent(self) -> bool {
        self.is_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_refuses_is_a_lost_connection() {
        let mut verdict = Verdict::default();
        assert_eq!(verdict.of(Seen::Greeted), [Evidence::Answered]);
        assert_eq!(verdict.of(Seen::Nothing), [Evidence::Unanswered]);
        assert_eq!(verdict.of(Seen::Nothing), [Evidence::Unanswered]);
        assert_eq!(verdict.of(Seen::Refused), [Evidence::ConnectionLost]);
        assert!(verdict.is_urgent() && verdict.of(Seen::Refused).is_empty());
        assert_eq!(verdict.of(Seen::Nothing), [Evidence::ConnectionBack, Evidence::Unanswered], "it is there, and does not answer");
        assert_eq!(verdict.of(Seen::Refused), [Evidence::ConnectionLost]);
        assert_eq!(verdict.of(Seen::Greeted), [Evidence::ConnectionBack]);
        assert!(!verdict.is_urgent());
    }
}
