//! Durations and sizes as an operator writes them, both ways.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads `500ms`, `5s`, `1.5m` or `2h`; `None` without a unit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let (_, millis) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    scaled(number, millis).map(Duration::from_millis)
}

/// Reads `8MiB`, `64KiB`, `1.5GiB`, `10MB` or plain bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    if let Ok(bytes) = text.replace('_', "").parse() {
        return Some(bytes);
    }
    let (number, unit) = split_unit(text)?;
    let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    scaled(number, bytes)
}

/// The duration in its largest whole unit.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (name, unit) =
        DURATION_UNITS.into_iter().rev().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit)).unwrap_or(("ms", 1));
    format!("{}{name}", millis / unit)
}

/// The size in its largest whole binary unit.
pub(crate) fn show_size(bytes: u64) -> String {
    let (name, unit) =
        SIZE_UNITS[..4].iter().rev().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)).unwrap_or(&SIZE_UNITS[0]);
    format!("{}{name}", bytes / unit)
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| c.is_alphabetic())?;
    let (number, unit) = text.split_at(at);
    Some((number.trim_end(), unit))
}

/// `number` x `unit`, with at most three decimals; integer arithmetic, so that `0.1s` is 100 ms and not 99.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.replace('_', "").parse().ok()?;
    let thousandths: u64 = format!("{decimals:0<3}").parse().ok()?;
    whole.checked_mul(unit)?.checked_add(thousandths.checked_mul(unit)? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_come_back() {
        for (text, millis) in [("500ms", 500), ("5s", 5_000), ("1.5m", 90_000), ("2h", 7_200_000), ("0.1s", 100), ("10 s", 10_000)] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["10", "", "s", "-1s", "5 parsecs", "1.2.3s", "99999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for text in ["500ms", "5s", "90s", "2m", "2h", "0ms"] {
            assert_eq!(show_duration(parse_duration(text).expect("valid")), text);
        }
    }

    #[test]
    fn sizes_take_both_families_and_come_back() {
        for (text, bytes) in [("8MiB", 8 << 20), ("1.5KiB", 1536), ("10MB", 10_000_000), ("4096", 4096), ("65_536", 65_536), ("7 B", 7)] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "8mib", "-1", "1e3", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        for text in ["8MiB", "64KiB", "1GiB", "1000B", "0B"] {
            assert_eq!(show_size(parse_size(text).expect("valid")), text);
        }
    }
}
