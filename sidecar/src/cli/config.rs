//! `myelin config check` and `myelin config show`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value as Json, json};

use super::config_args::ConfigArgs;
use super::{Failure, output};
use crate::config::{Config, Origin, Role, RouteKind, Side};
use crate::doctor::{self, Severity};

/// Check a configuration, or show the values in effect
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say what is wrong with a configuration, one line per fault with file, line and key
    #[command(after_help = EXAMPLES)]
    Check {
        /// The file to check [default: what `myelin serve` would read]
        file: Option<PathBuf>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: ConfigArgs,
    },
    /// Print every value in effect, and where it comes from
    ///
    /// The keys are those of the configuration file; myelin.example.toml explains each. Limits are per peer, except limits.connections: that
    /// many ZeroMQ agents over all sockets together, and as many NATS clients besides.
    #[command(after_help = EXAMPLES)]
    Show {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        flags: ConfigArgs,
    },
}

const EXAMPLES: &str = "\
Examples:
  myelin config check myelin.toml
  myelin config show
  myelin config show --json --set limits.connections=2000";

pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.action {
        Action::Check { file, flags, json } => check(flags.with_file(file, "the argument"), json),
        Action::Show { flags, json } => show(&flags.load()?, json),
    }
}

fn check(flags: ConfigArgs, as_json: bool) -> Result<(), Failure> {
    let sources = flags.sources()?;
    let faults: Vec<String> = match sources.load() {
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
        Ok(config) => static_faults(&config),
    };
    let file = sources.file().map(|path| path.display().to_string());
    if as_json {
        output::json(&json!({ "ok": faults.is_empty(), "file": file, "errors": faults }))?;
        return if faults.is_empty() { Ok(()) } else { Err(Failure::silent(super::failure::EXIT_USAGE)) };
    }
    let mut faults = faults.into_iter();
    if let Some(first) = faults.next() {
        return Err(faults.fold(Failure::usage(first), Failure::and));
    }
    let checked = file.map_or_else(|| "no file, all defaults".to_owned(), |file| format!("{file} is valid"));
    output::line(&format!("ok: {checked}"))?;
    Ok(())
}

/// What is wrong with a configuration in itself, one line each; `serve` refuses for the same reasons.
pub(super) fn static_faults(config: &Config) -> Vec<String> {
    let findings = doctor::examine_config(config).into_iter();
    let errors = findings.filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| format!("{}: {}: {}", finding.place, finding.what, finding.fix)).collect()
}

fn show(config: &Config, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let settings: Vec<Json> = config
            .settings
            .iter()
            .map(|(key, setting)| {
                let mut entry = json!({ "key": key.path, "value": setting.value.to_json(), "env": key.env });
                entry["origin"] = origin_json(&setting.origin);
                entry
            })
            .collect();
        let routes: Vec<Json> = config.routes.iter().map(route_json).collect();
        output::json(&json!({ "settings": settings, "routes": routes }))?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = config
        .settings
        .iter()
        .map(|(key, setting)| vec![key.path.to_owned(), quoted_if_empty(setting.value.to_string()), setting.origin.to_string()])
        .chain(config.routes.iter().flat_map(route_rows))
        .collect();
    output::line(&output::table(&["KEY", "VALUE", "ORIGIN"], &rows))?;
    Ok(())
}

fn quoted_if_empty(text: String) -> String {
    if text.is_empty() { "\"\"".to_owned() } else { text }
}

fn origin_json(origin: &Origin) -> Json {
    match origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { path, line } => json!({ "kind": "file", "file": path.display().to_string(), "line": line }),
        Origin::Env(name) => json!({ "kind": "env", "name": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "name": name }),
    }
}

fn endpoints(side: &Side) -> (Vec<String>, Vec<String>) {
    let texts = |list: &[crate::config::Endpoint]| list.iter().map(ToString::to_string).collect();
    (texts(&side.bind), texts(&side.connect))
}

fn route_rows(route: &crate::config::Route) -> Vec<Vec<String>> {
    let label = format!("route {:?}", route.name);
    let mut rows = vec![vec![label.clone(), route.kind.as_str().to_owned(), route.origin.to_string()]];
    for (role, side) in route.kind.sides() {
        let (bind, connect) = endpoints(side);
        let origin = side.origin.as_ref().unwrap_or(&route.origin).to_string();
        for (how, list) in [("bind", bind), ("connect", connect)] {
            if !list.is_empty() {
                rows.push(vec![format!("{label}.{role}.{how}"), format!("[{}]", list.join(", ")), origin.clone()]);
            }
        }
    }
    for (key, setting) in route.security.iter() {
        rows.push(vec![format!("{label}.{}", key.path), quoted_if_empty(setting.value.to_string()), setting.origin.to_string()]);
    }
    rows
}

fn route_json(route: &crate::config::Route) -> Json {
    let mut entry = json!({ "name": route.name, "kind": route.kind.as_str(), "origin": origin_json(&route.origin) });
    for (role, side) in route.kind.sides() {
        let (bind, connect) = endpoints(side);
        entry[Role::as_str(role)] = json!({ "bind": bind, "connect": connect });
    }
    for (key, setting) in route.security.iter() {
        let name = key.path.trim_start_matches("security.");
        entry["security"][name] = json!({ "value": setting.value.to_json(), "origin": origin_json(&setting.origin) });
    }
    match &route.kind {
        RouteKind::Service { window, on_caller_gone, fail_fast, dead_letter_requests, .. } => {
            entry["dead_letter_requests"] = json!(dead_letter_requests);
            entry["window"] = json!(window);
            entry["on_caller_gone"] = json!(on_caller_gone.as_str());
            entry["fail_fast"] = json!(fail_fast);
        }
        RouteKind::Topic { overflow, thinning, .. } => {
            entry["overflow"] = json!(overflow.map(myelin_bus::Overflow::as_str));
            entry["on_change"] = json!(thinning.on_change);
            entry["at_most_every"] = json!(thinning.at_most_every.map(crate::config::show_duration));
        }
        RouteKind::Pipeline { keeping, .. } => {
            let duration = |time: Option<std::time::Duration>| time.map(crate::config::show_duration);
            entry["durable"] = json!(keeping.durable);
            entry["deliveries_max"] = json!(keeping.deliveries_max);
            entry["ack_wait"] = json!(duration(keeping.ack_wait));
            entry["messages_max"] = json!(keeping.messages_max);
            entry["bytes_max"] = json!(keeping.bytes_max);
            entry["age_max"] = json!(duration(keeping.age_max));
        }
        RouteKind::Pair { .. } => {}
    }
    entry
}
