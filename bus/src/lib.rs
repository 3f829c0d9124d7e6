//! The message bus of Myelin.

pub mod outlet;
mod overflow;

pub use overflow::{Overflow, OverflowParseError};
