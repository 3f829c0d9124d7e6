//! Following who comes and goes, in a queue that is bounded: who is too slow begins anew.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::core::Event;
use super::service::Hub;
use super::{Agent, State};

/// Events that wait for one watcher.
const EVENTS_MAX: usize = 4_096;

/// Bytes of the cards of those, which nobody else may hold any more.
const BYTES_MAX: usize = 4 << 20;

/// What a watcher learns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PresenceEvent {
    /// Everybody that is known now. The first event, and whenever the watcher was too slow for single ones.
    Resync(Vec<Agent>),
    /// Somebody is seen differently, or for the first time.
    Changed {
        /// As it is now.
        agent: Agent,
        /// The state before; none for somebody new.
        before: Option<State>,
    },
    /// Somebody is not kept any more, neither as living nor as gone.
    Forgotten {
        /// As it was last.
        agent: Agent,
    },
}

/// Everything that changes, from a list of everybody on. Dropping it ends the watching.
#[derive(Debug)]
pub struct Watch {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
}

/// What waits for one watcher.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Event>,
    bytes: usize,
    /// What waited was thrown away, or nothing has been read yet.
    is_behind: bool,
    is_over: bool,
}

impl Watch {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let queue = Arc::new(Queue { state: Mutex::new(Waiting { is_behind: true, ..Waiting::default() }), wake: Notify::new() });
        hub.add_watcher(&queue);
        Self { hub, queue }
    }

    /// The next event, or `None` when presence has ended with its bus.
    ///
    /// # Cancel safety
    /// Nothing is lost: an event is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<PresenceEvent> {
        loop {
            let woken = self.queue.wake.notified();
            if let Some(next) = self.take() {
                return next;
            }
            woken.await;
        }
    }

    /// What is there now; `Some(None)` at the end.
    fn take(&self) -> Option<Option<PresenceEvent>> {
        let is_behind = self.queue.state.lock().is_behind;
        if is_behind {
            return Some(Some(PresenceEvent::Resync(self.hub.everybody_for(&self.queue))));
        }
        let mut state = self.queue.state.lock();
        let Some(event) = state.events.pop_front() else { return state.is_over.then_some(None) };
        state.bytes -= cost(&event);
        Some(Some(match event {
            Event::Changed { agent, before } => PresenceEvent::Changed { agent, before },
            Event::Forgotten(agent) => PresenceEvent::Forgotten { agent },
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.remove_watcher(&self.queue);
    }
}

impl Queue {
    /// Adds events; returns whether the watcher has just fallen behind.
    pub(super) fn push(&self, events: &[Event]) -> bool {
        let mut state = self.state.lock();
        if state.is_behind {
            // All of it will be in the list.
            return false;
        }
        for event in events {
            state.bytes += cost(event);
            state.events.push_back(event.clone());
        }
        let is_full = state.events.len() > EVENTS_MAX || state.bytes > BYTES_MAX;
        if is_full {
            *state = Waiting { is_behind: true, is_over: state.is_over, ..Waiting::default() };
        }
        drop(state);
        self.wake.notify_one();
        is_full
    }

    /// From now on single events count again.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        *state = Waiting { is_over: state.is_over, ..Waiting::default() };
    }

    /// There will be none any more.
    pub(super) fn end(&self) {
        self.state.lock().is_over = true;
        self.wake.notify_one();
    }
}

/// Everybody who watches.
#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Weak<Queue>>);

impl Watchers {
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        self.0.push(Arc::downgrade(queue));
    }

    pub(super) fn remove(&mut self, queue: &Arc<Queue>) {
        self.0.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(queue)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells everybody; returns how many have fallen behind by it.
    pub(super) fn tell(&self, events: &[Event]) -> usize {
        self.0.iter().filter_map(Weak::upgrade).filter(|queue| queue.push(events)).count()
    }

    pub(super) fn end(&self) {
        self.0.iter().filter_map(Weak::upgrade).for_each(|queue| queue.end());
    }
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Changed { agent, .. } | Event::Forgotten(agent) => agent.card.len_bytes(),
    }
}
