//! What the targets `codec`, `session` and `curve` demand of the data phase.

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use myelin_bridge_zmq::codec::curve::Opener;
use myelin_bridge_zmq::codec::{COMMAND_BYTES_MAX, Codec, CodecError, CodecLimits, Command, FramesLimit, MessageLimit, Upstream};
use myelin_wire::Body;

/// Small limits, so that short inputs reach them.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub struct Settings {
    message_bytes_max: u16,
    frames_max: u8,
    publishes: bool,
}

/// What a codec made of its input.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    pub messages: Vec<Vec<Bytes>>,
    pub commands: Vec<Command>,
    pub end: Result<(), CodecError>,
}

/// What a sealed frame has more than an open one, at most: name, nonce, tag and flags in a box, and a longer header.
const SEAL_BYTES_MAX: usize = 33 + 9;

impl Settings {
    fn limits(self) -> CodecLimits {
        CodecLimits {
            message: MessageLimit::new(usize::from(self.message_bytes_max) + 1).expect("far below the ceiling"),
            frames: FramesLimit::new(u32::from(self.frames_max) + 1).expect("below the ceiling"),
        }
    }

    fn upstream(self) -> Upstream {
        if self.publishes { Upstream::Subscriptions } else { Upstream::Messages }
    }
}

/// Whole, in pieces and by the model: all three agree.
pub fn check(settings: Settings, cuts: &[u8], input: &[u8]) {
    let whole = decode(settings, &[], input);
    let pieces = decode(settings, cuts, input);
    assert_eq!(whole, pieces, "depends on where the input was cut");
    assert_eq!(whole, model(settings, input), "the model reads it otherwise");
}

fn decode(settings: Settings, cuts: &[u8], input: &[u8]) -> Decoded {
    feed(Codec::new(settings.limits(), settings.upstream()), settings, cuts, input)
}

/// The same for a session whose frames are sealed.
#[allow(dead_code, reason = "only the target curve seals")]
pub fn decode_sealed(settings: Settings, opener: Opener, cuts: &[u8], input: &[u8]) -> Decoded {
    feed(Codec::sealed(settings.limits(), settings.upstream(), opener), settings, cuts, input)
}

/// Feeds the input in pieces of the given lengths, again and again; in one piece where there are none.
fn feed(mut codec: Codec, settings: Settings, cuts: &[u8], input: &[u8]) -> Decoded {
    let limits = settings.limits();
    let (mut messages, mut commands) = (Vec::new(), Vec::new());
    let mut buffer = BytesMut::new();
    let mut end = Ok(());
    for piece in pieces(cuts, input) {
        buffer.extend_from_slice(piece);
        end = codec.handle(&mut buffer, &mut messages, &mut commands);
        if end.is_err() {
            break;
        }
        assert!(codec.missing() >= 1, "a read of nothing");
        let message_max = limits.message.get() + 9 * limits.frames.get() as usize;
        assert!(codec.held() <= message_max, "{} bytes held", codec.held());
        assert!(buffer.len() <= message_max.max(9 + COMMAND_BYTES_MAX) + SEAL_BYTES_MAX, "{} bytes left", buffer.len());
    }
    let messages = messages.into_iter().map(|body| match body {
        Body::Frames(frames) => {
            let list: Vec<Bytes> = frames.iter().collect();
            assert_eq!(list.len(), frames.count() as usize);
            assert!(frames.payload_len() <= limits.message.get() && frames.count() <= limits.frames.get());
            list
        }
        Body::Blob(_) => panic!("a message of ZMTP is made of frames"),
    });
    Decoded { messages: messages.collect(), commands, end }
}

/// Cuts an input; a length of 0 counts as 256.
pub fn pieces<'a>(cuts: &'a [u8], mut input: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut lengths = cuts.iter().map(|cut| if *cut == 0 { 256 } else { usize::from(*cut) }).cycle();
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        let (piece, rest) = input.split_at(lengths.next().unwrap_or(input.len()).min(input.len()));
        input = rest;
        Some(piece)
    })
}

