//! Long-term keys, as ZeroMQ writes them: 40 characters of Z85.

use std::fmt;

use omq_proto::proto::z85;
use x25519_dalek::{PublicKey as Point, StaticSecret};

use crate::codec::SecretError;

/// Characters of a key.
const KEY_CHARS: usize = 40;

/// The public half of a pair of keys.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub(super) [u8; 32]);

/// Both halves. The secret one appears in no log and no `Debug`, and is wiped when dropped.
#[derive(Clone)]
pub struct KeyPair {
    pub(super) public: PublicKey,
    pub(super) secret: StaticSecret,
}

impl PublicKey {
    /// Reads a public key: alone on its line, or behind `public-key =` as in the certificates that pyzmq and CZMQ write.
    ///
    /// # Errors
    /// Names the line that is wrong.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let (line, key) = find(text, "public-key")?;
        Self::parse(key).ok_or(SecretError { line, what: NOT_A_KEY })
    }

    pub(super) fn parse(key: &str) -> Option<Self> {
        decode(key).map(Self)
    }
}

impl KeyPair {
    /// New keys from the system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(StaticSecret::random())
    }

    /// Reads a secret key: alone on its line, or behind `secret-key =` as in the certificates that pyzmq and CZMQ write. The public key follows
    /// from it.
    ///
    /// # Errors
    /// Names the line that is wrong, and never its text.
    pub fn read(text: &str) -> Result<Self, SecretError> {
        let (line, key) = find(text, "secret-key")?;
        let secret = decode(key).ok_or(SecretError { line, what: NOT_A_KEY })?;
        Ok(Self::new(StaticSecret::from(secret)))
    }

    /// The half that others may know.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The secret half in Z85, to be written to a file that nobody else can read.
    #[must_use]
    pub fn secret_z85(&self) -> String {
        encode(self.secret.as_bytes())
    }

    fn new(secret: StaticSecret) -> Self {
        Self { public: PublicKey(Point::from(&secret).to_bytes()), secret }
    }
}

const NOT_A_KEY: &str = "not a key: 40 characters of Z85, as zmq.curve_keypair() returns them";

/// The value of `name` in a certificate, or the only line of a text that is no certificate.
fn find<'a>(text: &'a str, name: &str) -> Result<(usize, &'a str), SecretError> {
    let mut bare = None;
    for (line, content) in key_lines(text) {
        if let Some((left, value)) = content.split_once('=')
            && left.trim() == name
        {
            return Ok((line, value.trim().trim_matches('"')));
        }
        if content.len() == KEY_CHARS && bare.replace((line, content)).is_some() {
            return Err(SecretError { line, what: "more than one key" });
        }
    }
    bare.ok_or(SecretError { line: 0, what: "no key" })
}

/// Lines that are neither empty nor a comment. `#` is a character of Z85, so a line that starts with 40 characters of it is none.
pub(super) fn key_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_key = |line: &str| line.split_whitespace().next().is_some_and(|word| decode(word).is_some());
    (1..).zip(text.lines().map(str::trim)).filter(move |(_, line)| !line.is_empty() && (!line.starts_with('#') || is_key(line)))
}

fn decode(key: &str) -> Option<[u8; 32]> {
    if key.len() != KEY_CHARS {
        return None;
    }
    z85::decode(key).ok()?.try_into().ok()
}

fn encode(key: &[u8; 32]) -> String {
    z85::encode(key).expect("32 bytes are a multiple of 4")
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).field("secret", &"redacted").finish()
    }
}
