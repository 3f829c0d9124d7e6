//! The task of one established connection.
//!
//! Per read batch: one `recv`, one pass of the codec, one call of the handler; no allocation while reads are small, no task switch. The buffer
//! is only taken once the socket is readable, and a read that leaves room tells the runtime that the socket is drained, so there is no extra
//! system call that would block.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use myelin_bus::Pressure;
use myelin_bus::outlet::{OutletError, Seal};
use myelin_bus::wire::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

use super::budget::{Budget, Share, Spent};
use super::buffer::ReadBuffer;
use super::establish::Established;
use super::heartbeat::{Due, Heartbeat};
use super::peers::Peers;
use super::stream::Reader;
use super::tag::Tag;
use super::{DisconnectReason, FrontConfig, Peer, PeerHandler, SubscriptionChange};
use crate::codec::curve::{Opener, Sealer, Transform};
use crate::codec::{self, Codec, Command, SocketType, Upstream};
use crate::metrics::{DisconnectKind, Metrics};

/// A connection without input for this long gives its read buffer back.
const IDLE: Duration = Duration::from_secs(10);

/// While input never ends, every n-th turn looks at everything else first.
const FAIR_TURNS: u32 = 16;

/// Input after which a connection lets others have the thread: a thousand small messages. The runtime's own budget counts reads, not what they cost; a
/// peer that publishes without pause would keep everybody else waiting for a tenth of a second at a time.
const YIELD_BYTES: usize = 64 * 1024;

/// Room for decoded messages that is kept between reads; a flood of empty messages would otherwise leave megabytes behind.
const BATCH_RETAINED_MAX: usize = 1024;

/// PONGs gathered before they are sent without waiting for the end of the batch.
const PONG_BYTES_MAX: usize = 8 * 1024;

/// What the sockets of one listener or connector have in common.
pub(super) struct SocketContext {
    pub(super) socket: SocketType,
    pub(super) handler: Arc<dyn PeerHandler>,
    pub(super) config: Arc<FrontConfig>,
    pub(super) metrics: Metrics,
    pub(super) incomplete: Budget,
    pub(super) queued: myelin_bus::outlet::Budget,
    pub(super) peers: Arc<Peers>,
    pub(super) tag: Arc<Tag>,
}

enum Event {
    Read(io::Result<usize>),
    Relieved,
    Closed,
    Outlet(OutletError),
    Timer,
}

struct Connection<'a> {
    context: &'a SocketContext,
    peer: &'a Arc<Peer>,
    codec: Codec,
    buffer: ReadBuffer,
    incomplete: Share,
    messages: Vec<Body>,
    commands: Vec<Command>,
    pongs: Vec<u8>,
    heartbeat: Heartbeat,
    read_since_timer: bool,
}

/// Serves a connection from the end of its handshake to its end.
pub(super) async fn run(established: Established, peer: &Arc<Peer>, context: &SocketContext) {
    let (mut reader, writer) = established.stream.into_split();
    let opener = established.transform.map(|Transform { sealer, opener }| {
        peer.outlet().seal_with(Box::new(Sealing(Mutex::new(sealer))));
        opener
    });
    peer.outlet().attach(writer);
    let guard = Guard { peer, context };
    context.metrics.connections.inc();
    context.metrics.connections_opened.inc();
    context.peers.enter(peer);
    context.handler.connected(peer);
    let reason = Connection::new(context, peer, established.input, opener).run(&mut reader).await;
    if matches!(reason, DisconnectReason::Closed { .. } | DisconnectReason::HandedOver { .. } | DisconnectReason::Shutdown) {
        let patience = context.config.linger;
        linger(peer, patience, context.peers.linger_until(patience)).await;
    }
    peer.finish(&reason);
    // Others may hold the peer, and with it the socket, for a while; the far end must not wait for them.
    if let Err(error) = reader.shutdown() {
        debug!(peer = %peer.id(), %error, "shutdown failed, the socket is already gone");
    }
    guard.finish(&reason);
}

/// The outlet writes for one producer at a time, so the lock is never waited for.
struct Sealing(Mutex<Sealer>);

impl Seal for Sealing {
    fn seal(&self, plain: &[u8], out: &mut BytesMut) {
        self.0.lock().seal(plain, out);
    }
}

/// Writes what is queued before the socket closes: not beyond `until`, and not for a peer that reads nothing for as long as `patience`.
async fn linger(peer: &Peer, patience: Duration, until: Instant) {
    let mut written = std::pin::pin!(async {
        tokio::select! {
            () = peer.outlet().flushed() => {}
            _ = peer.outlet().drive() => {}
        }
    });
    loop {
        let before = peer.outlet().queued();
        let look = until.min(Instant::now() + patience);
        if timeout_at(look, written.as_mut()).await.is_ok() {
            return;
        }
        let left = peer.outlet().queued();
        if look == until || left == before {
            debug!(peer = %peer.id(), queued = ?left, "closed with messages in the queue");
            return;
        }
    }
}

