//! One connection: the task that reads, keeps time and ends it. What reading does is in [`Session`], writing is in the outlet.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::ListenerConfig;
use super::client::Client;
use super::liveness::{Check, Liveness};
use super::protocol::{Info, PING, Parsed, ProtocolError, error_line, parse};
use super::session::{Progress, Session};
use crate::Pressure;
use crate::outlet::OutletError;

/// Bytes asked for by one read: starts small, since most clients say little, and follows what reads bring.
const READ_BYTES_MIN: usize = 2 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

/// How long a client that broke the protocol may go on sending: closing with unread bytes resets the connection, and the reset may overtake the
/// error line.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) config: Arc<ListenerConfig>,
    pub(super) client: Arc<Client>,
    pub(super) session: Session,
    pub(super) draining: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug)]
enum End {
    /// The client closed it.
    Left,
    Read(io::Error),
    Outlet(OutletError),
    Protocol(ProtocolError),
    SlowConsumer,
    Stale,
    Draining,
}

/// What woke the connection's task.
enum Event {
    Read(io::Result<usize>),
    Outlet(OutletError),
    Attention,
    Time,
    Relieved,
    Draining,
}

impl Connection {
    /// Serves the connection to its end.
    pub(super) async fn run(mut self, stream: TcpStream, info: Info<'_>) {
        let (mut reader, writer) = stream.into_split();
        self.client.say(&info.to_line());
        self.client.outlet.attach(writer);
        let end = self.serve(&mut reader, &info).await;
        self.report(&end);
        let is_lingering = matches!(end, End::Protocol(_));
        // The socket's write side closes with the last reference to the client.
        drop(self);
        if is_lingering {
            linger(&mut reader).await;
        }
    }

    async fn serve(&mut self, reader: &mut OwnedReadHalf, info: &Info<'_>) -> End {
        let client = Arc::clone(&self.client);
        // Made once and polled on: what they register stays registered while the connection lives.
        let mut driving = pin!(client.outlet.drive());
        let mut attention = pin!(client.attention.notified());
        let draining = self.draining.clone();
        let mut draining = pin!(draining.cancelled());
        let now = Instant::now();
        let mut liveness = Liveness::new(self.config.ping_interval, self.config.pings_missed_max, now);
        let mut time = pin!(sleep_until(now + self.config.ping_interval));
        let mut pressed: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        let mut input = Input::new();

        let end = loop {
            let event = tokio::select! {
                read = input.fill(reader), if pressed.is_none() => Event::Read(read),
                () = relieved(&mut pressed), if pressed.is_some() => Event::Relieved,
                error = &mut driving => Event::Outlet(error),
                () = &mut attention => Event::Attention,
                () = &mut time => Event::Time,
                () = &mut draining => Event::Draining,
            };
            match event {
                Event::Read(Ok(0)) => break End::Left,
                Event::Read(Ok(_)) => {
                    liveness.hear(Instant::now());
                    match input.process(&mut self.session) {
                        Ok(pressure) => pressed = pressure.map(|pressure| Box::pin(pressure.relieved()) as _),
                        Err(error) => break End::Protocol(error),
                    }
                }
                Event::Read(Err(error)) => break End::Read(error),
                Event::Outlet(error) => return End::Outlet(error),
                Event::Relieved => pressed = None,
                Event::Attention => {
                    if client.is_slow() {
                        break End::SlowConsumer;
                    }
                    self.session.forget_exhausted();
                    attention.set(client.attention.notified());
                }
                // Held back by its receivers, the client is not read, and its silence says nothing.
                Event::Time if pressed.is_some() => {
                    let now = Instant::now();
                    liveness.hear(now);
                    time.as_mut().reset(now + self.config.ping_interval);
                }
                Event::Time => match liveness.check(Instant::now()) {
                    Check::Later(at) => time.as_mut().reset(at),
                    Check::Ask(at) => {
                        client.say(PING);
                        time.as_mut().reset(at);
                    }
                    Check::Stale => break End::Stale,
                },
                Event::Draining => break End::Draining,
            }
        };

        let last_words = match &end {
            End::Protocol(error) => Some(error_line(error.text())),
            End::Stale => Some(error_line("Stale Connection")),
            End::Draining => Some(Info { is_draining: true, ..info.clone() }.to_line()),
            // A slow consumer has been told, at the end of the last message that was queued for it.
            End::Left | End::Read(_) | End::Outlet(_) | End::SlowConsumer => None,
        };
        if let Some(line) = last_words {
            client.say(&line);
        }
        self.session.unsubscribe_all();
        if !matches!(end, End::Left | End::Read(_)) {
            tokio::select! {
                () = client.outlet.flushed() => {}
                _ended = &mut driving => {}
                () = tokio::time::sleep(self.config.close_grace) => {}
            }
        }
        client.outlet.close();
        end
    }

