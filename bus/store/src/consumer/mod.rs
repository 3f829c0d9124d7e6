//! Who has read what: positions, deliveries, attempts.

mod lease;
mod pending;
mod state;

pub(crate) use self::lease::{Lease, Most};
pub(crate) use self::state::{ConsumerState, Settled, millis};

/// How a delivery ended that was no ack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Outcome {
    /// The worker gave it back.
    Nak = 1,
    /// The worker said that nobody should try again.
    Term = 2,
    /// The worker said nothing within `ack_wait`.
    AckWaitExpired = 3,
    /// The worker went away.
    WorkerGone = 4,
    /// The sidecar stopped or was stopped meanwhile.
    Restart = 5,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Nak, Self::Term, Self::AckWaitExpired, Self::WorkerGone, Self::Restart];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Nak,
            2 => Self::Term,
            3 => Self::AckWaitExpired,
            4 => Self::WorkerGone,
            5 => Self::Restart,
            _ => return None,
        })
    }

    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nak => "nak",
            Self::Term => "term",
            Self::AckWaitExpired => "ack_wait expired",
            Self::WorkerGone => "worker gone",
            Self::Restart => "restart",
        }
    }
}

/// One delivery that did not end in an ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the worker said, at most 1,024 bytes.
    pub error: Box<str>,
}

impl Attempt {
    /// An attempt that ends now.
    pub fn now(outcome: Outcome, error: &str) -> Self {
        Self { at_ms: Self::now_ms(), outcome, error: crate::record::cut(error, ATTEMPT_TEXT_BYTES_MAX).into() }
    }

    /// The time of the day in milliseconds since 1970, as attempts have it.
    pub fn now_ms() -> u64 {
        crate::clock::Clock::default().now_ms()
    }
}

/// Longest text that is kept with an attempt: enough for an error and its cause, and 32 of them are 32 KiB.
pub const ATTEMPT_TEXT_BYTES_MAX: usize = 1024;
