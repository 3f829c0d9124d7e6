//! One call: to which node, how often, and what its caller hears in the end.

use super::address::Address;
use super::dial::is_refusal;
use super::fate::{Fate, fate_of};
use super::node::{NoLease, Node};
use super::script;
use super::topology::Topology;
use crate::store::StoreError;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause before a call is tried again, at first and at most. A slot that moves is there in a moment; a replica is elected in seconds.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MOST: Duration = Duration::from_millis(200);
/// Redirections followed at once. A cluster that sends us round in circles is asked again later.
const HOPS_MAX: u32 = 4;
/// Calls are charged in these units, and smaller ones not at all: their number is bounded already.
const CHARGE_BYTES: usize = 4096;

/// What may be done about a call that may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing: try again.
    Read,
    /// Running twice is harmless: try again.
    Harmless,
    /// Running twice is not: its caller has to decide.
    Never,
}

/// Sends calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) topology: Topology,
    retry_for: Duration,
    /// Bytes of calls under way, in units of `CHARGE_BYTES`.
    budget: Semaphore,
    budget_units: u32,
    pub(super) closed: CancellationToken,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Command(&'a Cmd),
    Script(&'a script::Call),
}

#[derive(Debug, Clone)]
enum Target {
    Map,
    Moved(Address),
    Asked(Address),
}

/// How an attempt failed: without a byte sent, or with an error in place of an answer.
enum Failed {
    NoLease(NoLease),
    Answer(RedisError),
}

impl Caller {
    pub(super) fn new(topology: Topology, retry_for: Duration, in_flight_bytes_max: usize) -> Self {
        let budget_units = u32::try_from((in_flight_bytes_max / CHARGE_BYTES).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let budget = Semaphore::new(budget_units as usize);
        Self { topology, retry_for, budget, budget_units, closed: CancellationToken::new() }
    }

    /// A command for a slot, and the node that answered.
    ///
    /// # Cancel safety
    /// The command may or may not run.
    pub(super) async fn command(&self, slot: u16, command: &Cmd, repeat: Repeat) -> Result<(Value, Arc<Node>), StoreError> {
        // Nearly every call is answered at once by the node that the map names. Whatever else may be needed is apart, and its future is not carried along.
        let mut failed = None;
        if let Some(node) = self.topology.node_of(slot) {
            match quick(&node, command).await {
                Some(Ok(value)) => return Ok((value, node)),
                Some(Err(error)) => failed = Some((Failed::Answer(error), node)),
                None => {}
            }
        }
        Box::pin(self.send(slot, What::Command(command), repeat, failed)).await
    }

    /// A script for a slot.
    ///
    /// # Cancel safety
    /// The script may or may not run.
    pub(super) async fn script(&self, slot: u16, call: &script::Call, repeat: Repeat) -> Result<Value, StoreError> {
        self.script_by(slot, call, repeat).await.map(|(value, _)| value)
    }

    /// A script for a slot, and the node that answered.
    ///
    /// # Cancel safety
    /// The script may or may not run.
    pub(super) async fn script_by(&self, slot: u16, call: &script::Call, repeat: Repeat) -> Result<(Value, Arc<Node>), StoreError> {
        let charge = self.charge(call.bytes()).await;
        let outcome = self.send(slot, What::Script(call), repeat, None).await;
        drop(charge);
        outcome
    }

    /// A place within the bound on bytes. One call that is larger than the bound is admitted alone.
    async fn charge(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes / CHARGE_BYTES).unwrap_or(u32::MAX).min(self.budget_units);
        if units == 0 {
            return None;
        }
        // Never closed, so this never fails.
        self.budget.acquire_many(units).await.ok()
    }

    /// Sends what has not been sent, or has `failed` the first time.
    async fn send(
        &self,
        slot: u16,
        what: What<'_>,
        repeat: Repeat,
        mut failed: Option<(Failed, Arc<Node>)>,
    ) -> Result<(Value, Arc<Node>), StoreError> {
        let deadline = Instant::now() + self.retry_for;
        let (mut target, mut hops, mut pause, mut long, mut may_have_run) = (Target::Map, 0, PAUSE_FIRST, false, false);
        let mut reason: Box<str>;
        loop {
            let begun = match failed.take() {
                Some((failed, node)) => Some((Err(failed), node)),
                None => {
                    let node = match &target {
                        Target::Map => self.topology.node_of(slot),
                        Target::Moved(address) | Target::Asked(address) => Some(self.topology.node_at(address)),
                    };
                    match node {
                        Some(node) => Some((attempt(&node, what, long, matches!(target, Target::Asked(_))).await, node)),
                        None => None,
                    }
                }
            };
            if let Some((answer, node)) = begun {
                let failed = match answer {
                    Ok(value) => return Ok((value, node)),
                    Err(failed) => failed,
                };
                let fate = match &failed {
                    Failed::NoLease(NoLease::Closed) if self.closed.is_cancelled() => return Err(StoreError::Closed),
                    Failed::NoLease(NoLease::Connect(error)) if is_refusal(error) => Fate::Forbidden,
                    Failed::NoLease(_) => Fate::Later,
                    Failed::Answer(error) => fate_of(error, &node.address),
                };
                reason = format!("{}: {failed}", node.address).into();
                match fate {
                    Fate::NoScript if !long => {
                        long = true;
                        continue;
                    }
                    Fate::Moved(address) if hops < HOPS_MAX => {
                        self.topology.complain();
                        (target, hops) = (Target::Moved(address), hops + 1);
                        continue;
                    }
                    Fate::Asked(address) if hops < HOPS_MAX => {
                        (target, hops) = (Target::Asked(address), hops + 1);
                        continue;
                    }
                    Fate::Lost => match repeat {
                        Repeat::Never => {
                            self.topology.complain();
                            return Err(StoreError::Unknown(reason));
                        }
                        Repeat::Harmless => may_have_run = true,
                        Repeat::Read => {}
                    },
                    Fate::Full => return Err(StoreError::Full(reason)),
                    Fate::Forbidden => return Err(StoreError::Unavailable(format!("settings user and password: {reason}").into())),
                    Fate::Failed if repeat == Repeat::Read => return Err(StoreError::Damaged(reason)),
                    Fate::Failed => return Err(StoreError::Unknown(reason)),
                    Fate::Later | Fate::NoScript | Fate::Moved(_) | Fate::Asked(_) => {}
                }
            } else {
                reason = format!("no node is known to have slot {slot}").into();
            }
            if self.closed.is_cancelled() {
                return Err(StoreError::Closed);
            }
            self.topology.complain();
            if Instant::now() + pause >= deadline {
                break;
            }
            tokio::time::sleep(pause / 2 + pause.mul_f64(fastrand::f64() / 2.0)).await;
            (target, hops, pause) = (Target::Map, 0, (pause * 2).min(PAUSE_MOST));
        }
        Err(if may_have_run { StoreError::Unknown(reason) } else { StoreError::Unavailable(reason) })
    }
}

async fn attempt(node: &Node, what: What<'_>, long: bool, asking: bool) -> Result<Value, Failed> {
    let mut lease = node.lease().await.map_err(Failed::NoLease)?;
    let answer = match what {
        What::Command(command) => exchange(&mut lease.connection, command, asking).await,
        What::Script(call) if long => exchange(&mut lease.connection, &call.long(), asking).await,
        What::Script(call) => exchange(&mut lease.connection, &call.short(), asking).await,
    };
    answer.map_err(|error| {
        if fate_of(&error, &node.address) == Fate::Lost {
            node.lost(&lease);
        }
        Failed::Answer(error)
    })
}

/// One exchange over the connection for such; `None`: it could not be had, and nothing was sent.
async fn quick(node: &Node, command: &Cmd) -> Option<Result<Value, RedisError>> {
    let mut lease = node.quick.lease().await?;
    let answer = exchange(lease.connection()?, command, false).await;
    if answer.as_ref().is_err_and(|error| fate_of(error, &node.address) == Fate::Lost) {
        lease.lost();
    }
    Some(answer)
}

async fn exchange(connection: &mut MultiplexedConnection, command: &Cmd, asking: bool) -> Result<Value, RedisError> {
    if !asking {
        return connection.send_packed_command(command).await?.extract_error();
    }
    // In one piece, so that nobody's command gets between the two.
    let mut both = redis::pipe();
    both.cmd("ASKING").add_command(command.clone());
    let answers = connection.send_packed_commands(&both, 0, 2).await?;
    let answer = answers.into_iter().nth(1).ok_or_else(|| RedisError::from((redis::ErrorKind::Parse, "one answer to two commands")))?;
    answer.extract_error()
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoLease(NoLease::Connect(error)) => write!(f, "cannot connect: {error}"),
            Self::NoLease(NoLease::Busy) => f.write_str("too many calls are under way (setting in_flight_max)"),
            Self::NoLease(NoLease::Closed) => f.write_str("the connections were closed"),
            Self::Answer(error) if error.is_timeout() => f.write_str("no answer in time (setting response_timeout)"),
            Self::Answer(error) => error.fmt(f),
        }
    }
}
