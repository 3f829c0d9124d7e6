//! Any name as one legal token.

use crate::limits::TOKEN_BYTES_MAX;

pub(super) fn escape(name: &str) -> String {
    if name.is_empty() {
        return "%".into();
    }
    let mut token = String::with_capacity(name.len().min(TOKEN_BYTES_MAX + 3));
    // Bounds the work on a long name; three is the most that one byte can become.
    let mut keep = 0;
    for byte in name.bytes() {
        push_escaped(&mut token, byte);
        if token.len() <= TOKEN_BYTES_MAX - HASH_SUFFIX_LEN {
            keep = token.len();
        }
        if token.len() > TOKEN_BYTES_MAX {
            token.truncate(keep);
            token.push_str(&format!("%~{:032x}", fnv1a_128(name.as_bytes())));
            return token;
        }
    }
    token
}

/// `%~` and 32 hex digits.
const HASH_SUFFIX_LEN: usize = 34;

fn push_escaped(token: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':') {
        token.push(char::from(byte));
    } else {
        token.push('%');
        token.push(char::from(HEX[usize::from(byte >> 4)]));
        token.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// FNV-1a over 128 bits: stable across versions and machines, which `std`'s hasher is not.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}
