//! `myelin doctor`.

use serde_json::json;

use super::config_args::ConfigArgs;
use super::{Failure, output};
use crate::doctor::{self, Finding, Severity};

/// Find mistakes in the configuration and on this machine
///
/// Looks at the configuration, the ports, the state directory, the limits of the system and the agents that routes
/// connect to. Changes nothing. Exit code 0 when nothing was found, 1 otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A finding to accept, by its id; may be repeated
    #[arg(long, value_name = "ID")]
    allow: Vec<String>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: ConfigArgs,
}

const EXAMPLES: &str = "\
Examples:
  myelin doctor
  myelin doctor --config myelin.toml --json
  myelin doctor --allow bind-not-loopback";

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let sources = args.flags.sources()?;
    let found = match sources.load() {
        Ok(config) => doctor::examine(&config),
        Err(errors) => errors.iter().map(config_error).collect(),
    };
    let (accepted, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|finding| args.allow.iter().any(|id| id == finding.id));
    if args.json {
        output::json(&json!({ "ok": found.is_empty(), "findings": found, "accepted": accepted }))?;
    } else {
        let file = sources.file().map_or_else(|| "no configuration file, all defaults".to_owned(), |file| file.display().to_string());
        output::line(&format!("checked: {file}"))?;
        for finding in &found {
            output::line(&describe(finding))?;
        }
        output::line(&summary(&found, accepted.len()))?;
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::silent(super::failure::EXIT_RUNTIME)) }
}

/// A configuration that cannot be read is a finding as well, and hides all others.
fn config_error(error: &crate::config::ConfigError) -> Finding {
    let place = error.origin.to_string();
    let text = error.to_string();
    Finding {
        id: "config",
        severity: Severity::Error,
        what: text.strip_prefix(&format!("{place}: ")).unwrap_or(&text).to_owned(),
        place,
        why: "the sidecar would not start, and the other checks need a valid configuration".to_owned(),
        fix: "correct the value; myelin.example.toml shows every key with its default".to_owned(),
    }
}

fn describe(finding: &Finding) -> String {
    format!(
        "\n{} [{}] {}\n  where: {}\n  why:   {}\n  fix:   {}",
        finding.severity.as_str(),
        finding.id,
        finding.what,
        finding.place,
        finding.why,
        finding.fix
    )
}

fn summary(found: &[Finding], accepted: usize) -> String {
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error).count();
    let accepted = if accepted == 0 { String::new() } else { format!(", {accepted} accepted") };
    match found.len() {
        0 => format!("nothing found{accepted}"),
        all => format!("\n{errors} errors, {} warnings{accepted}", all - errors),
    }
}
