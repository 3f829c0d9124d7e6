//! Reading messages. Anybody on the bus can publish here, so everything is checked, and nothing is allocated that a length only declares.

use std::sync::Arc;
use std::time::Duration;

use rmp::Marker;
use rmp::decode::{read_array_len, read_bin_len, read_bool, read_ext_meta, read_int, read_map_len, read_nil, read_str_len};

use super::{Head, Item, List, MACHINE_BYTES_MAX, MESSAGE_BYTES_MAX, MISSING_MAX, Message, Missing, TAG, Told};
use crate::presence::card::{CARD_CAPABILITIES_MAX, CARD_METADATA_MAX};
use crate::presence::{AgentCard, AgentLimits, Axes, NodeId, Reason, State};
use crate::wire::{AgentId, Subject};

/// Most elements of an array that says one thing: room for those of later versions, which are passed over.
const ELEMENTS_MAX: u32 = 15;

/// Most items of a list; the smallest takes five bytes.
const ITEMS_MAX: u32 = 16 * 1024;

/// A message that says nothing to this version: it is counted and left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::presence) struct Unreadable;

pub(in crate::presence) fn decode(bytes: &[u8]) -> Result<Message, Unreadable> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Unreadable);
    }
    let mut input = In(bytes);
    let elements = input.array(ELEMENTS_MAX)?;
    if input.text()? != TAG {
        return Err(Unreadable);
    }
    let kind = input.uint()?;
    let (message, read) = match kind {
        0 => (Message::Hello(input.head()?, input.machine()?, input.missing()?), 8),
        1 => (Message::Beat(input.head()?, input.missing()?), 7),
        2 => (Message::List(input.head()?, input.list()?), 10),
        3 => (Message::Hearsay(input.head()?, input.list()?), 10),
        4 => (Message::Ask { node: input.node()?, since: input.uint()? }, 4),
        5 => (Message::Bye(input.head()?), 6),
        _ => return Err(Unreadable),
    };
    input.skip(elements.checked_sub(read).ok_or(Unreadable)?)?;
    if input.0.is_empty() { Ok(message) } else { Err(Unreadable) }
}

