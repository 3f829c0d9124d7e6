//! RFC 26 once more, for a peer that can be wrong at every step: what it needs to know of boxes and of its own keys.

use std::sync::Mutex;

use salsabox::BoxKey;
use x25519_dalek::{PublicKey, StaticSecret};

pub const TAG_BYTES: usize = 16;

/// A pair of keys.
pub struct Keys {
    secret: StaticSecret,
    pub public: [u8; 32],
    /// The owners of which keys it has met last, and what it shares with them: most of the time would be spent on finding that out again.
    met: Mutex<Vec<([u8; 32], [u8; 32])>>,
}

const MET_MAX: usize = 8;

impl Keys {
    pub fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        Self { public: PublicKey::from(&secret).to_bytes(), secret, met: Mutex::default() }
    }

    /// What its owner shares with the owner of another key; something, where that key is none.
    pub fn with(&self, theirs: &[u8; 32]) -> BoxKey {
        let mut met = self.met.lock().expect("nobody panics with it");
        let known = match met.iter().position(|(key, _)| key == theirs) {
            Some(at) => met.remove(at),
            None => (*theirs, self.secret.diffie_hellman(&PublicKey::from(*theirs)).to_bytes()),
        };
        let shared = known.1;
        met.insert(0, known);
        met.truncate(MET_MAX);
        BoxKey::from_shared_secret(&shared).unwrap_or_else(|| BoxKey::from_shared_secret(&[1; 32]).expect("not zero"))
    }

    /// The secret key as its owner writes it into a file.
    pub fn written(&self) -> String {
        z85(&self.secret.to_bytes())
    }

    /// The public key as others write it into a list.
    pub fn listed(&self) -> String {
        z85(&self.public)
    }
}

/// A nonce: what it is for, and a number.
pub fn nonce(prefix: &[u8], number: &[u8]) -> [u8; 24] {
    [prefix, number].concat().try_into().expect("24 bytes")
}

/// A box, its tag in front.
pub fn seal(key: &BoxKey, nonce: &[u8; 24], plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let tag = key.encrypt_detached(nonce, &mut sealed);
    [&tag[..], &sealed].concat()
}

/// What is in a box that the other end has made.
pub fn open(key: &BoxKey, nonce: &[u8; 24], sealed: &[u8]) -> Vec<u8> {
    let (tag, sealed) = sealed.split_first_chunk::<TAG_BYTES>().expect("a box");
    let mut plain = sealed.to_vec();
    key.decrypt_detached(nonce, &mut plain, tag).expect("what we send opens");
    plain
}

/// RFC 32: four bytes become five characters.
fn z85(key: &[u8; 32]) -> String {
    const DIGITS: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
    let digits = |word: u32| [4, 3, 2, 1, 0].map(|power| DIGITS[(word / 85u32.pow(power) % 85) as usize] as char);
    key.chunks(4).flat_map(|word| digits(u32::from_be_bytes(word.try_into().expect("four bytes")))).collect()
}
