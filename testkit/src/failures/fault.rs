//! What fails, and for how long.

use std::fmt;
use std::time::Duration;

use super::arena::Arena;
use super::watch::now_ms;

/// Until a killed server is started again: longer than a cluster takes to choose anew who leads.
const DOWN: Duration = Duration::from_secs(6);

/// Until a whole cluster that was killed is started again.
const ALL_DOWN: Duration = Duration::from_secs(3);

/// One thing that fails and is mended again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a NATS node that does not lead the stream of jobs, and its restart.
    KillNode,
    /// `kill -9` of the node that leads the stream of jobs, and its restart.
    KillLeader,
    /// `kill -9` of all three, and their restart.
    KillAll,
    /// The cable between this machine and everybody else is cut.
    Cut(usize, Duration),
    /// `kill -9` of this machine's sidecar, and its restart.
    KillSidecar(usize),
    /// This machine's sidecar is stopped.
    FreezeSidecar(usize, Duration),
    /// The node that leads the stream of jobs is stopped.
    FreezeLeader(Duration),
}

impl Fault {
    /// Whether a connection ends by it of which the other side learns nothing.
    pub(super) const fn cuts(&self) -> bool {
        matches!(self, Self::Cut(..) | Self::FreezeLeader(_))
    }

    /// Lets it happen under the load. Tells when it began and when it was mended.
    #[track_caller]
    pub(super) fn inflict(&self, arena: &mut Arena) -> (u64, u64) {
        let leader = match self {
            Self::KillNode | Self::KillLeader | Self::FreezeLeader(_) => arena.leader(),
            _ => 0,
        };
        let begun = now_ms();
        match *self {
            Self::KillNode => kill(arena, &[(leader + 1) % 3], DOWN),
            Self::KillLeader => kill(arena, &[leader], DOWN),
            Self::KillAll => kill(arena, &[0, 1, 2], ALL_DOWN),
            Self::Cut(machine, span) => {
                arena.hosts[machine].cable().cut();
                arena.live(span);
                arena.hosts[machine].cable().mend();
            }
            Self::KillSidecar(machine) => arena.kill_sidecar(machine),
            Self::FreezeSidecar(machine, span) => {
                arena.sidecars[machine].freeze();
                arena.live(span);
                arena.sidecars[machine].thaw();
            }
            Self::FreezeLeader(span) => {
                arena.cluster.node(leader).process().freeze();
                arena.live(span);
                arena.cluster.node(leader).process().thaw();
            }
        }
        (begun, now_ms())
    }
}

#[track_caller]
fn kill(arena: &mut Arena, nodes: &[usize], down: Duration) {
    for &node in nodes {
        arena.cluster.node(node).process().kill9();
    }
    arena.live(down);
    for &node in nodes {
        arena.cluster.node(node).restart();
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillNode => f.write_str("kill -9 of a NATS node"),
            Self::KillLeader => f.write_str("kill -9 of the stream's leader"),
            Self::KillAll => f.write_str("kill -9 of all three NATS nodes"),
            Self::Cut(machine, span) => write!(f, "machine {machine} cut off for {} s", span.as_secs()),
            Self::KillSidecar(machine) => write!(f, "kill -9 of sidecar {machine}"),
            Self::FreezeSidecar(machine, span) => write!(f, "SIGSTOP of sidecar {machine} for {} s", span.as_secs()),
            Self::FreezeLeader(span) => write!(f, "SIGSTOP of the leader for {} s", span.as_secs()),
        }
    }
}
