//! The data phase of one connection: turns of its task, each for one thing that happened. No task switch lies between a read and the handler.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use myelin_bus::Pressure;
use myelin_bus::outlet::OutletError;
use tokio::time::{Instant, sleep_until};

use super::connection::SocketContext;
use super::heartbeat::{Due, Heartbeat};
use super::intake::{Input, Intake};
use super::stream::Reader;
use super::{DisconnectReason, Peer};
use crate::codec;
use crate::codec::curve::Opener;

/// A connection without input for this long gives back what it keeps for the next.
const IDLE: Duration = Duration::from_secs(10);

/// While input never ends, every n-th turn looks at everything else first.
const FAIR_TURNS: u32 = 16;

/// Input after which a connection lets others have the thread: a thousand small messages. The runtime's own budget counts reads, not what they cost; a
/// peer that publishes without pause would keep everybody else waiting for a tenth of a second at a time.
const YIELD_BYTES: usize = 64 * 1024;

enum Event {
    Read(io::Result<Input>),
    Relieved,
    Left,
    Closed,
    Outlet(OutletError),
    Timer,
}

pub(super) struct Conversation<'a> {
    context: &'a SocketContext,
    peer: &'a Arc<Peer>,
    intake: Intake<'a>,
    heartbeat: Heartbeat,
    read_since_timer: bool,
}

impl<'a> Conversation<'a> {
    /// Starts with what the handshake left over, `input`.
    pub(super) fn new(context: &'a SocketContext, peer: &'a Arc<Peer>, input: BytesMut, opener: Option<Opener>) -> Self {
        let heartbeat = context.config.heartbeat.filter(|_| peer.answers_pings());
        Self {
            context,
            peer,
            intake: Intake::new(context, peer, input, opener),
            heartbeat: Heartbeat::new(heartbeat, Instant::now()),
            read_since_timer: false,
        }
    }

    /// Until it ends, and why it did.
    pub(super) async fn run(mut self, reader: &mut Reader) -> DisconnectReason {
        match self.serve(reader).await {
            Ok(never) => match never {},
            Err(reason) => reason,
        }
    }

    async fn serve(&mut self, reader: &mut Reader) -> Result<Infallible, DisconnectReason> {
        let peer = self.peer;
        // Created once: a turn then costs a check of each, not a registration.
        let mut closed = pin!(peer.token.cancelled());
        let mut drive = pin!(peer.outlet().drive());
        let mut relief = self.on_input()?.map(relief_of);
        let mut timer = pin!(sleep_until(self.deadline()));
        let mut read_since_yield = 0;
        let mut has_left = false;
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
                    if !has_left && let Poll::Ready(error) = drive.as_mut().poll(cx) {
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
                    let (pressure, n) = match read.map_err(DisconnectReason::Read)? {
                        Input::Bytes(n) => (self.on_read(n)?, n),
                        Input::HeldBack(pressure) => (self.hold_back(Some(pressure)), 0),
                    };
                    relief = pressure.map(relief_of);
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
                // What it said before is still meant, and its place among the connections is what bounds how much of that waits: the end is read
                // when its turn comes.
                Event::Left => {
                    peer.leave();
                    has_left = true;
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

    /// The next input: relief while there is pressure, or that the peer has left meanwhile; else bytes.
    async fn input(&mut self, reader: &mut Reader, relief: &mut Option<Relief>) -> Event {
        if let Some(relief) = relief {
            if self.peer.has_left() {
                relief.await;
                return Event::Relieved;
            }
            return tokio::select! {
                biased;
                () = relief => Event::Relieved,
                () = reader.ended() => Event::Left,
            };
        }
        Event::Read(self.intake.read(reader).await)
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

    fn on_input(&mut self) -> Result<Option<Pressure>, DisconnectReason> {
        let pressure = self.intake.hand_over(&mut self.heartbeat)?;
        if self.peer.is_closing() {
            return Err(self.peer.take_reason().unwrap_or(DisconnectReason::Shutdown));
        }
        Ok(self.hold_back(pressure))
    }

    fn hold_back(&mut self, pressure: Option<Pressure>) -> Option<Pressure> {
        if pressure.is_some() {
            self.context.metrics.read_pauses.inc();
            self.heartbeat.suspend(Instant::now());
        }
        pressure
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
            self.intake.release();
        }
        Ok(())
    }

    /// When to look at the clock again.
    fn deadline(&self) -> Instant {
        let idle = Instant::now() + if self.intake.is_held() { IDLE } else { IDLE * 6 };
        self.heartbeat.deadline().map_or(idle, |deadline| deadline.min(idle))
    }
}

type Relief = Pin<Box<dyn Future<Output = ()> + Send>>;

fn relief_of(pressure: Pressure) -> Relief {
    Box::pin(pressure.relieved())
}
