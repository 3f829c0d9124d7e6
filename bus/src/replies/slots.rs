//! The table of requests that wait for a reply: a slab, so that neither opening nor filling allocates once it has grown.

use std::task::{Context, Poll, Waker};

use crate::Meta;
use crate::wire::Body;

/// The number of one waiting request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    generation: u32,
    index: u32,
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply { meta: Option<Box<Meta>>, body: Body },
    NoResponders,
}

/// Nobody waits for this reply any more.
#[derive(Debug)]
pub(super) struct Late;

#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    max: usize,
}

#[derive(Debug)]
struct Slot {
    /// Raised whenever the slot is given back, so that a late reply does not reach the next request in the same place.
    generation: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Vacant,
    Waiting(Option<Waker>),
    Filled(Outcome),
    /// The outcome has been taken, its request not yet dropped.
    Taken,
}

/// Marks the numbers of slots, and keeps them apart from the numbers of sinks.
const SLOT_BIT: u64 = 1 << 63;
const GENERATION_MASK: u32 = u32::MAX >> 1;

impl Token {
    pub(super) fn as_number(self) -> u64 {
        SLOT_BIT | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_number(number: u64) -> Option<Self> {
        let index = u32::try_from(number & u64::from(u32::MAX)).expect("masked to 32 bits");
        let generation = u32::try_from((number & !SLOT_BIT) >> 32).expect("shifted to 31 bits");
        (number & SLOT_BIT != 0).then_some(Self { generation, index })
    }
}

impl Slots {
    pub(super) fn new(max: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), max: max.min(u32::MAX as usize) }
    }

    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn waiting(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn open(&mut self) -> Option<Token> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < self.max => {
                self.slots.push(Slot { generation: 0, state: State::Vacant });
                u32::try_from(self.slots.len() - 1).expect("bounded by u32::MAX slots")
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        slot.state = State::Waiting(None);
        Some(Token { generation: slot.generation, index })
    }

    /// Puts the outcome into its slot and returns whom to wake.
    pub(super) fn fill(&mut self, token: Token, outcome: Outcome) -> Result<Option<Waker>, Late> {
        let slot = self.slot(token).ok_or(Late)?;
        match &mut slot.state {
            State::Waiting(waker) => {
                let waker = waker.take();
                slot.state = State::Filled(outcome);
                Ok(waker)
            }
            State::Vacant | State::Filled(_) | State::Taken => Err(Late),
        }
    }

    pub(super) fn poll(&mut self, token: Token, cx: &mut Context<'_>) -> Poll<Outcome> {
        let slot = self.slot(token).expect("a slot stays until its request is dropped");
        match std::mem::replace(&mut slot.state, State::Taken) {
            State::Filled(outcome) => Poll::Ready(outcome),
            State::Waiting(waker) => {
                let waker = match waker {
                    Some(waker) if waker.will_wake(cx.waker()) => waker,
                    Some(_) | None => cx.waker().clone(),
                };
                slot.state = State::Waiting(Some(waker));
                Poll::Pending
            }
            State::Vacant | State::Taken => Poll::Pending,
        }
    }

    /// Gives the slot back and returns what it held.
    pub(super) fn close(&mut self, token: Token) -> Option<Outcome> {
        let slot = self.slot(token)?;
        slot.generation = slot.generation.wrapping_add(1) & GENERATION_MASK;
        let left = std::mem::replace(&mut slot.state, State::Vacant);
        self.free.push(token.index);
        match left {
            State::Filled(outcome) => Some(outcome),
            State::Vacant | State::Waiting(_) | State::Taken => None,
        }
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots.get_mut(token.index as usize).filter(|slot| slot.generation == token.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Outcome {
        Outcome::Reply { meta: None, body: Body::from("reply") }
    }

    #[test]
    fn numbers_go_there_and_back() {
        for token in [Token { generation: 0, index: 0 }, Token { generation: GENERATION_MASK, index: u32::MAX }] {
            assert_eq!(Token::from_number(token.as_number()), Some(token));
        }
        assert_eq!(Token::from_number(7), None);
    }

    #[test]
    fn late_reply_does_not_reach_the_next_request_in_the_same_slot() {
        let mut slots = Slots::new(1);
        let gone = slots.open().expect("room");
        assert!(slots.open().is_none());
        assert!(slots.close(gone).is_none());
        let next = slots.open().expect("room again");
        assert!(slots.fill(gone, reply()).is_err());
        assert!(slots.fill(next, reply()).is_ok());
        assert!(slots.fill(next, reply()).is_err());
        assert!(slots.close(next).is_some());
        assert_eq!(slots.waiting(), 0);
    }
}