/// RFC 37 read slowly: one frame after the other, everything copied.
pub fn model(settings: Settings, mut input: &[u8]) -> Decoded {
    let limits = settings.limits();
    let mut decoded = Decoded { messages: Vec::new(), commands: Vec::new(), end: Ok(()) };
    let mut message: Vec<Bytes> = Vec::new();
    loop {
        let Some(&flags) = input.first() else { return decoded };
        let (more, long, command) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
        if flags > 7 {
            decoded.end = Err(CodecError::ReservedFlags { flags });
            return decoded;
        }
        if command && more {
            decoded.end = Err(CodecError::CommandMore);
            return decoded;
        }
        let (header, declared) = match (long, input.get(1), input.get(1..9)) {
            (false, Some(length), _) => (2, u64::from(*length)),
            (true, _, Some(length)) => (9, u64::from_be_bytes(length.try_into().expect("eight bytes"))),
            _ => return decoded,
        };
        if command && declared > COMMAND_BYTES_MAX as u64 {
            decoded.end = Err(CodecError::CommandTooLarge { declared, limit: COMMAND_BYTES_MAX });
            return decoded;
        }
        if !command {
            let limit = limits.message.get();
            let together = message.iter().map(|frame| frame.len() as u64).sum::<u64>().saturating_add(declared);
            if together > limit as u64 {
                decoded.end = Err(CodecError::MessageTooLarge { declared: together, limit });
                return decoded;
            }
            let limit = limits.frames.get();
            if message.len() as u32 + 1 + u32::from(more) > limit {
                decoded.end = Err(CodecError::TooManyFrames { limit });
                return decoded;
            }
        }
        let Some(payload) = input.get(header..header + declared as usize) else { return decoded };
        input = &input[header + declared as usize..];
        if command {
            match read_command(payload) {
                Ok(command) => decoded.commands.extend(command),
                Err(name) => {
                    decoded.end = Err(CodecError::MalformedCommand { name });
                    return decoded;
                }
            }
            continue;
        }
        message.push(Bytes::copy_from_slice(payload));
        if !more {
            let message = std::mem::take(&mut message);
            if settings.publishes && matches!(message[0].first(), Some(0 | 1)) {
                decoded.commands.extend(message.iter().filter_map(|frame| match frame.first()? {
                    0 => Some(Command::Cancel(frame.slice(1..))),
                    1 => Some(Command::Subscribe(frame.slice(1..))),
                    _ => None,
                }));
            } else {
                decoded.messages.push(message);
            }
        }
    }
}

fn read_command(payload: &[u8]) -> Result<Option<Command>, &'static str> {
    let (&length, rest) = payload.split_first().ok_or("unnamed")?;
    let (name, body) = rest.split_at_checked(usize::from(length)).filter(|(name, _)| !name.is_empty()).ok_or("unnamed")?;
    let bytes = Bytes::copy_from_slice;
    Ok(Some(match name {
        b"PING" => {
            let (ttl, context) = body.split_at_checked(2).ok_or("PING")?;
            let deciseconds = u64::from(ttl[0]) << 8 | u64::from(ttl[1]);
            let ttl = (deciseconds > 0).then(|| std::time::Duration::from_millis(100 * deciseconds));
            Command::Ping { ttl, context: bytes(&context[..context.len().min(16)]) }
        }
        b"PONG" => Command::Pong { context: bytes(body) },
        b"SUBSCRIBE" => Command::Subscribe(bytes(body)),
        b"CANCEL" => Command::Cancel(bytes(body)),
        b"ERROR" => {
            let (&length, rest) = body.split_first().ok_or("ERROR")?;
            let reason = rest.get(..usize::from(length)).ok_or("ERROR")?;
            Command::Error { reason: String::from_utf8_lossy(reason).escape_debug().to_string().into() }
        }
        _ => return Ok(None),
    }))
}
