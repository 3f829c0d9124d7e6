//! From values to text, as `json.dumps` does it by default.

use std::fmt::Write as _;

use super::{Json, Text};

/// Prints a value.
pub fn render(value: &Json) -> String {
    let mut out = String::new();
    push_value(&mut out, value);
    out
}

/// Prints an object member by member, for documents whose fields are known here.
#[derive(Debug)]
pub struct ObjectWriter<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> ObjectWriter<'a> {
    /// Starts an object at the end of `out`. It must be ended with [`ObjectWriter::end`].
    pub fn start(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    /// A member that is a string.
    pub fn text(self, key: &str, text: &Text) -> Self {
        self.member(key, |out| push_text(out, text))
    }

    /// A member that is a string.
    pub fn str(self, key: &str, text: &str) -> Self {
        self.text(key, &Text::new(text))
    }

    /// A member that is an integer.
    pub fn int(self, key: &str, number: u64) -> Self {
        self.member(key, |out| push_display(out, number))
    }

    /// A member that is an integer or null.
    pub fn int_or_null(self, key: &str, number: Option<u64>) -> Self {
        match number {
            Some(number) => self.int(key, number),
            None => self.rendered(key, "null"),
        }
    }

    /// A member that is a float.
    pub fn float(self, key: &str, number: f64) -> Self {
        self.member(key, |out| push_float(out, number))
    }

    /// A member that is true or false.
    pub fn bool(self, key: &str, value: bool) -> Self {
        self.rendered(key, if value { "true" } else { "false" })
    }

    /// A member whose value has been printed before, by [`render`] or a writer.
    pub fn rendered(self, key: &str, value: &str) -> Self {
        self.member(key, |out| out.push_str(value))
    }

    /// A member that is an object.
    pub fn object(self, key: &str, fill: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>) -> Self {
        self.member(key, |out| fill(ObjectWriter::start(out)).end())
    }

    /// A member that is a list.
    pub fn list(self, key: &str, fill: impl FnOnce(&mut ArrayWriter<'_>)) -> Self {
        self.member(key, |out| {
            out.push('[');
            fill(&mut ArrayWriter { out, empty: true });
            out.push(']');
        })
    }

    /// Ends the object.
    pub fn end(self) {
        self.out.push('}');
    }

    fn member(mut self, key: &str, value: impl FnOnce(&mut String)) -> Self {
        if !std::mem::take(&mut self.empty) {
            self.out.push_str(", ");
        }
        push_text(self.out, &Text::new(key));
        self.out.push_str(": ");
        value(self.out);
        self
    }
}

/// Prints the items of a list, see [`ObjectWriter::list`].
#[derive(Debug)]
pub struct ArrayWriter<'a> {
    out: &'a mut String,
    empty: bool,
}

impl ArrayWriter<'_> {
    /// An item that is a string.
    pub fn str(&mut self, text: &str) {
        self.item(|out| push_text(out, &Text::new(text)));
    }

    /// An item that is an object.
    pub fn object(&mut self, fill: impl FnOnce(ObjectWriter<'_>) -> ObjectWriter<'_>) {
        self.item(|out| fill(ObjectWriter::start(out)).end());
    }

    fn item(&mut self, value: impl FnOnce(&mut String)) {
        if !std::mem::take(&mut self.empty) {
            self.out.push_str(", ");
        }
        value(self.out);
    }
}

fn push_value(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Int(digits) => out.push_str(digits),
        Json::Float(float) => push_float(out, *float),
        Json::Text(text) => push_text(out, text),
        Json::List(items) => {
            out.push('[');
            let mut writer = ArrayWriter { out, empty: true };
            for item in items {
                writer.item(|out| push_value(out, item));
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push_text(out, key);
                out.push_str(": ");
                push_value(out, value);
            }
            out.push('}');
        }
    }
}

fn push_text(out: &mut String, text: &Text) {
    out.push('"');
    out.push_str(text.escaped());
    out.push('"');
}

fn push_display(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a string cannot fail");
}

/// Prints a float as Python's `repr` does: the shortest digits that read back as the same float (Rust finds the same
/// ones), with an exponent below 1e-4 and from 1e16 on.
fn push_float(out: &mut String, float: f64) {
    if float.is_nan() {
        return out.push_str("NaN");
    }
    if float.is_infinite() {
        return out.push_str(if float > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let scientific = format!("{float:e}");
        let (mantissa, exponent) = scientific.split_once('e').expect("an exponent was asked for");
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return write!(out, "{mantissa}e{sign}{digits:0>2}").expect("writing to a string cannot fail");
    }
    // `{:?}` prints `.0` after a whole number; below 1e16 it uses no exponent.
    push_display(out, format_args!("{float:?}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        render(&Json::Float(value))
    }

    #[test]
    fn floats_print_as_repr_does() {
        for (value, printed) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (0.000_012_5, "1.25e-05"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(float(value), printed);
        }
    }
}
