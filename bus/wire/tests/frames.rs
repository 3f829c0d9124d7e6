//! Frames keep number, order and content, byte for byte, and are what a ZMTP 3 peer sends; everything else is refused.

use bytes::{Bytes, BytesMut};
use myelin_wire::{Body, Frames, FramesError, limits::FRAMES_MAX, write_frame_header};
use proptest::{collection::vec, prelude::*};

mod support;

fn packed(hex: &[u8]) -> Result<Frames, FramesError> {
    Frames::from_packed(Bytes::copy_from_slice(hex))
}

proptest! {
    #[test]
    fn parts_come_back_as_they_went_in(parts in support::parts()) {
        let frames = Frames::from_parts(&parts).unwrap();
        prop_assert_eq!(frames.count() as usize, parts.len());
        prop_assert_eq!(frames.iter().collect::<Vec<_>>(), parts.clone());
        prop_assert_eq!(frames.slices().collect::<Vec<_>>(), parts.iter().collect::<Vec<_>>());
        prop_assert_eq!(frames.payload_len(), parts.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(frames.first(), &parts[0]);
        prop_assert_eq!(Frames::from_packed(frames.packed().clone()), Ok(frames));
    }

    #[test]
    fn splitting_peels_off_every_frame_without_a_copy(parts in support::parts()) {
        let frames = Frames::from_parts(&parts).unwrap();
        let memory = frames.packed().as_ptr_range();
        let mut rest = Some(frames.clone());
        for part in &parts {
            let (first, next) = rest.unwrap().split_first();
            prop_assert_eq!(&first, part);
            prop_assert!(memory.contains(&first.as_ptr()) || first.is_empty());
            rest = next;
        }
        prop_assert_eq!(rest, None);
    }

    #[test]
    fn a_truncated_message_is_refused(parts in support::parts(), cut in any::<prop::sample::Index>()) {
        let whole = Frames::from_parts(&parts).unwrap().packed().clone();
        let cut = cut.index(whole.len());
        prop_assert!(Frames::from_packed(whole.slice(..cut)).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_kept_exactly(bytes in vec(prop_oneof![0_u8..4, any::<u8>()], 0..64)) {
        let bytes = Bytes::from(bytes);
        if let Ok(frames) = Frames::from_packed(bytes.clone()) {
            prop_assert_eq!(frames.packed(), &bytes);
            prop_assert_eq!(Frames::from_parts(frames.slices()).unwrap(), frames);
        }
    }
}

#[test]
fn the_packed_form_is_what_a_peer_sends() {
    let frames = Frames::from_parts([b"".as_slice(), b"{\"a\":1}"]).unwrap();
    assert_eq!(frames.packed(), &b"\x01\x00\x00\x07{\"a\":1}"[..]);
    let long = Frames::single(&[7; 256]);
    assert_eq!(long.packed()[..9], *b"\x02\x00\x00\x00\x00\x00\x00\x01\x00");
    assert_eq!(Frames::single(b"").packed(), &b"\x00\x00"[..]);
}

#[test]
fn headers_are_short_up_to_255() {
    let header = |more, len| {
        let mut out = BytesMut::new();
        write_frame_header(&mut out, more, len);
        out
    };
    assert_eq!(header(true, 255), &[1, 255][..]);
    assert_eq!(header(false, 256), &[2, 0, 0, 0, 0, 0, 0, 1, 0][..]);
    assert_eq!(header(true, 38_701), &[3, 0, 0, 0, 0, 0, 0, 0x97, 0x2d][..]);
}

#[test]
fn hostile_input_is_named() {
    assert_eq!(packed(b""), Err(FramesError::Empty));
    assert_eq!(packed(b"\x04\x05"), Err(FramesError::Flags { flags: 4, offset: 0 }));
    assert_eq!(packed(b"\x01\x01a\x08\x00"), Err(FramesError::Flags { flags: 8, offset: 3 }));
    assert_eq!(packed(b"\x00"), Err(FramesError::Truncated { offset: 0 }));
    assert_eq!(packed(b"\x00\x02a"), Err(FramesError::Truncated { offset: 0 }));
    assert_eq!(packed(b"\x01\x01a"), Err(FramesError::Truncated { offset: 3 }));
    assert_eq!(packed(b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"), Err(FramesError::Truncated { offset: 0 }));
    assert_eq!(packed(b"\x02\x7f\xff\xff\xff\xff\xff\xff\xffa"), Err(FramesError::Truncated { offset: 0 }));
    assert_eq!(packed(b"\x00\x01ab"), Err(FramesError::Trailing { extra: 1 }));
}

#[test]
fn a_long_header_for_a_short_frame_is_kept_and_equal() {
    let long = packed(b"\x03\0\0\0\0\0\0\0\x01a\x00\x01b").unwrap();
    assert_eq!(long.slices().collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(long, Frames::from_parts(["a", "b"]).unwrap());
    assert_eq!(long.packed().len(), 13);
}

#[test]
fn the_number_of_frames_is_bounded() {
    let max = FRAMES_MAX as usize;
    assert!(Frames::from_parts(vec![b""; max]).is_some());
    assert!(Frames::from_parts(vec![b""; max + 1]).is_none());
    assert!(Frames::from_parts::<_, &[u8]>([]).is_none());

    let mut wire = b"\x01\x00".repeat(max);
    wire.extend_from_slice(b"\x00\x00");
    assert_eq!(packed(&wire), Err(FramesError::TooMany { max: FRAMES_MAX }));
    assert!(packed(&wire[2..]).is_ok());
}

#[test]
fn a_body_counts_payload_and_keeps_its_form() {
    assert_eq!(Body::from(Frames::from_parts(["", "abc"]).unwrap()).len(), 3);
    assert_eq!(Body::from("abc").len(), 3);
    assert!(Body::from(Frames::single(b"")).is_empty());
    assert_ne!(Body::from(Frames::single(b"abc")), Body::from("abc"));
}
