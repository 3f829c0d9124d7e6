//! Writing messages: every value in its shortest form, so that one message has one encoding.

use std::convert::Infallible;

use rmp::encode::{ByteBuf, write_array_len, write_bool, write_nil, write_str, write_uint};

use super::{Head, Item, List, Message, Missing, TAG, Told};
use crate::presence::{AgentCard, Axes};

pub(in crate::presence) fn encode(message: &Message) -> Vec<u8> {
    let mut out = Out(ByteBuf::new());
    match message {
        Message::Hello(head, machine, missing) => {
            out.head(8, 0, head);
            out.text(machine);
            out.missing(missing);
        }
        Message::Beat(head, missing) => {
            out.head(7, 1, head);
            out.missing(missing);
        }
        Message::List(head, list) => out.list(2, head, list),
        Message::Hearsay(head, list) => out.list(3, head, list),
        Message::Ask { node, since } => {
            out.start(4, 4);
            out.uint(node.0);
            out.uint(*since);
        }
        Message::Bye(head) => out.head(6, 5, head),
    }
    out.0.into_vec()
}

/// Bytes that an item takes in a message, or a few more.
pub(in crate::presence) fn item_len(item: &Item) -> usize {
    /// Nine numbers of nine bytes at most, and heads.
    const NUMBERS: usize = 96;
    /// The head of one text.
    const TEXT: usize = 3;
    let card = item.told.as_ref().and_then(|told| told.card.as_ref());
    let texts = card.map_or(0, |card| card.len_bytes() + TEXT * (4 + card.capabilities.len() + 3 * card.metadata.len()));
    NUMBERS + item.id.as_str().len() + texts
}

struct Out(ByteBuf);

impl Out {
    fn start(&mut self, elements: u32, kind: u64) {
        self.array(elements);
        self.text(TAG);
        self.uint(kind);
    }

    fn head(&mut self, elements: u32, kind: u64, head: &Head) {
        self.start(elements, kind);
        self.uint(head.node.0);
        self.uint(u64::try_from(head.interval.as_millis()).unwrap_or(u64::MAX));
        self.uint(head.version);
        self.uint(head.digest);
    }

    fn missing(&mut self, missing: &[Missing]) {
        self.count(missing.len());
        for Missing { node, known, has_left } in missing {
            self.array(3);
            self.uint(node.0);
            self.uint(*known);
            self.bool(*has_left);
        }
    }

    fn list(&mut self, kind: u64, head: &Head, list: &List) {
        self.head(10, kind, head);
        self.text(&list.machine);
        self.uint(list.from);
        self.uint(list.to);
        self.count(list.items.len());
        for item in &list.items {
            self.item(item);
        }
    }

    fn item(&mut self, Item { id, version, told }: &Item) {
        let Some(Told { incarnation, state, reason, age, axes, card }) = told else {
            self.array(2);
            self.text(id.as_str());
            return self.uint(*version);
        };
        self.array(8);
        self.text(id.as_str());
        self.uint(*version);
        self.uint(*incarnation);
        self.uint(state.number().into());
        self.uint(reason.number().into());
        self.uint(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.axes(*axes);
        match card {
            Some(card) => self.card(card),
            None => self.nil(),
        }
    }

    fn axes(&mut self, Axes { reachable, ready, busy, healthy }: Axes) {
        self.array(4);
        self.bool(reachable);
        self.bool(ready);
        self.uint(busy.into());
        match healthy {
            Some(healthy) => self.bool(healthy),
            None => self.nil(),
        }
    }

    fn card(&mut self, card: &AgentCard) {
        self.array(6);
        self.text(&card.kind);
        self.text(card.subject.as_str());
        self.uint(card.limits.in_flight_max.map_or(0, u64::from));
        self.uint(card.limits.payload_bytes_max.unwrap_or(0));
        self.count(card.capabilities.len());
        for capability in &card.capabilities {
            self.text(capability);
        }
        self.count(card.metadata.len());
        for (name, value) in &card.metadata {
            self.array(2);
            self.text(name);
            self.text(value);
        }
    }

    fn count(&mut self, count: usize) {
        self.array(u32::try_from(count).expect("lists are bounded far below that"));
    }

    fn array(&mut self, elements: u32) {
        written(write_array_len(&mut self.0, elements).map(drop));
    }

    fn text(&mut self, text: &str) {
        written(write_str(&mut self.0, text));
    }

    fn uint(&mut self, number: u64) {
        written(write_uint(&mut self.0, number).map(drop));
    }

    fn bool(&mut self, value: bool) {
        match write_bool(&mut self.0, value) {
            Ok(()) => {}
        }
    }

    fn nil(&mut self) {
        match write_nil(&mut self.0) {
            Ok(()) => {}
        }
    }
}

/// A buffer takes everything.
fn written(result: Result<(), rmp::encode::ValueWriteError<Infallible>>) {
    debug_assert!(result.is_ok(), "a buffer takes everything");
}
