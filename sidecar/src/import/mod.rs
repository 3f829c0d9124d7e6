//! `myelin import`: the startup file of a fleet becomes routes.
//!
//! Five steps, one file each, none of which does I/O: [`yaml`] reads the text within bounds, [`fleet`] finds the agents in it,
//! [`sockets`] puts variables in and evaluates ports, [`plan`] gives each socket a route or says what stands in the way, [`render`] writes
//! the routes as configuration.

mod fleet;
mod plan;
mod problem;
mod render;
mod sockets;
mod variables;
mod yaml;

pub(crate) use plan::{ImportedRoute, Plan, Surroundings};
pub(crate) use problem::Problem;
pub(crate) use variables::Variables;
pub(crate) use yaml::{TEXT_BYTES_MAX, YamlError};

/// Reads `text` and plans a route for every socket of every agent in it.
///
/// # Errors
/// When the text cannot be read at all; problems of single agents are part of the plan.
pub(crate) fn import(text: &str, surroundings: &Surroundings<'_>) -> Result<Plan, YamlError> {
    let agents = yaml::read(text)?.map_or_else(Vec::new, |root| fleet::agents(&root));
    Ok(plan::plan(&agents, surroundings))
}

#[cfg(test)]
mod tests;
