//! What is known of an agent: its state, why and since when, and four things that are told apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::AgentCard;
use crate::wire::AgentId;

/// Who speaks for agents: a number per start of a process, so that a restarted one is another one. Prints as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u64);

/// What is known of whether an agent is there. Exactly one of these at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It is there, by all that is known.
    Alive,
    /// It sleeps on purpose, and can be woken.
    Asleep,
    /// Nothing says that it has ended, and nothing that it works: it is silent, or whoever would know is.
    Suspect,
    /// It has ended: the machine beside it saw its connection close, and it did not come back.
    Dead,
    /// It said goodbye, or the process that spoke for it did.
    Left,
}

/// Why a state was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// It was announced.
    Announced,
    /// It said goodbye.
    Goodbye,
    /// Its connection has closed.
    ConnectionLost,
    /// Its connection is back.
    ConnectionBack,
    /// It is connected and did not answer when it was asked.
    Unanswered,
    /// It has answered, or said something by itself.
    Answered,
    /// It was put to sleep.
    PutToSleep,
    /// It was woken.
    Woken,
    /// The process that speaks for it has been silent for three of its beats.
    MachineSilent,
    /// The process that spoke for it has said goodbye.
    MachineLeft,
    /// A later incarnation of it has been announced on the same machine.
    Replaced,
    /// Of a later release.
    Other(u8),
}

/// Four things that say nothing of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axes {
    /// Messages can get to it: its connection stands.
    pub reachable: bool,
    /// It takes work, by its own word. Default: yes.
    pub ready: bool,
    /// How much of what it can take at a time it has, in per cent; at 100 it takes no more. Default: 0.
    pub busy: u8,
    /// What its last health check said, if there was one.
    pub healthy: Option<bool>,
}

/// One agent, as it is known here at one moment.
#[derive(Debug, Clone)]
pub struct Agent {
    /// What it says of itself.
    pub card: Arc<AgentCard>,
    /// Which of its lives this is; a later one has a higher number.
    pub incarnation: u64,
    /// What its machine is called.
    pub machine: Arc<str>,
    /// Who speaks for it.
    pub node: NodeId,
    /// Whether it is there.
    pub state: State,
    /// Why that is its state.
    pub reason: Reason,
    /// When it entered that state, by the clock of this process.
    pub since: Instant,
    /// What else is known.
    pub axes: Axes,
}

impl Agent {
    /// Who it is.
    pub fn id(&self) -> &AgentId {
        self.card.id()
    }

    /// For how long it has been in its state.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether it can be given work now: alive, reachable, ready, and not full.
    pub fn takes_work(&self) -> bool {
        self.state == State::Alive && self.axes.reachable && self.axes.ready && self.axes.busy < 100
    }
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Alive, Self::Asleep, Self::Suspect, Self::Dead, Self::Left];

    /// Its name: `alive`, `asleep`, `suspect`, `dead` or `left`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Asleep => "asleep",
            Self::Suspect => "suspect",
            Self::Dead => "dead",
            Self::Left => "left",
        }
    }

    /// Whether this life is over for good.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Dead | Self::Left)
    }

    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Alive => 0,
            Self::Asleep => 1,
            Self::Suspect => 2,
            Self::Dead => 3,
            Self::Left => 4,
        }
    }

    pub(super) fn of_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| u64::from(state.number()) == number)
    }
}

impl Reason {
    const KNOWN: [Self; 11] = [
        Self::Announced,
        Self::Goodbye,
        Self::ConnectionLost,
        Self::ConnectionBack,
        Self::Unanswered,
        Self::Answered,
        Self::PutToSleep,
        Self::Woken,
        Self::MachineSilent,
        Self::MachineLeft,
        Self::Replaced,
    ];

    /// A few words for people, and for `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Goodbye => "said goodbye",
            Self::ConnectionLost => "connection lost",
            Self::ConnectionBack => "connection is back",
            Self::Unanswered => "connected, but does not answer",
            Self::Answered => "answers",
            Self::PutToSleep => "put to sleep",
            Self::Woken => "woken",
            Self::MachineSilent => "machine is silent",
            Self::MachineLeft => "its process said goodbye",
            Self::Replaced => "announced again by another process",
            Self::Other(_) => "unknown reason",
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Other(number) => number,
            known => Self::KNOWN.iter().position(|reason| *reason == known).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX),
        }
    }

    pub(super) fn of_number(number: u8) -> Self {
        Self::KNOWN.get(usize::from(number)).copied().unwrap_or(Self::Other(number))
    }
}

impl Default for Axes {
    fn default() -> Self {
        Self { reachable: true, ready: true, busy: 0, healthy: None }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
