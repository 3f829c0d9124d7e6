//! One stream: what is in it, who has read it, and the thread that makes it durable.

mod core;
mod dedup;
mod index;
mod live;
mod open;
mod overlap;
mod ranges;
mod replay;
mod snapshot;
mod state;

pub(crate) use self::core::Core;
pub(crate) use self::index::{Entry, Index};
pub(crate) use self::live::Live;
pub use self::open::{Damage, OpenError};
pub(crate) use self::open::{create, describe, directory, open};
pub(crate) use self::overlap::overlap;
pub(crate) use self::replay::Replay;
pub(crate) use self::state::{NewMessage, State, Stored};