/// What is left to be read.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    fn head(&mut self) -> Result<Head, Unreadable> {
        let node = self.node()?;
        let interval = Duration::from_millis(self.uint()?);
        Ok(Head { node, interval, version: self.uint()?, digest: self.uint()? })
    }

    fn missing(&mut self) -> Result<Vec<Missing>, Unreadable> {
        let count = self.array(MISSING_MAX as u32)?;
        let mut missing = Vec::new();
        for _ in 0..count {
            let elements = self.array(ELEMENTS_MAX)?;
            missing.push(Missing { node: self.node()?, known: self.uint()?, has_left: self.bool()? });
            self.skip(elements.checked_sub(3).ok_or(Unreadable)?)?;
        }
        Ok(missing)
    }

    fn list(&mut self) -> Result<List, Unreadable> {
        let machine = self.machine()?;
        let (from, to) = (self.uint()?, self.uint()?);
        let count = self.array(ITEMS_MAX)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.item()?);
        }
        let is_in_order = items.iter().map(|item| item.version).is_sorted_by(|a, b| a < b);
        let is_within = items.first().is_none_or(|first| first.version > from) && items.last().is_none_or(|last| last.version <= to);
        if is_in_order && is_within && from <= to { Ok(List { machine, from, to, items }) } else { Err(Unreadable) }
    }

    fn item(&mut self) -> Result<Item, Unreadable> {
        let elements = self.array(ELEMENTS_MAX)?;
        let id = AgentId::new(self.text()?).map_err(|_| Unreadable)?;
        let version = self.uint()?;
        if elements == 2 {
            return Ok(Item { id, version, told: None });
        }
        let incarnation = self.uint()?;
        let state = State::of_number(self.uint()?).ok_or(Unreadable)?;
        let reason = Reason::of_number(u8::try_from(self.uint()?).map_err(|_| Unreadable)?);
        let age = Duration::from_millis(self.uint()?);
        let axes = self.axes()?;
        let card = if self.nil() { None } else { Some(Arc::new(self.card(id.clone())?)) };
        self.skip(elements.checked_sub(8).ok_or(Unreadable)?)?;
        Ok(Item { id, version, told: Some(Told { incarnation, state, reason, age, axes, card }) })
    }

    fn axes(&mut self) -> Result<Axes, Unreadable> {
        let elements = self.array(ELEMENTS_MAX)?;
        let (reachable, ready) = (self.bool()?, self.bool()?);
        let busy = u8::try_from(self.uint()?).ok().filter(|busy| *busy <= 100).ok_or(Unreadable)?;
        let healthy = if self.nil() { None } else { Some(self.bool()?) };
        self.skip(elements.checked_sub(4).ok_or(Unreadable)?)?;
        Ok(Axes { reachable, ready, busy, healthy })
    }

    fn card(&mut self, id: AgentId) -> Result<AgentCard, Unreadable> {
        let elements = self.array(ELEMENTS_MAX)?;
        let kind = self.text()?.into();
        let subject = Subject::new(self.text()?).map_err(|_| Unreadable)?;
        let in_flight_max = Some(self.uint()?).filter(|max| *max > 0).map(u32::try_from).transpose().map_err(|_| Unreadable)?;
        let payload_bytes_max = Some(self.uint()?).filter(|max| *max > 0);
        let (mut capabilities, mut metadata) = (Vec::new(), Vec::new());
        for _ in 0..self.array(CARD_CAPABILITIES_MAX as u32)? {
            capabilities.push(self.text()?.into());
        }
        for _ in 0..self.array(CARD_METADATA_MAX as u32)? {
            if self.array(2)? != 2 {
                return Err(Unreadable);
            }
            metadata.push((self.text()?.into(), self.text()?.into()));
        }
        self.skip(elements.checked_sub(6).ok_or(Unreadable)?)?;
        let limits = AgentLimits { in_flight_max, payload_bytes_max };
        let card = AgentCard { id, kind, subject, capabilities, limits, metadata };
        card.check().map_err(|_| Unreadable)?;
        Ok(card)
    }

    fn machine(&mut self) -> Result<Arc<str>, Unreadable> {
        let text = self.text()?;
        let is_legal = text.len() <= MACHINE_BYTES_MAX && !text.chars().any(char::is_control);
        if is_legal { Ok(text.into()) } else { Err(Unreadable) }
    }

    fn node(&mut self) -> Result<NodeId, Unreadable> {
        self.uint().map(NodeId)
    }

    fn array(&mut self, max: u32) -> Result<u32, Unreadable> {
        read_array_len(&mut self.0).ok().filter(|count| *count <= max).ok_or(Unreadable)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let len = read_str_len(&mut self.0).map_err(|_| Unreadable)?;
        str::from_utf8(self.take(len)?).map_err(|_| Unreadable)
    }

    fn uint(&mut self) -> Result<u64, Unreadable> {
        read_int(&mut self.0).map_err(|_| Unreadable)
    }

    fn bool(&mut self) -> Result<bool, Unreadable> {
        read_bool(&mut self.0).map_err(|_| Unreadable)
    }

    /// Reads a nil, if that is what comes next.
    fn nil(&mut self) -> bool {
        let mut rest = self.0;
        let is_nil = read_nil(&mut rest).is_ok();
        if is_nil {
            self.0 = rest;
        }
        is_nil
    }

    /// Reads over values of any kind and depth, without recursion.
    fn skip(&mut self, values: u32) -> Result<(), Unreadable> {
        // Each value takes at least one byte, so the input bounds the loop whatever counts it declares.
        let mut values = u64::from(values);
        while values > 0 {
            values -= 1;
            let (len, nested) = self.extent()?;
            self.take(len)?;
            values += nested;
        }
        Ok(())
    }

    /// Reads the head of any value: how many bytes of its own follow, and how many values are nested in it.
    fn extent(&mut self) -> Result<(u32, u64), Unreadable> {
        let marker = Marker::from_u8(*self.0.first().ok_or(Unreadable)?);
        let own = |len| Ok((len, 0));
        match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => own(1),
            Marker::U8 | Marker::I8 => own(2),
            Marker::U16 | Marker::I16 | Marker::FixExt1 => own(3),
            Marker::FixExt2 => own(4),
            Marker::U32 | Marker::I32 | Marker::F32 => own(5),
            Marker::FixExt4 => own(6),
            Marker::U64 | Marker::I64 | Marker::F64 => own(9),
            Marker::FixExt8 => own(10),
            Marker::FixExt16 => own(18),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => own(read_str_len(&mut self.0).map_err(|_| Unreadable)?),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => own(read_bin_len(&mut self.0).map_err(|_| Unreadable)?),
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => own(read_ext_meta(&mut self.0).map_err(|_| Unreadable)?.size),
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => Ok((0, read_array_len(&mut self.0).map_err(|_| Unreadable)?.into())),
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => Ok((0, u64::from(read_map_len(&mut self.0).map_err(|_| Unreadable)?) * 2)),
            Marker::Reserved => Err(Unreadable),
        }
    }

    fn take(&mut self, len: u32) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = usize::try_from(len).ok().and_then(|len| self.0.split_at_checked(len)).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }
}
