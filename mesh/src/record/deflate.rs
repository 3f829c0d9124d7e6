//! Deflate with a vocabulary: the words that JSON of agents is made of, so that a body of 500 bytes has something to refer to.
//!
//! The vocabulary is part of the format. Another one is another encoding with a number of its own; this one stays as it is for as long as a record
//! may refer to it (a test holds it).

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// See the head of this module.
pub(super) const VOCABULARY: &[u8] = include_bytes!("vocabulary.txt");

/// Bits of the window for bodies that fit into it together with the vocabulary: an encoder with a small one is made faster.
const WINDOW_BITS_SMALL: u8 = 13;
const WINDOW_BITS: u8 = 15;
/// Where levels stop paying on bodies of 500 bytes: level 1 saves 8 percent less, level 9 one more.
const LEVEL: u32 = 6;
/// Of larger bodies, whether it pays is tried with so much of their beginning.
const SAMPLE_BYTES: usize = 4096;

/// Appends the compressed body to `out`, if that is at least an eighth shorter. Otherwise `out` is as it was.
pub(super) fn compress(body: &[u8], out: &mut BytesMut) -> bool {
    if body.len() > 4 * SAMPLE_BYTES && pays(&body[..SAMPLE_BYTES]).is_none() {
        return false;
    }
    match pays(body) {
        Some(compressed) => {
            out.extend_from_slice(&compressed);
            true
        }
        None => false,
    }
}

fn pays(body: &[u8]) -> Option<Vec<u8>> {
    let small = body.len() + VOCABULARY.len() < 1 << WINDOW_BITS_SMALL;
    let window = if small { WINDOW_BITS_SMALL } else { WINDOW_BITS };
    let mut compress = Compress::new_with_window_bits(Compression::new(LEVEL), false, window);
    compress.set_dictionary(VOCABULARY).ok()?;
    // What does not fit does not pay, and the encoder is not asked to go on.
    let mut compressed = Vec::with_capacity(body.len() - body.len() / 8);
    match compress.compress_vec(body, &mut compressed, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => Some(compressed),
        Ok(Status::Ok | Status::BufError) | Err(_) => None,
    }
}

/// The body, if it has exactly this length. Memory grows with what comes out and not with what is declared.
pub(super) fn decompress(compressed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut decompress = Decompress::new_with_window_bits(false, WINDOW_BITS);
    decompress.set_dictionary(VOCABULARY).ok()?;
    // One byte more than declared, so that what is longer is seen to be.
    let mut body = Vec::with_capacity((length + 1).min(8 * compressed.len() + 64));
    loop {
        let taken = usize::try_from(decompress.total_in()).ok()?;
        let status = decompress.decompress_vec(compressed.get(taken..)?, &mut body, FlushDecompress::Finish).ok()?;
        match status {
            Status::StreamEnd => {
                let is_whole = body.len() == length && usize::try_from(decompress.total_in()) == Ok(compressed.len());
                return is_whole.then_some(body);
            }
            // A full buffer is the only reason to go on.
            Status::Ok | Status::BufError if body.len() == body.capacity() && body.len() <= length => {
                body.reserve_exact(body.len().min(length + 1 - body.len()));
            }
            Status::Ok | Status::BufError => return None,
        }
    }
}
