//! What a socket of the matrix proves, or asks for where it binds.

use clap::{Args, ValueEnum};

use super::Attach;

/// The mechanism and both ends' secrets. All of them are made for one run of the matrix and protect nothing.
#[derive(Debug, Args)]
pub(super) struct SecurityArgs {
    /// How the two ends prove who they are. The end that binds is the server.
    #[arg(long, default_value = "null")]
    pub(super) mechanism: Mechanism,
    /// For PLAIN: the user, here or admitted here.
    #[arg(long, default_value = "")]
    pub(super) user: String,
    /// For PLAIN: the password.
    #[arg(long, default_value = "")]
    pub(super) password: String,
    /// For CURVE: our public key.
    #[arg(long, default_value = "")]
    pub(super) public_key: String,
    /// For CURVE: our secret key.
    #[arg(long, default_value = "")]
    pub(super) secret_key: String,
    /// For CURVE: the public key of the other end, which is the server where we connect and the only client where we bind.
    #[arg(long, default_value = "")]
    pub(super) peer_key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mechanism {
    Null,
    Plain,
    Curve,
}

impl Attach {
    /// The end that binds asks, the end that connects proves.
    pub(super) const fn is_server(self) -> bool {
        matches!(self, Self::Bind)
    }
}
