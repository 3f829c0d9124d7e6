//! Configuration: one table of keys, four sources, and an origin for every value.
//!
//! A value comes from a flag, else from the environment, else from the file, else from the default; whoever wins is remembered,
//! so that `myelin config show` and every error can say where to look. Whoever runs gets the typed [`Config`]
//! and never sees a key, a file or an environment variable.

mod binds;
mod endpoint;
mod error;
mod file;
mod health;
mod keys;
mod memory;
mod origin;
mod route;
mod security;
mod settings;
mod sources;
mod suggest;
mod text;
mod typed;
mod value;

pub(crate) use binds::Use;
pub(crate) use endpoint::{Endpoint, bind_addr, is_same_local, known_address, local_name, resolve};
pub(crate) use error::ConfigError;
pub(crate) use health::Thinning;
pub(crate) use memory::MemoryEngine;
pub(crate) use origin::Origin;
pub(crate) use route::{Keeping, Linger, Role, Route, RouteKind, Side};
pub(crate) use security::{FILES, MechanismName, Security};
pub(crate) use settings::{Overrides, Settings};
pub(crate) use sources::{Flag, Sources, reason};
pub(crate) use suggest::nearest;
pub(crate) use text::{parse_duration, parse_size, show_duration};
pub(crate) use typed::{Config, Engine};

#[cfg(test)]
mod tests;