impl<'a> Connection<'a> {
    fn new(context: &'a SocketContext, peer: &'a Arc<Peer>, input: BytesMut, opener: Option<Opener>) -> Self {
        let upstream = if context.socket.publishes() { Upstream::Subscriptions } else { Upstream::Messages };
        let heartbeat = context.config.heartbeat.filter(|_| peer.answers_pings());
        Self {
            context,
            peer,
            codec: match opener {
                None => Codec::new(context.config.codec_limits(), upstream),
                Some(opener) => Codec::sealed(context.config.codec_limits(), upstream, opener),
            },
            buffer: ReadBuffer::new(input),
            incomplete: context.incomplete.share(),
            messages: Vec::new(),
            commands: Vec::new(),
            pongs: Vec::new(),
            heartbeat: Heartbeat::new(heartbeat, Instant::now()),
            read_since_timer: false,
        }
    }

    async fn run(mut self, reader: &mut Reader) -> DisconnectReason {
        match self.serve(reader).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    async fn serve(&mut self, reader: &mut Reader) -> Result<std::convert::Infallible, DisconnectReason> {
        let peer = self.peer;
        // Created once: a turn then costs a check of each, not a registration.
        let mut closed = pin!(peer.token.cancelled());
        let mut drive = pin!(peer.outlet().drive());
        let mut relief = self.on_input()?.map(relief_of);
        let mut timer = pin!(sleep_until(self.deadline()));
        let mut read_since_yield = 0;
        for turn in 0u32.. {
            if read_since_yield >= YIELD_BYTES {
                read_since_yield = 0;
                tokio::task::yield_now().await;
            }
            let event = {
                let mut input = pin!(self.input(reader, &mut relief));
                let input_first = !turn.is_multiple_of(FAIR_TURNS);
                poll_fn(|cx| {
                    if input_first && let Poll::Ready(event) = input.as_mut().poll(cx) {
                        return Poll::Ready(event);
                    }
                    if closed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Closed);
                    }
                    if let Poll::Ready(error) = drive.as_mut().poll(cx) {
                        return Poll::Ready(Event::Outlet(error));
                    }
                    if timer.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Event::Timer);
                    }
                    if input_first { Poll::Pending } else { input.as_mut().poll(cx) }
                })
                .await
            };
            match event {
                Event::Read(read) => {
                    let n = read.map_err(DisconnectReason::Read)?;
                    relief = self.on_read(n)?.map(relief_of);
                    read_since_yield += n;
                    // A PING may have brought the next deadline forward; every other input only moves it back, which the timer finds out itself.
                    if let Some(due) = self.heartbeat.deadline().filter(|due| *due < timer.deadline()) {
                        timer.as_mut().reset(due);
                    }
                }
                Event::Relieved => {
                    relief = None;
                    self.heartbeat.resume(Instant::now());
                }
                Event::Closed => return Err(peer.take_reason().unwrap_or(DisconnectReason::Shutdown)),
                Event::Outlet(error) => return Err(peer.take_reason().unwrap_or(DisconnectReason::Outlet(error))),
                Event::Timer => {
                    self.on_timer()?;
                    timer.as_mut().reset(self.deadline());
                }
            }
        }
        Err(DisconnectReason::Shutdown)
    }

    /// The next input: relief while there is pressure, else bytes.
    async fn input(&mut self, reader: &mut Reader, relief: &mut Option<Relief>) -> Event {
        if let Some(relief) = relief {
            relief.await;
            return Event::Relieved;
        }
        Event::Read(self.read(reader).await)
    }

    async fn read(&mut self, reader: &mut Reader) -> io::Result<usize> {
        reader.readable().await?;
        self.buffer.prepare(self.codec.missing());
        let n = reader.read_buf(&mut self.buffer.bytes).await?;
        self.buffer.after_read(n);
        Ok(n)
    }

    fn on_read(&mut self, n: usize) -> Result<Option<Pressure>, DisconnectReason> {
        if n == 0 {
            return Err(DisconnectReason::PeerClosed);
        }
        self.read_since_timer = true;
        let now = Instant::now();
        self.heartbeat.on_input(now);
        self.peer.traffic.on_read(n, now);
        self.context.metrics.bytes_received.inc_by(n as u64);
        self.on_input()
    }

    /// Hands over everything complete. Commands come last: a PONG of ours says that the messages before the PING were taken.
    fn on_input(&mut self) -> Result<Option<Pressure>, DisconnectReason> {
        let outcome = self.codec.handle(&mut self.buffer.bytes, &mut self.messages, &mut self.commands);
        let mut pressure = None;
        if !self.messages.is_empty() {
            self.context.metrics.messages_received.inc_by(self.messages.len() as u64);
            self.peer.traffic.on_messages(self.messages.len());
            pressure = self.context.handler.received(self.peer, &mut self.messages);
            self.messages.clear();
            self.messages.shrink_to(BATCH_RETAINED_MAX);
        }
        let mut commands = std::mem::take(&mut self.commands);
        for command in commands.drain(..) {
            self.on_command(command)?;
        }
        self.commands = commands;
        self.answer_pings(0)?;
        outcome.map_err(DisconnectReason::Protocol)?;
        let held = self.buffer.bytes.len() + self.codec.held();
        self.incomplete.hold(held).map_err(|Spent { max }| DisconnectReason::Overload { max })?;
        if self.peer.is_closing() {
            return Err(self.peer.take_reason().unwrap_or(DisconnectReason::Shutdown));
        }
        if pressure.is_some() {
            self.context.metrics.read_pauses.inc();
            self.heartbeat.suspend(Instant::now());
        }
        Ok(pressure)
    }

    fn on_command(&mut self, command: Command) -> Result<(), DisconnectReason> {
        let handler = &self.context.handler;
        match command {
            Command::Ping { ttl, context } => {
                self.heartbeat.on_ping(ttl, Instant::now());
                self.pongs.extend_from_slice(&codec::encode_pong(&context));
                self.answer_pings(PONG_BYTES_MAX)?;
            }
            // Our heartbeats carry no context; whatever has one is a barrier of the route.
            Command::Pong { context } => {
                if !context.is_empty() {
                    handler.pong(self.peer, &context);
                }
            }
            Command::Subscribe(prefix) => handler.subscription(self.peer, SubscriptionChange::Subscribe, prefix),
            Command::Cancel(prefix) => handler.subscription(self.peer, SubscriptionChange::Cancel, prefix),
            Command::Error { reason } => return Err(DisconnectReason::PeerError { reason }),
        }
        Ok(())
    }

    /// Sends the PONGs that have gathered, once they are more than `threshold` bytes: one write for all the PINGs of a read.
    fn answer_pings(&mut self, threshold: usize) -> Result<(), DisconnectReason> {
        if self.pongs.len() > threshold {
            let taken = self.peer.outlet().push_control(&self.pongs);
            self.pongs.clear();
            if !taken {
                return Err(DisconnectReason::ControlOverflow);
            }
        }
        Ok(())
    }

    fn on_timer(&mut self) -> Result<(), DisconnectReason> {
        match self.heartbeat.on_timer(Instant::now()) {
            Due::Nothing => {}
            Due::Ping => {
                if !self.peer.outlet().push_control(&codec::encode_ping(Duration::ZERO, &[])) {
                    return Err(DisconnectReason::ControlOverflow);
                }
            }
            Due::Missed => {
                let missed = self.context.config.heartbeat.map_or(0, |heartbeat| heartbeat.missed_max);
                return Err(DisconnectReason::HeartbeatMissed { missed });
            }
            Due::Expired => return Err(DisconnectReason::TtlExpired),
        }
        if !std::mem::take(&mut self.read_since_timer) {
            self.buffer.release();
            self.messages = Vec::new();
        }
        Ok(())
    }

    /// When to look at the clock again.
    fn deadline(&self) -> Instant {
        let idle = Instant::now() + if self.buffer.is_held() { IDLE } else { IDLE * 6 };
        self.heartbeat.deadline().map_or(idle, |deadline| deadline.min(idle))
    }
}

