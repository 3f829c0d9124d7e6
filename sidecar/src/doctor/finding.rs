//! One thing that is wrong, why it matters, and what to do.

use serde::Serialize;

/// How bad it is; the worst sorts first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// `serve` would not start, or something cannot work.
    Error,
    /// Works, until it hurts.
    Warning,
}

/// One finding of a check.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// Stable name of the check, for scripts and for `--allow`.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// Where to look: a file and line, a variable, a flag.
    #[serde(rename = "where")]
    pub(crate) place: String,
    /// The fact, with the setting and the value.
    pub(crate) what: String,
    /// What happens because of it.
    pub(crate) why: String,
    /// What to do.
    pub(crate) fix: String,
}

impl Severity {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}
