//! Any bytes are refused, or are frames that can be walked, split and packed again without a change.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use myelin_wire::{Frames, limits::FRAMES_MAX};

fuzz_target!(|packed: &[u8]| {
    let packed = Bytes::copy_from_slice(packed);
    let Ok(frames) = Frames::from_packed(packed.clone()) else {
        return;
    };
    assert_eq!(frames.packed(), &packed);
    assert!((1..=FRAMES_MAX).contains(&frames.count()));
    assert_eq!(frames.iter().len(), frames.count() as usize);
    assert_eq!(frames.payload_len(), frames.slices().map(<[u8]>::len).sum::<usize>());

    let again = Frames::from_parts(frames.slices()).expect("there is a frame, and not too many");
    assert_eq!(again, frames);
    assert!(again.packed().len() <= packed.len(), "the short form is the shortest");

    let mut rest = Some(frames.clone());
    for frame in &frames {
        let (first, next) = rest.expect("as many as were counted").split_first();
        assert_eq!(first, frame);
        rest = next;
    }
    assert!(rest.is_none());
});
