//! The consumers in their turn. Synchronous, behind one lock of the route; an outlet's lock may be taken under it, never the other way round.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use myelin_bus::streams::{Job, Lease};
use myelin_bus::wire::Frames;
use tokio::time::Instant;

use super::super::super::frames_of;
use super::seat::{BYTES_MAX, MESSAGES_MAX, Part, Patience, Seat};
use crate::front::Peer;

/// Who is there.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// In turn order; the next to be given a message is in front.
    turn: VecDeque<u64>,
    places: HashMap<u64, Place>,
    /// What consumers have taken and the keeper is to ack, by consumer.
    pub(super) taken: Vec<(u64, Part)>,
    /// What is to be given more time.
    pub(super) extending: Vec<Lease>,
}

/// A consumer's connection with its seat.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) peer: Arc<Peer>,
    pub(super) seat: Seat,
}

/// What one consumer is to be sent.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) peer: Arc<Peer>,
    pub(super) frames: Vec<Frames>,
}

impl Place {
    /// Messages and bytes that it may be given now. What waits for its socket counts, whatever it says: a consumer may answer for what has not left
    /// yet, and would be given more for ever without reading any of it.
    fn room(&self, now: Instant, patience: &Patience) -> (usize, usize) {
        let (messages, bytes) = self.seat.room(now, patience);
        if messages == 0 {
            return (0, 0);
        }
        let waiting = self.peer.outlet().queued();
        let room = (messages.min(MESSAGES_MAX.saturating_sub(waiting.messages)), bytes.min(BYTES_MAX.saturating_sub(waiting.bytes)));
        if room.0 > 0 && room.1 > 0 { room } else { (0, 0) }
    }
}

impl Line {
    pub(super) fn enter(&mut self, place: Place) {
        let id = place.peer.id().get();
        self.turn.push_back(id);
        self.places.insert(id, place);
    }

    pub(super) fn leave(&mut self, id: u64) -> Option<Place> {
        self.turn.retain(|other| *other != id);
        self.places.remove(&id)
    }

    pub(super) fn seat(&mut self, id: u64) -> Option<&mut Seat> {
        self.places.get_mut(&id).map(|place| &mut place.seat)
    }

    pub(super) fn places(&mut self) -> impl Iterator<Item = &mut Place> {
        self.places.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn unfenced(&self) -> usize {
        self.places.values().filter(|place| place.seat.is_unfenced()).count()
    }

    /// Messages in the hands of all.
    pub(super) fn held(&self) -> usize {
        self.places.values().map(|place| place.seat.held().0).sum()
    }

    /// Messages and bytes that all together may be given now.
    pub(super) fn room(&self, now: Instant, patience: &Patience) -> (usize, usize) {
        let rooms = self.places.values().map(|place| place.room(now, patience));
        rooms.fold((0, 0), |sum, room| (sum.0 + room.0, sum.1 + room.1))
    }

    /// Gives each message to the next consumer with room. Those that nobody has room for are returned.
    pub(super) fn give(&mut self, jobs: Vec<Job>, now: Instant, patience: &Patience) -> (Vec<Parcel>, Vec<Job>) {
        let mut parcels: HashMap<u64, Parcel> = HashMap::new();
        let mut left = Vec::new();
        for job in jobs {
            let Some(id) = self.next(now, patience) else {
                left.push(job);
                continue;
            };
            let Some(place) = self.places.get_mut(&id) else { continue };
            let frames = frames_of(job.body());
            place.seat.give(job.into_lease(), frames.packed().len(), now);
            let parcel = parcels.entry(id).or_insert_with(|| Parcel { peer: Arc::clone(&place.peer), frames: Vec::new() });
            parcel.frames.push(frames);
        }
        (parcels.into_values().collect(), left)
    }

    /// Whose turn it is, of those with room; it goes to the end.
    fn next(&mut self, now: Instant, patience: &Patience) -> Option<u64> {
        for _ in 0..self.turn.len() {
            self.turn.rotate_left(1);
            let id = *self.turn.back()?;
            if self.places.get(&id).is_some_and(|place| place.room(now, patience).0 > 0) {
                return Some(id);
            }
        }
        None
    }
}
