//! The processes of a benchmark. Each role comes on libzmq and on the raw peer of [`crate::zmtp`].

pub(crate) mod credit;
pub(crate) mod keys;
pub(crate) mod publisher;
pub(crate) mod rep;
pub(crate) mod req;
pub(crate) mod subscriber;

#[cfg(feature = "libzmq")]
pub(crate) mod curve;
#[cfg(feature = "libzmq")]
pub(crate) mod libzmq;

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome};

/// Which implementation a peer runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// libzmq, as almost every agent has it (needs the feature `libzmq`).
    Libzmq,
    /// Blocking Rust over one TCP connection.
    Raw,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Libzmq => "libzmq",
            Self::Raw => "raw",
        }
    }
}

/// High-water mark of libzmq sockets, in messages.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HighWater {
    /// Messages a libzmq socket holds per peer and direction before it is full.
    #[arg(long = "hwm", default_value_t = 65_536)]
    pub(crate) messages: i32,
}

/// What a binary without libzmq answers.
#[cfg(not(feature = "libzmq"))]
pub(crate) fn without_libzmq<T>() -> Outcome<T> {
    Err(Failure::new(
        "this binary was built without libzmq: `cargo build --release -p myelin-loadtest --features libzmq` \
         (needs a C++ compiler: apt-get install g++)",
    ))
}

/// The largest payload the harness sends.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1 << 19;

/// Refuses payloads that could not carry their stamp or would not fit a peer's buffer.
///
/// # Errors
/// Names the bound that is broken.
pub(crate) fn check_payload(bytes: usize) -> Outcome<()> {
    let range = crate::payload::BYTES_MIN..=PAYLOAD_BYTES_MAX;
    if range.contains(&bytes) {
        return Ok(());
    }
    Err(Failure::new(format!("payload of {bytes} bytes is outside {}..={}", range.start(), range.end())))
}
