//! A request on its way through a service, and the bytes it becomes.

use bytes::Bytes;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Bus, ReplyTo};

/// Ties a reply to its request on one connection. Frames of ours carry it as eight bytes.
pub(super) type Correlation = u64;

/// The correlation as a wire frame: flags MORE, length 8, value.
pub(super) const CORRELATION_FRAME_BYTES: usize = 10;

/// A request that waits or is being served.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Body,
    pub(super) reply: Option<ReplyTo>,
}

/// Where the reply to an outstanding request goes, and in which form.
#[derive(Debug)]
pub(super) struct Owed {
    reply: Option<ReplyTo>,
    /// The caller is bus-native: it knows no envelope, so the delimiter is removed for it.
    is_blob: bool,
    /// The caller's envelope up to and including the delimiter, kept only where a fail-fast reply may need it.
    envelope: Option<Frames>,
}

impl Request {
    /// Whether a REP would take it: an empty frame must end the envelope and something follow it, or libzmq drops the message as malformed. Such
    /// a request must not be sent, for its window would never be given back.
    pub(super) fn has_delimiter(&self) -> bool {
        match &self.body {
            Body::Blob(_) => true,
            Body::Frames(frames) => frames.slices().take(frames.count() as usize - 1).any(<[u8]>::is_empty),
        }
    }

    /// The frames an agent is to see, its own envelope excepted.
    pub(super) fn frames(&self) -> Frames {
        match &self.body {
            Body::Frames(frames) => frames.clone(),
            Body::Blob(blob) => Frames::from_parts([&b""[..], blob]).expect("two frames are some"),
        }
    }

    /// The bytes it holds while it waits; of frames, their headers too, which are all there is of an empty one.
    pub(super) fn len(&self) -> usize {
        match &self.body {
            Body::Blob(blob) => blob.len(),
            Body::Frames(frames) => frames.packed().len(),
        }
    }

    /// The same request, holding no memory but its own, to wait with.
    pub(super) fn detached(mut self) -> Self {
        self.body = detached_body(self.body);
        self
    }

    /// Gives up the body and keeps what the reply needs.
    pub(super) fn owed(self, keep_envelope: bool) -> Owed {
        Owed {
            is_blob: matches!(self.body, Body::Blob(_)),
            envelope: if keep_envelope { envelope(&self.body) } else { None },
            reply: self.reply,
        }
    }
}

impl Owed {
    /// Where its reply goes.
    pub(super) fn reply(&self) -> Option<&ReplyTo> {
        self.reply.as_ref()
    }

    /// Whether somebody waits for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.reply.as_ref().is_some_and(is_awaited)
    }

    /// Hands the agent's frames, ours removed, to the caller.
    pub(super) fn settle(self, bus: &Bus, frames: Frames) {
        if let Some(reply) = self.reply {
            reply.respond(bus, in_callers_form(self.is_blob, frames));
        }
    }

    /// Answers with `text` instead of the agent.
    pub(super) fn fail(self, bus: &Bus, text: &Bytes) {
        let Some(reply) = self.reply else { return };
        reply.respond(bus, failure(self.envelope.filter(|_| !self.is_blob), text));
    }
}

/// What is answered instead of an agent: the text behind the caller's envelope, or alone to a bus-native caller.
pub(super) fn failure(envelope: Option<Frames>, text: &Bytes) -> Body {
    let Some(envelope) = envelope else { return Body::Blob(text.clone()) };
    let parts: Vec<Bytes> = envelope.iter().chain([text.clone()]).collect();
    Body::Frames(Frames::from_parts(parts).expect("the text is a frame"))
}

/// A body that owns nothing but itself.
pub(super) fn detached_body(body: Body) -> Body {
    match body {
        Body::Frames(frames) => Body::Frames(crate::routes::detached(frames)),
        Body::Blob(blob) if blob.len() <= crate::routes::COPY_TO_WAIT_BYTES_MAX => Body::Blob(Bytes::copy_from_slice(&blob)),
        blob @ Body::Blob(_) => blob,
    }
}

/// Whether whoever waits for the reply is still there, as far as can be known: of a caller beyond the bus it cannot.
pub(super) fn is_awaited(reply: &ReplyTo) -> bool {
    reply.caller().is_none_or(|caller| !caller.gone.is_cancelled())
}

/// The frames of a reply as its caller expects them: verbatim, or for a bus-native caller without the delimiter.
pub(super) fn in_callers_form(is_blob: bool, frames: Frames) -> Body {
    if !is_blob {
        return Body::Frames(frames);
    }
    let (first, rest) = frames.split_first();
    let content = match rest {
        Some(rest) if first.is_empty() => rest,
        _ => frames,
    };
    if content.count() == 1 { Body::Blob(content.first()) } else { Body::Frames(content) }
}

/// The caller's envelope up to and including the delimiter, in memory of its own.
pub(super) fn envelope(body: &Body) -> Option<Frames> {
    let Body::Frames(frames) = body else { return None };
    let mut parts = Vec::new();
    for frame in frames.iter() {
        let is_delimiter = frame.is_empty();
        parts.push(frame);
        if is_delimiter {
            return Frames::from_parts(parts);
        }
    }
    None
}

/// The frame that stands before a request to a REP: flags MORE, length, value.
pub(super) fn correlation_frame(correlation: Correlation) -> [u8; CORRELATION_FRAME_BYTES] {
    let mut frame = [1, size_of::<Correlation>() as u8, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[2..].copy_from_slice(&correlation.to_be_bytes());
    frame
}

/// Splits what a REP returned into our correlation and the rest, which is the caller's.
pub(super) fn split_correlation(frames: &Frames) -> Option<(Correlation, Frames)> {
    let (first, rest) = frames.split_first();
    Some((Correlation::from_be_bytes(first[..].try_into().ok()?), rest?))
}
