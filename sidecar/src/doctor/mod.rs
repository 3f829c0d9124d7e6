//! `myelin doctor`: looks for mistakes that are no errors of syntax, and says how to mend each.
//!
//! Checks of the configuration alone are in [`routes`], [`addresses`] and [`security`]; `config check` and `serve` run them too and refuse
//! on errors. Checks that touch this machine or the network are in [`host`] and [`agents`].

mod addresses;
mod agents;
mod finding;
mod host;
mod local;
mod memory;
mod pipelines;
mod probe;
mod routes;
mod security;
mod store;

pub(crate) use addresses::leads_to;
pub(crate) use finding::{Finding, Severity};

use crate::config::Config;

/// Checks that need nothing but the configuration, worst first.
pub(crate) fn examine_config(config: &Config) -> Vec<Finding> {
    let mut findings = routes::examine(config);
    findings.extend(pipelines::examine(config));
    findings.extend(addresses::examine(config));
    findings.extend(security::examine(config));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// All checks, worst first. Blocks: connects to agents, each with a deadline of a second or two.
pub(crate) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = examine_config(config);
    findings.extend(host::examine(config));
    findings.extend(security::examine_files(config));
    findings.extend(store::examine(config));
    findings.extend(memory::examine(config));
    findings.extend(agents::examine(config));
    findings.extend(pipelines::examine_running(config));
    findings.sort_by_key(|finding| finding.severity);
    findings
}
