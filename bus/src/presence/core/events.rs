//! What watchers are to be told of.

use super::super::{Agent, State};

/// One thing that changed.
#[derive(Debug, Clone)]
pub(in crate::presence) enum Event {
    /// Somebody is seen differently, or for the first time.
    Changed { agent: Agent, before: Option<State> },
    /// Somebody is not kept any more.
    Forgotten(Agent),
}

/// Events of one call into the core, if anybody wants them.
#[derive(Debug, Default)]
pub(super) struct Events {
    list: Vec<Event>,
    are_wanted: bool,
}

impl Events {
    pub(super) fn want(&mut self, are_wanted: bool) {
        self.are_wanted = are_wanted;
    }

    pub(super) fn are_wanted(&self) -> bool {
        self.are_wanted
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.list)
    }

    /// Notes the difference between two looks at one agent of one node.
    pub(super) fn change(&mut self, before: Option<Agent>, after: Option<Agent>) {
        if !self.are_wanted {
            return;
        }
        match (before, after) {
            (Some(before), Some(after)) if is_same(&before, &after) => {}
            (before, Some(agent)) => self.list.push(Event::Changed { agent, before: before.map(|before| before.state) }),
            (Some(before), None) => self.list.push(Event::Forgotten(before)),
            (None, None) => {}
        }
    }
}

fn is_same(before: &Agent, after: &Agent) -> bool {
    before.incarnation == after.incarnation
        && before.state == after.state
        && before.reason == after.reason
        && before.axes == after.axes
        && before.card == after.card
        && before.machine == after.machine
}
