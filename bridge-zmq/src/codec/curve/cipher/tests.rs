//! Every box is compared with what salsabox makes of it: one box at a time, by another implementation of the tag.

use proptest::prelude::*;
use salsabox::SecretBox;

use super::*;

const PREFIX: &[u8; 16] = b"CurveZMQMESSAGEC";

fn nonce(count: u64) -> [u8; 24] {
    [&PREFIX[..], &count.to_be_bytes()].concat().try_into().expect("24 bytes")
}

/// What salsabox makes of `plain`: tag and content.
fn expected(key: [u8; 32], count: u64, plain: &[u8]) -> ([u8; 16], Vec<u8>) {
    let mut content = plain.to_vec();
    let tag = SecretBox::new(key).encrypt_detached(&nonce(count), &mut content);
    (tag, content)
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 73 + len) as u8).collect()
}

/// Seals boxes as they fit into batches, each behind a gap for its tag.
fn sealed(cipher: &Cipher, boxes: &[(u64, Vec<u8>)]) -> Vec<([u8; 16], Vec<u8>)> {
    let (mut bytes, mut batch) = (Vec::new(), Batch::new());
    let mut places = Vec::new();
    for (count, plain) in boxes {
        let at = bytes.len() + TAG_BYTES;
        if !batch.add(*count, at, plain.len()) {
            cipher.seal(&mut batch, &mut bytes);
            assert!(batch.add(*count, at, plain.len()), "an empty batch has room");
        }
        bytes.extend_from_slice(&[0; TAG_BYTES]);
        bytes.extend_from_slice(plain);
        places.push(at);
    }
    cipher.seal(&mut batch, &mut bytes);
    let one = |(at, (_, plain)): (usize, &(u64, Vec<u8>))| {
        (bytes[at - TAG_BYTES..at].try_into().expect("16 bytes"), bytes[at..at + plain.len()].to_vec())
    };
    places.into_iter().zip(boxes).map(one).collect()
}

#[test]
fn boxes_of_every_length_are_those_of_another_implementation() {
    let key = [0x42; 32];
    let cipher = Cipher::new(&key, PREFIX);
    let boxes: Vec<_> = (0..700).chain([1023, 1024, 1025, 4095, 8159, 8160]).map(|len| (u64::MAX - len as u64, plain(len))).collect();
    for ((count, plain), sealed) in boxes.iter().zip(sealed(&cipher, &boxes)) {
        assert_eq!(sealed, expected(key, *count, plain), "{} bytes", plain.len());
    }
}

#[test]
fn long_boxes_are_those_of_another_implementation() {
    let key = [0x17; 32];
    let (cipher, mut batch) = (Cipher::new(&key, PREFIX), Batch::new());
    for len in [0, 1, 8160, 8161, 16_352, 16_353, 70_001, 1 << 20] {
        let mut content = plain(len);
        let tag = cipher.seal_long(&mut batch, 7, &mut content);
        assert_eq!((tag, content.clone()), expected(key, 7, &plain(len)), "{len} bytes");
        assert!(cipher.open(&mut batch, 7, &mut content, &tag));
        assert_eq!(content, plain(len));
    }
}

#[test]
fn what_was_changed_does_not_open_and_stays_as_it_is() {
    let (cipher, mut batch) = (Cipher::new(&[3; 32], PREFIX), Batch::new());
    for len in [1, 64, 65, 300, 9000] {
        let (tag, content) = expected([3; 32], 1, &plain(len));
        for at in (0..len).step_by(len.div_ceil(9)) {
            let mut changed = content.clone();
            changed[at] ^= 0x10;
            let before = changed.clone();
            assert!(!cipher.open(&mut batch, 1, &mut changed, &tag), "byte {at} of {len}");
            assert_eq!(changed, before);
        }
        for at in 0..16 {
            let mut other = tag;
            other[at] ^= 1;
            assert!(!cipher.open(&mut batch, 1, &mut content.clone(), &other));
        }
        assert!(!cipher.open(&mut batch, 2, &mut content.clone(), &tag), "another count");
        assert!(cipher.open(&mut batch, 1, &mut content.clone(), &tag));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_boxes_open_in_any_order_whatever_was_computed_ahead(
        key: [u8; 32],
        lens in prop::collection::vec(prop_oneof![0..200usize, 0..3000usize], 1..80),
        ahead in prop::collection::vec(any::<bool>(), 80),
        from: u64,
    ) {
        let cipher = Cipher::new(&key, PREFIX);
        let boxes: Vec<_> = (0..).zip(&lens).map(|(i, len)| (from.wrapping_add(i), plain(*len))).collect();
        let mut batch = Batch::new();
        for (at, ((count, plain), (tag, mut content))) in boxes.iter().zip(sealed(&cipher, &boxes)).enumerate() {
            prop_assert_eq!((tag, content.clone()), expected(key, *count, plain));
            if batch.is_empty() && ahead[at] {
                batch.clear();
                for ((count, plain), _) in boxes[at..].iter().zip(&ahead[at..]).filter(|(_, ahead)| **ahead) {
                    if !batch.add(*count, 0, plain.len()) {
                        break;
                    }
                }
                cipher.compute(&mut batch);
            }
            prop_assert!(cipher.open(&mut batch, *count, &mut content, &tag));
            prop_assert_eq!(&content, plain);
        }
    }
}
