//! A service's place on the bus: taken with the first agent, and told to other machines while an agent is connected.
//!
//! Requests of this machine wait here for an agent that is away, as they would in a socket of libzmq that was told to connect to it. Those of other
//! machines must not: somebody else may serve them.

use myelin_bus::InlineSubscription;
use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(super) struct OnBus(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    subscription: Option<InlineSubscription>,
    agents: usize,
}

impl OnBus {
    /// Takes the place, if it is not taken yet.
    pub(super) fn join(&self, subscribe: impl FnOnce() -> Option<InlineSubscription>) {
        let mut state = self.0.lock();
        if state.subscription.is_none() {
            state.subscription = subscribe();
            state.tell();
        }
    }

    /// An agent has come.
    pub(super) fn attached(&self) {
        let mut state = self.0.lock();
        state.agents += 1;
        state.tell();
    }

    /// An agent has gone.
    pub(super) fn detached(&self) {
        let mut state = self.0.lock();
        state.agents -= 1;
        state.tell();
    }

    /// Gives the place up.
    pub(super) fn leave(&self) {
        let left = self.0.lock().subscription.take();
        // Outside of the lock: what it ends may come back here.
        drop(left);
    }
}

impl State {
    fn tell(&self) {
        if let Some(subscription) = &self.subscription {
            subscription.set_exported(self.agents > 0);
        }
    }
}
