//! A pipeline whose messages are on the disk between producer and consumer.
//!
//! The path of a message: `Producers::received` → [`intake`] (what was read gathers, and is stored by one task) → the stream
//! `PIPELINE_<name>` → [`delivery`] (one task leases, and gives to the consumers in turn) → the outlet of a consumer → its PONG → [`keeper`]
//! (one task acks). What NATS clients publish on `zmq.pipeline.<name>` enters the same stream by its capture; what producers push is not
//! published on the subject, so it is stored once and whoever listens there does not see it.
//!
//! Promises:
//! - **At least once from the moment it is stored.** A PUSH is told nothing, so what is in its own queue, on the wire or just read is not promised;
//!   at a graceful stop what was read is stored. Frames come out in number, order and content as they went in.
//! - **Nothing is dropped.** A full stream or disk holds the producers back: their sockets are not read.
//! - **Order** of one producer is kept up to the first consumer that takes each message, while nothing comes again.
//! - **Taken is what a PONG says.** Behind what was written to a consumer goes a PING with a context of ours, at most [`BARRIERS_MAX`] of
//!   them unanswered; its PONG acks everything written before it. That is in the hands of the peer's library then: what dies in there dies.
//!
//! Which consumer has failed: one that shows no progress for `ack_wait` while it has messages; progress is a PONG of ours, or bytes of ours that its
//! socket took. Progress gives all its messages `ack_wait` once more, so a slow consumer that goes on keeps them. One that shows none gets nothing
//! more after half of `ack_wait`, and after all of it the stream gives what it has to the next, as another delivery; `deliveries_max` of them make a dead
//! letter. A PONG that comes all the same acks what nobody has acked by then, and once all that it had is acked the consumer is in the turn again: a PULL over its high-water
//! mark (it reads nothing until its program has taken half of it) keeps what it has, if there is no other. A connection that ends gives back
//! what it had at once.
//!
//! Who answers no PING, a peer of ZMTP 3.0 or one that left the first barrier unanswered for as long as a handshake may take, is served *at most
//! once*: what its socket took is acked. Such peers are counted, marked (`Peer::is_at_most_once`) and told of by `myelin zmq` and `doctor`.
//!
//! Cost per message of `n` bytes: two copies on the way in (into the stored form, into the log's batch), one on the way out (from the log's file; the frames
//! are sent from there); one allocation for the stored form, two to decode; an index entry of about 150 bytes. Per batch (what one read or one lease
//! brought, up to 1 MiB): one lock of the stream, one write and one sync shared by all streams' publishers and acks of that moment, one
//! `write` per consumer with the PING in it, one PONG, one ack record; wakeups: the storing task, the log's thread, the leasing task, the keeper.

mod consumers;
mod delivery;
mod intake;
mod keeper;
mod line;
mod seat;
mod start;
mod store;

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::outlet::Queued;
use myelin_bus::streams::Name;
use myelin_bus::wire::Subject;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::consumers::Consumers;
use self::intake::{Intake, Producers};
use self::store::Kept;
use super::super::{RouteContext, RouteError};
use crate::front::PeerHandler;

pub use self::store::{DurableConfig, stream_name};

/// Barriers of one connection that may be unanswered: while the peer takes what is before the first, the next part is on its way.
const BARRIERS_MAX: usize = 2;

/// Who is there, and what is in their hands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineStatus {
    /// Consumers that are connected.
    pub consumers: usize,
    /// Those of them that answer no PING, so that what is written to them counts as delivered.
    pub at_most_once: usize,
    /// Messages in the hands of consumers, or being acked.
    pub in_hand: usize,
    /// What was read from producers and is not stored yet.
    pub unstored: Queued,
}

/// The part of a [`Pipeline`](super::Pipeline) that keeps its messages. Dropping it ends its tasks.
#[derive(Debug)]
pub(super) struct Durable {
    stream: Name,
    intake: Arc<Intake>,
    consumers: Arc<Consumers>,
    leasing: CancellationToken,
    linger: Duration,
    _end: DropGuard,
}

impl Durable {
    pub(super) async fn open(context: &RouteContext, name: &str, subject: &Subject, config: DurableConfig) -> Result<Self, RouteError> {
        let kept = Kept::new(context.bus.clone(), name, subject.clone(), config);
        let consumer = start::begin(&kept).await?;
        let stream = kept.stream().clone();
        let ack_wait = kept.ack_wait();
        let kept = Arc::new(kept);
        let end = CancellationToken::new();
        let leasing = end.child_token();
        let intake = Arc::new(Intake::new(Arc::clone(&kept), context.metrics.clone()));
        let consumers = Arc::new(Consumers::new(context, ack_wait));
        let (begun, begins) = watch::channel(false);
        let (beginning, store) = (Arc::clone(&consumers), Arc::clone(&kept));
        spawn(context, &end, async move {
            let consumer = match consumer {
                Some(consumer) => consumer,
                None => start::begin_late(&store).await,
            };
            beginning.begin(consumer);
            begun.send_replace(true);
        });
        spawn(context, &end, once(begins.clone(), intake::store(Arc::clone(&intake))));
        spawn(context, &leasing, once(begins.clone(), delivery::deliver(Arc::clone(&consumers), kept)));
        spawn(context, &end, once(begins, keeper::settle(Arc::clone(&consumers))));
        spawn(context, &end, keeper::look_after(Arc::clone(&consumers)));
        let linger = context.front.config().linger;
        Ok(Self { stream, intake, consumers, leasing, linger, _end: end.drop_guard() })
    }

    pub(super) fn stream(&self) -> &Name {
        &self.stream
    }

    pub(super) fn producers(&self) -> Arc<dyn PeerHandler> {
        Arc::new(Producers(Arc::clone(&self.intake)))
    }

    pub(super) fn consumers(&self) -> Arc<dyn PeerHandler> {
        self.consumers.clone()
    }

    pub(super) fn unstored(&self) -> Queued {
        self.intake.unstored()
    }

    pub(super) fn status(&self) -> PipelineStatus {
        let (consumers, at_most_once, in_hand) = self.consumers.counts();
        PipelineStatus { consumers, at_most_once, in_hand, unstored: self.intake.unstored() }
    }

    /// Stops reading, stores what was read, stops leasing, and gives consumers a moment for their PONGs.
    pub(super) async fn finish(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        self.intake.stop();
        let is_stored = tokio::time::timeout_at(end, self.intake.stored()).await.is_ok();
        self.leasing.cancel();
        // Whoever does not answer by then gets its messages again after the next start, which is no fault of the stop.
        let patience = end.min(Instant::now() + self.linger);
        drop(tokio::time::timeout_at(patience, self.consumers.idle()).await);
        is_stored
    }
}

/// Does it once the stream is there.
async fn once(mut begins: watch::Receiver<bool>, task: impl Future<Output = ()> + Send) {
    // Without a sender everything has ended.
    if begins.wait_for(|begun| *begun).await.is_ok() {
        task.await;
    }
}

fn spawn(context: &RouteContext, end: &CancellationToken, task: impl Future<Output = ()> + Send + 'static) {
    let end = end.clone();
    context.front.spawn(async move {
        end.run_until_cancelled_owned(task).await;
    });
}
