//! What a peer sends, from its bytes to the handler.
//!
//! Per read batch: one `recv`, one pass of the codec, one call of the handler; no allocation while reads are small. The buffer is only taken once
//! the socket is readable, out of the thread's spare ones, and goes back there when nothing incomplete is in it; and a read that leaves room tells the runtime that the socket is drained, so there is no extra system call that would
//! block.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use myelin_bus::Pressure;
use myelin_bus::wire::Body;
use tokio::time::Instant;

use super::budget::{Share, Spent};
use super::buffer::ReadBuffer;
use super::connection::SocketContext;
use super::heartbeat::Heartbeat;
use super::stream::Reader;
use super::{DisconnectReason, Peer, SubscriptionChange};
use crate::codec::curve::Opener;
use crate::codec::{self, Codec, Command, Upstream};

/// Room for decoded messages that is kept between reads; a flood of empty messages would otherwise leave megabytes behind.
const BATCH_RETAINED_MAX: usize = 1024;

/// PONGs gathered before they are sent without waiting for the end of the batch.
const PONG_BYTES_MAX: usize = 8 * 1024;

/// What came of the wish to read.
pub(super) enum Input {
    /// So many bytes; 0 is the end.
    Bytes(usize),
    /// The route has no room, so nothing was read.
    HeldBack(Pressure),
}

/// The inward half of one connection.
pub(super) struct Intake<'a> {
    context: &'a SocketContext,
    peer: &'a Arc<Peer>,
    codec: Codec,
    buffer: ReadBuffer,
    incomplete: Share,
    messages: Vec<Body>,
    commands: Vec<Command>,
    pongs: Vec<u8>,
}

impl<'a> Intake<'a> {
    /// Starts with what the handshake left over, `input`.
    pub(super) fn new(context: &'a SocketContext, peer: &'a Arc<Peer>, input: BytesMut, opener: Option<Opener>) -> Self {
        let upstream = if context.socket.publishes() { Upstream::Subscriptions } else { Upstream::Messages };
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
        }
    }

    /// One read, unless the route has no room for it.
    pub(super) async fn read(&mut self, reader: &mut Reader) -> io::Result<Input> {
        reader.readable().await?;
        // Asked now and not before the wait: a thousand peers may have waited for something to read.
        if let Some(pressure) = self.context.handler.held_back(self.peer) {
            return Ok(Input::HeldBack(pressure));
        }
        self.buffer.prepare(self.codec.missing());
        let n = reader.read_buf(&mut self.buffer.bytes).await?;
        self.buffer.after_read(n);
        Ok(Input::Bytes(n))
    }

    /// Hands over everything complete. Commands come last: a PONG of ours says that the messages before the PING were taken.
    pub(super) fn hand_over(&mut self, heartbeat: &mut Heartbeat) -> Result<Option<Pressure>, DisconnectReason> {
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
            self.on_command(command, heartbeat)?;
        }
        self.commands = commands;
        self.answer_pings(0)?;
        outcome.map_err(DisconnectReason::Protocol)?;
        let held = self.buffer.bytes.len() + self.codec.held();
        self.incomplete.hold(held).map_err(|Spent { max }| DisconnectReason::Overload { max })?;
        self.buffer.give_back();
        Ok(pressure)
    }

    fn on_command(&mut self, command: Command, heartbeat: &mut Heartbeat) -> Result<(), DisconnectReason> {
        let handler = &self.context.handler;
        match command {
            Command::Ping { ttl, context } => {
                heartbeat.on_ping(ttl, Instant::now());
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
            // One that has left asked before it did.
            if !taken && !self.peer.has_left() {
                return Err(DisconnectReason::ControlOverflow);
            }
        }
        Ok(())
    }

    /// Whether it holds memory that [`release`](Self::release) gives back.
    pub(super) fn is_held(&self) -> bool {
        self.messages.capacity() > 0
    }

    /// Gives back what an idle connection does not need.
    pub(super) fn release(&mut self) {
        self.buffer.forget_load();
        self.messages = Vec::new();
    }
}
