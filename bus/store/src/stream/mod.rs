//! One stream: what is in it, who has read it, and the thread that makes it durable.

mod commit;
mod consumers;
mod core;
mod damage;
#[cfg(test)]
mod damaged;
mod dedup;
mod expiry;
#[cfg(test)]
mod full;
mod index;
mod live;
#[cfg(test)]
mod model;
mod open;
mod overlap;
mod ranges;
mod recent;
mod replay;
mod segments;
mod snapshot;
mod state;
mod time;
#[cfg(test)]
mod unreadable;

pub(crate) use self::commit::Commit;
pub(crate) use self::core::Core;
pub use self::damage::Damage;
pub(crate) use self::index::{Entry, Index};
pub(crate) use self::live::Live;
pub use self::open::OpenError;
pub(crate) use self::open::{create, describe, directory, is_leftover, open, remove};
pub(crate) use self::overlap::overlap;
pub(crate) use self::replay::Replay;
pub(crate) use self::state::{Failed, NewMessage, State};
