//! JSON the way Python's `json` module reads and prints it, because that is what agents send and compare.
//!
//! Differences from the standard that agents rely on, all kept: `NaN`, `Infinity` and `-Infinity` are numbers, integers
//! have any size, of duplicate keys the last value wins at the first one's place, lone surrogates are legal in strings,
//! and output has a blank after `,` and `:` and no byte outside ASCII.
//!
//! Invariants:
//! - *bounded*: a value nests at most [`DEPTH_MAX`] deep, so that reading, printing and dropping it cannot exhaust a
//!   stack; its size is bounded by the bytes it was read from.
//! - *canonical*: equal Python values print as equal bytes, so text can be compared and stored in its printed form.

mod read;
mod text;
mod write;

pub use read::{ReadError, read, read_str};
pub use text::Text;
pub use write::{ArrayWriter, ObjectWriter, render};

/// Deepest nesting that is read: 64. Python stops near 1,000; agents use 4.
pub const DEPTH_MAX: usize = 64;

/// Longest integer that is read, in digits: 4,300, where Python's own conversion stops.
pub const INTEGER_DIGITS_MAX: usize = 4_300;

/// A value as `json.loads` would make it.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `None`
    Null,
    /// `True` or `False`
    Bool(bool),
    /// An integer of any size, as Python prints it.
    Int(Box<str>),
    /// A float; may be NaN or infinite.
    Float(f64),
    /// A string.
    Text(Text),
    /// A list.
    List(Vec<Self>),
    /// A dict, its keys unique and in Python's order.
    Object(Vec<(Text, Self)>),
}

impl Json {
    /// The value of a key, when this is an object that has it.
    ///
    /// `key` must be plain ASCII without quotes, backslashes and control characters, as all field names here are.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name.escaped() == key).map(|(_, value)| value)
    }

    /// The string in this value, when it is one.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// An unsigned integer, when this is one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(digits) => digits.parse().ok(),
            Self::Null | Self::Bool(_) | Self::Float(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// What Python calls the type of this value.
    pub fn python_type(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Object(_) => "dict",
        }
    }

    /// What an f-string makes of this value. Lists and dicts appear in their JSON form, where Python would quote with `'`.
    pub fn python_str(&self) -> Text {
        match self {
            Self::Null => Text::new("None"),
            Self::Bool(true) => Text::new("True"),
            Self::Bool(false) => Text::new("False"),
            Self::Float(float) if float.is_nan() => Text::new("nan"),
            Self::Float(float) if float.is_infinite() => Text::new(if *float > 0.0 { "inf" } else { "-inf" }),
            Self::Text(text) => text.clone(),
            Self::Int(_) | Self::Float(_) | Self::List(_) | Self::Object(_) => Text::new(&render(self)),
        }
    }
}
