//! Headers as a stream keeps them: each name behind its length in two bytes, each value behind its length in four, little endian.

use bytes::{Buf, Bytes};

pub(super) type Headers = Vec<(Box<str>, Bytes)>;

/// Names are at most 255 bytes and all of them together 64 KiB, which is checked where they come from.
pub(super) fn encode(headers: &[(Box<str>, Bytes)]) -> Bytes {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.extend_from_slice(&(name.len() as u16).to_le_bytes());
        encoded.extend_from_slice(name.as_bytes());
        encoded.extend_from_slice(&(value.len() as u32).to_le_bytes());
        encoded.extend_from_slice(value);
    }
    Bytes::from(encoded)
}

/// What can be read of them: the record's checksum fits, so all of it can.
pub(super) fn decode(mut encoded: Bytes) -> Headers {
    let mut headers = Vec::new();
    while let Some(header) = next(&mut encoded) {
        headers.push(header);
    }
    headers
}

fn next(encoded: &mut Bytes) -> Option<(Box<str>, Bytes)> {
    let name_bytes = usize::from(encoded.try_get_u16_le().ok()?);
    let name = take(encoded, name_bytes)?;
    let value_bytes = encoded.try_get_u32_le().ok()? as usize;
    let value = take(encoded, value_bytes)?;
    Some((str::from_utf8(&name).ok()?.into(), value))
}

fn take(encoded: &mut Bytes, bytes: usize) -> Option<Bytes> {
    (bytes <= encoded.len()).then(|| encoded.split_to(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_are_read_as_they_were_written(headers in prop::collection::vec(("[ -~]{0,40}", prop::collection::vec(any::<u8>(), 0..99)), 0..9)) {
            let headers: Headers = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            prop_assert_eq!(decode(encode(&headers)), headers);
        }

        #[test]
        fn anything_else_is_read_as_far_as_it_goes(encoded: Vec<u8>) {
            drop(decode(encoded.into()));
        }
    }
}
