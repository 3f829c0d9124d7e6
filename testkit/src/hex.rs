//! Hexadecimal text as the vectors write it, with spaces.

/// Bytes of a hex text; white space is ignored.
///
/// # Panics
/// When the text is not hexadecimal, or holds half a byte.
#[must_use]
#[track_caller]
pub fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    let digit = |digit: u8| match char::from(digit).to_digit(16) {
        Some(value) => u8::try_from(value).expect("a digit is below 16"),
        None => panic!("not hexadecimal: {text:?}"),
    };
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Lower-case hex of some bytes.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(out, "{byte:02x}").expect("a String takes everything");
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_ways() {
        assert_eq!(super::bytes("0100 0012 7B22"), [1, 0, 0, 0x12, 0x7b, 0x22]);
        assert_eq!(super::text(&[1, 0xff]), "01ff");
    }
}
