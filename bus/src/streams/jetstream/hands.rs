//! Which messages the workers of this process have, and where to say what becomes of them.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use myelin_store::Name;

/// Most messages that are remembered. Consumers bound what they hand out; this bounds what a process remembers of workers that never say
/// anything. The oldest is forgotten, whose message comes again after `ack_wait`.
const HELD_MAX: usize = 65_536;

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hand {
    pub(super) stream: Name,
    pub(super) consumer: Name,
    pub(super) sequence: u64,
    pub(super) delivery: u32,
}

#[derive(Debug, Default)]
pub(super) struct Hands {
    held: HashMap<Hand, (u64, Box<str>)>,
    order: BTreeMap<u64, Hand>,
    next: u64,
}

impl Hands {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Remembers where to settle a delivery.
    pub(super) fn take(&mut self, hand: Hand, settle: Box<str>) {
        if self.held.len() >= HELD_MAX
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.held.remove(&oldest);
        }
        let ticket = self.next;
        self.next += 1;
        self.order.insert(ticket, hand.clone());
        if let Some((old, _)) = self.held.insert(hand, (ticket, settle)) {
            self.order.remove(&old);
        }
    }

    /// Where to settle it; it stays in hand.
    pub(super) fn look(&self, hand: &Hand) -> Option<Box<str>> {
        self.held.get(hand).map(|(_, settle)| settle.clone())
    }

    /// Settled.
    pub(super) fn settle(&mut self, hand: &Hand) {
        if let Some((ticket, _)) = self.held.remove(hand) {
            self.order.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(sequence: u64) -> Hand {
        Hand { stream: Name::new("s").unwrap(), consumer: Name::new("c").unwrap(), sequence, delivery: 1 }
    }

    #[test]
    fn the_oldest_is_forgotten_and_what_is_settled_takes_no_room() {
        let mut hands = Hands::default();
        for sequence in 0..HELD_MAX as u64 {
            hands.take(hand(sequence), "x".into());
        }
        hands.settle(&hand(0));
        hands.take(hand(100_000), "y".into());
        assert!(hands.look(&hand(1)).is_some(), "there was room");
        hands.take(hand(100_001), "z".into());
        assert_eq!((hands.look(&hand(1)), hands.len(), hands.order.len()), (None, HELD_MAX, HELD_MAX));
    }
}
