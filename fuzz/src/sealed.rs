//! The data phase of CURVE: frames that are sealed right, and what can be wrong with them.

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use myelin_bridge_zmq::codec::CodecError;
use myelin_bridge_zmq::codec::curve::{Opener, Sealer};
use salsabox::BoxKey;

use crate::boxes::{nonce, open, seal};
use crate::data::{Settings, decode_sealed, model};
use crate::zmtp::{Data, Name, frame, named};

#[derive(Debug, Arbitrary)]
pub enum Sealed {
    Frame {
        more: bool,
        is_long: bool,
        payload: Vec<u8>,
    },
    Command {
        name: Name,
        body: Vec<u8>,
    },
    /// Any flags in the box.
    Flags {
        flags: u8,
        payload: Vec<u8>,
    },
    /// Sealed right, and one bit changed afterwards.
    Mangled {
        at: u16,
        bit: u8,
        payload: Vec<u8>,
    },
    /// What went before it once more.
    Again,
    /// Numbers that nothing was sealed with.
    Skips(u16),
    /// Something that is not sealed, whole or not.
    Open(Data),
}

/// One end's way to seal and the other's to open.
pub struct Way {
    pub key: BoxKey,
    pub prefix: &'static [u8; 16],
    pub count: u64,
}

/// What a peer sends.
#[derive(Debug, Default)]
pub struct Sent {
    pub bytes: Vec<u8>,
    /// What a reader has to make of it: whole open frames, and how that ends.
    plain: Vec<u8>,
    end: End,
    /// Everything that was sealed right, also behind that end.
    all: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    #[default]
    Fine,
    Refused,
    Flags(u8),
    /// Framing may be lost, or not.
    Unsure,
}

impl Way {
    pub fn send(mut self, data: &[Sealed]) -> Sent {
        let (mut sent, mut last) = (Sent::default(), Vec::new());
        for item in data {
            match item {
                Sealed::Frame { more, is_long, payload } => {
                    let (flags, long) = (u8::from(*more), u8::from(*is_long) << 1);
                    let sealed = self.seal(&mut sent, flags, payload);
                    last = frame(long, &sealed);
                    sent.bytes.extend_from_slice(&last);
                    sent.opens(&frame(flags, payload));
                }
                Sealed::Command { name, body } => {
                    let payload = named(name.bytes(), body);
                    last = frame(0, &self.seal(&mut sent, 2, &payload));
                    sent.bytes.extend_from_slice(&last);
                    sent.opens(&frame(4, &payload));
                }
                Sealed::Flags { flags, payload } => {
                    last = frame(0, &self.seal(&mut sent, *flags, payload));
                    sent.bytes.extend_from_slice(&last);
                    match flags {
                        0 | 1 => sent.opens(&frame(*flags, payload)),
                        2 => sent.opens(&frame(4, payload)),
                        _ => sent.ends(End::Flags(*flags)),
                    }
                }
                Sealed::Mangled { at, bit, payload } => {
                    let sealed = self.seal(&mut sent, 0, payload);
                    last = frame(0, &sealed);
                    let (at, header) = (usize::from(*at) % last.len(), last.len() - sealed.len());
                    last[at] ^= 1 << (bit % 8);
                    sent.bytes.extend_from_slice(&last);
                    sent.ends(if at < header { End::Unsure } else { End::Refused });
                    sent.opens(&frame(0, payload));
                }
                Sealed::Again if !last.is_empty() => {
                    sent.bytes.extend_from_slice(&last);
                    sent.ends(End::Refused);
                }
                Sealed::Again => {}
                Sealed::Skips(count) => self.count = self.count.saturating_add(u64::from(*count)),
                Sealed::Open(data) => {
                    let bytes = data.bytes();
                    sent.bytes.extend_from_slice(&bytes);
                    if !bytes.is_empty() {
                        sent.ends(End::Unsure);
                    }
                }
            }
        }
        sent
    }

    fn seal(&mut self, sent: &mut Sent, flags: u8, payload: &[u8]) -> Vec<u8> {
        match self.count.checked_add(1) {
            Some(count) => self.count = count,
            None => sent.ends(End::Refused),
        }
        let count = self.count.to_be_bytes();
        let sealed = seal(&self.key, &nonce(self.prefix, &count), &[&[flags][..], payload].concat());
        [&b"\x07MESSAGE"[..], &count, &sealed].concat()
    }

    /// What we seal opens at the other end, numbered without a gap, as what it was.
    pub fn check(self, sealer: &mut Sealer, sent: &Sent) {
        let mut out = bytes::BytesMut::new();
        sealer.seal(&sent.all, &mut out);
        let (mut rest, mut opened, mut count) = (&out[..], Vec::new(), self.count);
        while let [flags, length, ..] = rest {
            let (from, length) = match flags & 2 {
                0 => (2, usize::from(*length)),
                _ => (9, u64::from_be_bytes(rest[1..9].try_into().expect("eight bytes")) as usize),
            };
            let (body, after) = rest[from..].split_at(length);
            rest = after;
            count += 1;
            assert_eq!((&body[..8], &body[8..16]), (&b"\x07MESSAGE"[..], &count.to_be_bytes()[..]));
            let plain = open(&self.key, &nonce(self.prefix, &body[8..16]), &body[16..]);
            opened.extend_from_slice(&frame(if plain[0] == 2 { 4 } else { plain[0] }, &plain[1..]));
        }
        assert_eq!(opened, sent.all, "sealed as something else");
    }
}

impl Sent {
    fn opens(&mut self, frame: &[u8]) {
        self.all.extend_from_slice(frame);
        if self.end == End::Fine {
            self.plain.extend_from_slice(frame);
        }
    }

    fn ends(&mut self, end: End) {
        if self.end == End::Fine {
            self.end = end;
        }
    }

    /// Nothing of `bytes` is read.
    pub fn check_refused(settings: Settings, opener: Opener, cuts: &[u8], bytes: &[u8]) {
        let decoded = decode_sealed(settings, opener, cuts, bytes);
        assert!(decoded.messages.is_empty() && decoded.commands.is_empty(), "{decoded:?}");
        assert!(decoded.end.is_err());
    }

    /// Our reading of `bytes` agrees with a slow reading of what was sealed.
    pub fn check(&self, settings: Settings, opener: Opener, cuts: &[u8], bytes: &[u8]) {
        let decoded = decode_sealed(settings, opener, cuts, bytes);
        let expected = model(settings, &self.plain);
        if expected.end.is_err() || self.end == End::Fine {
            assert_eq!(decoded, expected, "the model reads it otherwise");
            return;
        }
        if self.end == End::Unsure {
            let all = model(settings, &self.all);
            assert!(decoded.messages.starts_with(&expected.messages) && all.messages.starts_with(&decoded.messages));
            assert!(decoded.commands.starts_with(&expected.commands) && all.commands.starts_with(&decoded.commands));
            return;
        }
        assert_eq!((&decoded.messages, &decoded.commands), (&expected.messages, &expected.commands), "the model reads it otherwise");
        match self.end {
            End::Flags(flags) => assert_eq!(decoded.end, Err(CodecError::ReservedFlags { flags })),
            _ => assert!(matches!(decoded.end, Err(CodecError::Sealed { .. })), "{:?}", decoded.end),
        }
    }
}
