//! CURVE on the sockets of libzmq, with keys made for one run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zmq::Socket;

use super::keys::Keys;
use crate::failure::{Doing, Failure, Outcome};

/// The carrier's secret key, as a sidecar reads it.
pub(crate) const SERVER_SECRET: &str = "server.secret";
/// Whom a sidecar serves.
pub(crate) const CLIENTS: &str = "clients";
const SERVER_PUBLIC: &str = "server.public";
const PEER_PUBLIC: &str = "peer.public";
const PEER_SECRET: &str = "peer.secret";

/// Makes the keys of one run.
///
/// # Errors
/// This libzmq has no CURVE, or the files cannot be written.
pub(crate) fn make(directory: &Path) -> Outcome<()> {
    if zmq::has("curve") != Some(true) {
        return Err(Failure::new(
            "the libzmq in this binary has no CURVE: `cargo xtask bench curve` builds one with the system's libzmq (apt-get install libzmq3-dev)",
        ));
    }
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        fs::write(&file, text).doing(|| format!("writing {}", file.display()))?;
        only_ours(&file)
    };
    let pair = || zmq::CurveKeyPair::new().doing(|| "making a key pair".to_owned());
    let text = |key: &[u8]| zmq::z85_encode(key).map_err(|error| Failure::new(format!("writing a key as text: {error}")));
    let (server, peer) = (pair()?, pair()?);
    write(SERVER_SECRET, &text(&server.secret_key)?)?;
    write(SERVER_PUBLIC, &text(&server.public_key)?)?;
    write(PEER_SECRET, &text(&peer.secret_key)?)?;
    write(PEER_PUBLIC, &text(&peer.public_key)?)?;
    write(CLIENTS, &format!("{} peer *\n", text(&peer.public_key)?))
}

/// A sidecar refuses secrets that others may read.
fn only_ours(file: &Path) -> Outcome<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).doing(|| format!("making {} private", file.display()))
}

impl Keys {
    /// Makes a socket of libzmq a CURVE server.
    ///
    /// # Errors
    /// A key cannot be read.
    pub(crate) fn serve(&self, socket: &Socket) -> Outcome<()> {
        let Some(directory) = &self.curve else { return Ok(()) };
        socket.set_curve_server(true).doing(|| "setting CURVE_SERVER".to_owned())?;
        socket.set_curve_secretkey(&key(directory, SERVER_SECRET)?).doing(|| "setting CURVE_SECRETKEY".to_owned())
    }

    /// Makes a socket of libzmq a CURVE client of that server.
    ///
    /// # Errors
    /// A key cannot be read.
    pub(crate) fn join(&self, socket: &Socket) -> Outcome<()> {
        let Some(directory) = &self.curve else { return Ok(()) };
        socket.set_curve_serverkey(&key(directory, SERVER_PUBLIC)?).doing(|| "setting CURVE_SERVERKEY".to_owned())?;
        socket.set_curve_publickey(&key(directory, PEER_PUBLIC)?).doing(|| "setting CURVE_PUBLICKEY".to_owned())?;
        socket.set_curve_secretkey(&key(directory, PEER_SECRET)?).doing(|| "setting CURVE_SECRETKEY".to_owned())
    }
}

fn key(directory: &Path, name: &str) -> Outcome<Vec<u8>> {
    let file = directory.join(name);
    let text = fs::read_to_string(&file).doing(|| format!("reading {}", file.display()))?;
    zmq::z85_decode(&text).map_err(|error| Failure::new(format!("{} is no key: {error}", file.display())))
}