type Relief = Pin<Box<dyn Future<Output = ()> + Send>>;

fn relief_of(pressure: Pressure) -> Relief {
    Box::pin(pressure.relieved())
}

/// Tells the handler and closes the outlet however the task ends, so that nobody waits for a peer whose task is gone.
struct Guard<'a> {
    peer: &'a Arc<Peer>,
    context: &'a SocketContext,
}

impl Guard<'_> {
    fn finish(self, reason: &DisconnectReason) {
        self.leave(reason);
        std::mem::forget(self);
    }

    fn leave(&self, reason: &DisconnectReason) {
        let (peer, remote) = (self.peer.id(), self.peer.remote());
        match reason.kind() {
            // One-shot clients come and go by the thousand.
            DisconnectKind::Peer | DisconnectKind::Local => debug!(%peer, %remote, %reason, "disconnected"),
            DisconnectKind::Protocol | DisconnectKind::Overload | DisconnectKind::Slow | DisconnectKind::Silent => {
                warn!(%peer, %remote, reason = %super::chain(reason), "disconnected");
            }
        }
        self.context.metrics.connections.dec();
        self.context.metrics.disconnected(reason.kind());
        self.context.peers.leave(self.peer);
        self.context.handler.disconnected(self.peer, reason);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let reason = DisconnectReason::Closed { why: "the connection's task ended early" };
        self.peer.finish(&reason);
        self.leave(&reason);
    }
}
