//! The message bus of Myelin.

mod overflow;

pub use overflow::{Overflow, OverflowParseError};
