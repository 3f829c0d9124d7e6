//! The steps of a CURVE handshake as a peer takes them: right, or wrong in one way.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::boxes::{Keys, nonce, seal};
use crate::zmtp::{command, frame, named};

/// How a peer takes one step.
#[derive(Debug, Arbitrary)]
pub enum Step {
    Right,
    Flipped {
        at: u16,
        bit: u8,
    },
    Shorter {
        by: u16,
    },
    Longer(Vec<u8>),
    Twice,
    /// Its box is right and something else is in it.
    Holds(Vec<u8>),
    Counts(u64),
    /// With a key that everybody shares.
    LowOrder,
    Renamed(Vec<u8>),
    /// Something else: a step of another mechanism, for instance.
    Open {
        name: Vec<u8>,
        body: Vec<u8>,
    },
    Bytes(Vec<u8>),
    /// A client that says for whom its key of this connection is meant: for another server, or that another key of a connection is its own.
    Vouches {
        another_server: bool,
    },
}

/// What a peer knows when it takes a step.
pub struct Known<'a> {
    /// Its keys for long, and for this connection.
    pub long: &'a Keys,
    pub short: &'a Keys,
    /// Our key for long, as it believes; and the one for this connection, once we have said it.
    pub ours: [u8; 32],
    pub ours_short: [u8; 32],
    pub cookie: &'a [u8],
    pub metadata: &'a [u8],
}

/// The bytes of a step, and whether the other end takes them for right.
pub struct Taken {
    pub bytes: Vec<u8>,
    pub right: bool,
    /// The count that its box was sealed with.
    pub count: u64,
}

const NUMBER: [u8; 16] = [7; 16];
/// Where HELLO has 72 bytes that mean nothing, behind the header, the name and the version.
const PADDING: std::ops::Range<usize> = 10..82;

impl Known<'_> {
    pub fn hello(&self, step: &Step) -> Taken {
        let count = step.count(1);
        let zeros = vec![0; 64];
        let held = step.held(&zeros);
        let short = if matches!(step, Step::LowOrder) { [0; 32] } else { self.short.public };
        let sealed = seal(&self.short.with(&self.ours), &nonce(b"CurveZMQHELLO---", &count.to_be_bytes()), held);
        let body = [&[1, 0][..], &[0; 72], &short, &count.to_be_bytes(), &sealed].concat();
        step.take(b"HELLO", &body, count, *held == zeros[..])
    }

    pub fn welcome(&self, step: &Step) -> Taken {
        let plain = [&self.short.public[..], &[8; 96]].concat();
        let held = step.held(&plain);
        let sealed = seal(&self.long.with(&self.ours_short), &nonce(b"WELCOME-", &NUMBER), held);
        // The highest bit of a key means nothing.
        let same = held.len() == plain.len() && held[..31] == plain[..31] && (held[31] ^ plain[31]) & 0x7f == 0;
        step.take(b"WELCOME", &[&NUMBER[..], &sealed].concat(), 0, same)
    }

    /// `after` is the count of HELLO.
    pub fn initiate(&self, step: &Step, after: u64) -> Taken {
        let count = step.count(after.saturating_add(1));
        let vouched = match step {
            Step::Vouches { another_server: true } => [self.short.public, self.long.public],
            Step::Vouches { another_server: false } => [self.long.public, self.ours],
            _ => [self.short.public, self.ours],
        };
        let vouched = vouched.concat();
        let vouch = seal(&self.long.with(&self.ours_short), &nonce(b"VOUCH---", &NUMBER), &vouched);
        let plain = [&self.long.public[..], &NUMBER, &vouch, self.metadata].concat();
        let held = step.held(&plain);
        let sealed = seal(&self.short.with(&self.ours_short), &nonce(b"CurveZMQINITIATE", &count.to_be_bytes()), held);
        let body = [self.cookie, &count.to_be_bytes(), &sealed].concat();
        step.take(b"INITIATE", &body, count, *held == plain[..] && count > after)
    }

    pub fn ready(&self, step: &Step) -> Taken {
        let count = step.count(1);
        let sealed = seal(&self.short.with(&self.ours_short), &nonce(b"CurveZMQREADY---", &count.to_be_bytes()), self.metadata);
        step.take(b"READY", &[&count.to_be_bytes()[..], &sealed].concat(), count, true)
    }
}

impl Step {
    fn count(&self, right: u64) -> u64 {
        if let Self::Counts(count) = self { *count } else { right }
    }

    fn held<'a>(&'a self, right: &'a [u8]) -> &'a [u8] {
        if let Self::Holds(held) = self { held } else { right }
    }

    /// `same` tells whether what is in the box, and its count, are right.
    fn take(&self, name: &[u8], body: &[u8], count: u64, same: bool) -> Taken {
        let right = command(name, body, false);
        let (bytes, right) = match self {
            // There is no count in WELCOME, and nothing but metadata in READY.
            Self::Right | Self::Holds(_) | Self::Counts(_) => (right, true),
            Self::LowOrder => (right, name != b"HELLO"),
            Self::Vouches { .. } => (right, name != b"INITIATE"),
            Self::Flipped { at, bit } => {
                let (mut flipped, at) = (right, usize::from(*at));
                let at = at % flipped.len();
                flipped[at] ^= 1 << (bit % 8);
                (flipped, name == b"HELLO" && PADDING.contains(&at))
            }
            Self::Shorter { by } => {
                let cut = usize::from(*by) % right.len();
                let shorter = command(name, &body[..body.len().saturating_sub(cut)], false);
                (shorter, cut == 0)
            }
            Self::Longer(more) => (frame(4, &[&named(name, body)[..], more].concat()), more.is_empty()),
            // What comes twice at the end of a handshake is no frame of the data phase.
            Self::Twice => ([&right[..], &right].concat(), name == b"INITIATE" || name == b"READY"),
            Self::Renamed(other) => (command(other, body, false), other == name),
            Self::Open { name: other, body: open } => (command(other, open, false), other == name && open == body),
            Self::Bytes(bytes) => (bytes.clone(), false),
        };
        Taken { bytes, right: right && same, count }
    }
}
