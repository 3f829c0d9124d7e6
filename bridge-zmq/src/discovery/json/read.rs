//! From bytes to a value, as `json.loads(body.decode("utf-8"))` does it.

use std::collections::BTreeMap;

use thiserror::Error;

use super::text::{Text, push_str, push_unit};
use super::{DEPTH_MAX, INTEGER_DIGITS_MAX, Json};

/// Why bytes are not a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The bytes are not UTF-8; nothing else was looked at.
    #[error("invalid UTF-8 at byte {offset}")]
    Utf8 {
        /// Where the first invalid sequence starts.
        offset: usize,
    },
    /// The text is not JSON in Python's reading of it.
    #[error("invalid JSON at byte {offset}")]
    Syntax {
        /// Where reading stopped.
        offset: usize,
    },
    /// The value nests deeper than [`DEPTH_MAX`].
    #[error("JSON nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// An integer has more digits than [`INTEGER_DIGITS_MAX`].
    #[error("integer of more than {INTEGER_DIGITS_MAX} digits")]
    IntegerTooLong,
}

/// Reads the one value that `bytes` consist of.
///
/// Time and memory grow with the length of `bytes` only, which the caller bounds.
///
/// # Errors
/// The first violation found. As in Python, all bytes must be UTF-8 before any of them is read as JSON.
pub fn read(bytes: &[u8]) -> Result<Json, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ReadError::Utf8 { offset: error.valid_up_to() })?;
    read_str(text)
}

/// Reads the one value that `text` consists of.
///
/// # Errors
/// The first violation found.
pub fn read_str(text: &str) -> Result<Json, ReadError> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_blank();
    let value = reader.value(0)?;
    reader.skip_blank();
    if reader.at == text.len() { Ok(value) } else { Err(reader.syntax()) }
}

struct Reader<'a> {
    text: &'a str,
    /// Always on a character boundary when a value starts or ends.
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Json, ReadError> {
        if depth > DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Json::Text(self.text()?)),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-I") => self.number(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json, ReadError> {
        let words = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.syntax())
    }

    fn list(&mut self, depth: usize) -> Result<Json, ReadError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blank();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        loop {
            self.skip_blank();
            items.push(self.value(depth + 1)?);
            self.skip_blank();
            if self.take(b']') {
                return Ok(Json::List(items));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, ReadError> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_blank();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_blank();
            let name = self.text()?;
            self.skip_blank();
            self.expect(b':')?;
            self.skip_blank();
            members.push((name, self.value(depth + 1)?));
            self.skip_blank();
            if self.take(b'}') {
                return Ok(Json::Object(last_value_wins(members)));
            }
            self.expect(b',')?;
        }
    }

    fn number(&mut self) -> Result<Json, ReadError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let integer_end = self.at;
        // A dot or an exponent without digits is not part of the number, and then an error as what follows it.
        if self.take(b'.') && self.digits().is_err() {
            self.at = integer_end;
        }
        let mantissa_end = self.at;
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            if self.digits().is_err() {
                self.at = mantissa_end;
            }
        }
        let number = &self.text[start..self.at];
        if self.at > integer_end {
            return number.parse().map(Json::Float).map_err(|_| self.syntax());
        }
        if number.trim_start_matches('-').len() > INTEGER_DIGITS_MAX {
            return Err(ReadError::IntegerTooLong);
        }
        Ok(Json::Int(if number == "-0" { "0" } else { number }.into()))
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Result<(), ReadError> {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(self.syntax()) }
    }

    fn text(&mut self) -> Result<Text, ReadError> {
        self.expect(b'"')?;
        let mut escaped = String::new();
        loop {
            let plain = self.text.as_bytes()[self.at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .ok_or_else(|| self.syntax())?;
            push_str(&mut escaped, &self.text[self.at..self.at + plain]);
            self.at += plain;
            if self.take(b'"') {
                return Ok(Text::from_escaped(escaped));
            }
            self.expect(b'\\')?;
            push_unit(&mut escaped, self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<u16, ReadError> {
        let unit = match self.peek() {
            Some(same @ (b'"' | b'\\' | b'/')) => u16::from(same),
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => 0x0a,
            Some(b'r') => 0x0d,
            Some(b't') => 0x09,
            Some(b'u') => {
                // `from_str_radix` alone would take a sign.
                let digits = self.text.get(self.at + 1..self.at + 5);
                let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
                self.at += 4;
                unit.ok_or_else(|| self.syntax())?
            }
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(unit)
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), ReadError> {
        if self.take(byte) { Ok(()) } else { Err(self.syntax()) }
    }

    fn skip_blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn syntax(&self) -> ReadError {
        ReadError::Syntax { offset: self.at }
    }
}

/// Of equal keys, keeps the last value at the first one's place, as a Python dict does.
///
/// An ordered map keeps an object of thousands of equal keys from costing their square.
fn last_value_wins(members: Vec<(Text, Json)>) -> Vec<(Text, Json)> {
    let mut places = BTreeMap::new();
    let mut unique: Vec<(Text, Json)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        let place = *places.entry(name.clone()).or_insert(unique.len());
        match unique.get_mut(place) {
            Some(member) => member.1 = value,
            None => unique.push((name, value)),
        }
    }
    unique
}
