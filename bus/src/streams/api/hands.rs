//! Which messages are in the hands of workers in other processes, and whether these are still there.
//!
//! A worker is there while its inbox has a subscriber: a connection that ends takes its subscriptions with it.

use std::time::Duration;

use hashbrown::HashMap;
use myelin_store::Attempt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::wire::Subject;

/// How often inboxes are looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Bounded by what consumers may have in flight: an entry goes with the message's word, with its worker, or with `ack_wait`.
#[derive(Debug, Default)]
pub(super) struct Hands(Mutex<HashMap<Subject, Hand>>);

/// One delivery, known by the subject that it is settled on.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) inbox: Subject,
    pub(super) attempts: Vec<Attempt>,
    pub(super) ack_wait: Duration,
    pub(super) until: Instant,
}

impl Hands {
    pub(super) fn give(&self, settle: Subject, hand: Hand) {
        self.0.lock().insert(settle, hand);
    }

    pub(super) fn take(&self, settle: &Subject) -> Option<Hand> {
        self.0.lock().remove(settle)
    }

    pub(super) fn are_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// The worker asked for more time.
    pub(super) fn extend(&self, settle: &Subject) {
        if let Some(hand) = self.0.lock().get_mut(settle) {
            hand.until = Instant::now() + hand.ack_wait;
        }
    }

    /// Takes out what nobody can settle any more: deliveries whose time is over, which the stream knows by itself, and those of workers that
    /// are gone, which are returned.
    pub(super) fn left_behind(&self, now: Instant, is_there: impl Fn(&Subject) -> bool) -> Vec<Subject> {
        let mut hands = self.0.lock();
        let mut inboxes: HashMap<Subject, bool> = HashMap::new();
        let mut gone = Vec::new();
        hands.retain(|settle, hand| {
            let known = inboxes.get(&hand.inbox).copied();
            let is_there = known.unwrap_or_else(|| {
                let is_there = is_there(&hand.inbox);
                inboxes.insert(hand.inbox.clone(), is_there);
                is_there
            });
            if !is_there {
                gone.push(settle.clone());
            }
            is_there && now < hand.until
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_goes_and_who_is_gone_is_told() {
        let (hands, now) = (Hands::default(), Instant::now());
        let subject = |name: &str| Subject::new(name).unwrap();
        let second = Duration::from_secs(1);
        let give = |settle: &str, inbox: &str, until| {
            hands.give(subject(settle), Hand { inbox: subject(inbox), attempts: Vec::new(), ack_wait: second, until });
        };
        give("a", "here", now + second);
        give("b", "gone", now + second);
        give("c", "here", now);
        let is_there = |inbox: &Subject| inbox.as_str() == "here";
        assert_eq!(hands.left_behind(now, is_there), [subject("b")]);
        assert!(hands.take(&subject("a")).is_some() && hands.take(&subject("b")).is_none() && hands.take(&subject("c")).is_none());
    }
}