    fn report(&self, end: &End) {
        let metrics = &self.config.metrics;
        let client = self.client.id;
        match end {
            End::Left => debug!(client, "client left"),
            End::Draining => debug!(client, "client closed by drain"),
            End::Read(error) => debug!(client, %error, "read failed"),
            End::Outlet(error) => debug!(client, %error, "write failed"),
            // Counted where it was found.
            End::SlowConsumer => warn!(client, dropped = self.client.outlet.dropped(), "slow consumer cut off"),
            End::Stale => {
                metrics.stale.inc();
                warn!(client, "stale connection cut off");
            }
            End::Protocol(error) => {
                metrics.protocol_errors.inc();
                warn!(client, %error, "client broke the protocol");
            }
        }
    }
}

async fn relieved(pressed: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    if let Some(relief) = pressed {
        relief.await;
    }
}

/// Reads on until the client has stopped sending, for a moment.
async fn linger(reader: &mut OwnedReadHalf) {
    let mut discarded = vec![0; READ_BYTES_MIN];
    let read_out = async { while matches!(reader.read(&mut discarded).await, Ok(1..)) {} };
    // A client that still sends after that has not waited for the error line.
    let _read = timeout(LINGER, read_out).await;
}

/// What has been read and not carried out yet.
struct Input {
    buffer: BytesMut,
    /// Bytes with which it makes sense to parse.
    wanted: usize,
    read_bytes: usize,
}

impl Input {
    fn new() -> Self {
        Self { buffer: BytesMut::new(), wanted: 1, read_bytes: READ_BYTES_MIN }
    }

    /// Reads more. Nothing is lost if the future is dropped.
    async fn fill(&mut self, reader: &mut OwnedReadHalf) -> io::Result<usize> {
        let missing = self.wanted.saturating_sub(self.buffer.len());
        // Room grows with what has arrived, not with what was declared.
        let room = missing.min(self.buffer.len().max(READ_BYTES_MAX)).max(self.read_bytes);
        if self.buffer.is_empty() && self.buffer.capacity() > 4 * room {
            self.buffer = BytesMut::new();
        }
        self.buffer.reserve(room);
        let read = reader.read_buf(&mut self.buffer).await?;
        if read >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if read < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
        Ok(read)
    }

    /// Carries out what is complete. Payloads become slices of the buffer; what is left over moves to a new one.
    fn process(&mut self, session: &mut Session) -> Result<Option<Pressure>, ProtocolError> {
        if self.buffer.len() < self.wanted {
            return Ok(None);
        }
        // The start of one large message stays where it is until it is complete: each of its bytes is moved at most once.
        if let Parsed::Incomplete { wanted } = parse(&self.buffer, session.payload_bytes_max())? {
            self.wanted = wanted;
            return Ok(None);
        }
        let chunk = self.buffer.split().freeze();
        let Progress { consumed, wanted, pressure, error } = session.read(&chunk);
        if let Some(error) = error {
            return Err(error);
        }
        self.buffer.extend_from_slice(&chunk[consumed..]);
        self.wanted = wanted;
        Ok(pressure)
    }
}
