//! `myelin import`.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::config_args::ConfigArgs;
use super::{Failure, failure, output};
use crate::config::reason;
use crate::import::{self, ImportedRoute, Plan, Problem, Surroundings, TEXT_BYTES_MAX, Variables};

/// Turn the startup file of a fleet into routes
///
/// Reads YAML in one of two shapes: `agent_groups: {group: {Name: {port, health_check_port, dependencies, ..}}}`, or a list of
/// `{name, host, port, health_check_port, ..}`, at the top or under a key. Each agent gets a service route of its name, and
/// `<Name>.health` when it has a health port. Callers then connect to the agent's port plus --offset, and the sidecar connects to
/// the agent.
///
/// A port is a number or a sum: 7200, "${PORT_OFFSET}+7200", "$BASE+1", "${VAR:-7200}".
///
/// Problems go to stderr, each with its line: names or ports that are used twice, ports that are missing or no numbers, variables without
/// a value, dependencies nobody knows, ports on which the sidecar itself listens. What has such a problem gets no route (an unknown
/// dependency alone does no harm); the others are written all the same. Exit code 0 without problems, 1 with problems, 64 when the file
/// cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The startup file; `-` reads it from stdin
    file: PathBuf,

    /// Our port for callers is the agent's port plus N, which may be negative
    #[arg(long, value_name = "N", default_value_t = 10_000, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-65_535..=65_535))]
    offset: i32,

    /// Set a variable of the file, such as --set PORT_OFFSET=0; wins over the environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,

    /// Write the routes to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Overwrite the output file
    #[arg(long, requires = "output")]
    force: bool,

    /// Write no routes at all when there are problems
    #[arg(long)]
    strict: bool,

    /// Configuration whose listeners the routes have to keep clear of [default: myelin.toml if it exists] [env: MYELIN_CONFIG]
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print a report as one JSON document, and the routes only to --output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin import startup.yaml                                    an agent on 7200 is reached on 17200
  myelin import startup.yaml --set PORT_OFFSET=0 --output routes.toml
  myelin import startup.yaml --offset 20000 --strict >> myelin.toml && myelin config check
  myelin import startup.yaml --json | jq -r '.problems[].what'";

/// Problems shown as lines; the report has all.
const PROBLEMS_SHOWN: usize = 100;

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let shown = if args.file == Path::new("-") { "stdin".to_owned() } else { args.file.display().to_string() };
    let variables = Variables::new(assignments(&args.set)?);
    let config = ConfigArgs::default().with_file(args.config.clone(), "--config").load()?;
    let surroundings = Surroundings { variables: &variables, offset: args.offset, binds: &config.binds(), has_hub: config.hub.enabled };
    let text = read(&args.file, &shown)?;
    let plan = import::import(&text, &surroundings).map_err(|error| {
        let place = error.line().map_or_else(|| shown.clone(), |line| format!("{shown}:{line}"));
        Failure::usage(format!("{place}: {error}"))
    })?;
    if plan.agents == 0 {
        return Err(Failure::usage(format!("{shown}: no agents in it")).and(
            "expected 'agent_groups: {group: {Name: {port: 7200}}}', or a list of '{name: Name, port: 7200}'; see myelin import --help",
        ));
    }
    let is_written = plan.problems.is_empty() || !args.strict;
    let toml = if is_written { plan.to_toml(&shown, args.offset) } else { String::new() };
    match &args.output {
        Some(path) if is_written => {
            write(path, &toml, args.force)?;
            output::hint(&format!("{} routes in {1}; check them with: myelin config check {1}", plan.routes.len(), path.display()));
        }
        None if !args.json => output::text(&toml)?,
        Some(_) | None => {}
    }
    if args.json {
        output::json(&report(&plan, &shown, &args, is_written))?;
    }
    conclude(&plan, &shown, is_written, args.json)
}

/// The value of each `--set`.
fn assignments(set: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let assignment = |pair: &String| match pair.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("--set {pair}: expected NAME=VALUE, such as PORT_OFFSET=0"))),
    };
    set.iter().map(assignment).collect()
}

/// Reads at most a byte more than an import takes, however large the file is.
fn read(path: &Path, shown: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let limit = TEXT_BYTES_MAX as u64 + 1;
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    result.map_err(|error| Failure::usage(format!("{shown}: cannot read the startup file: {}", reason(&error))))?;
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(Failure::usage(format!("{shown}: {}", import::YamlError::TooLarge)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::usage(format!("{shown}:{line}: not UTF-8, which YAML has to be"))
    })
}

fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let file = if force { File::create(path) } else { OpenOptions::new().write(true).create_new(true).open(path) };
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
        let path = path.display();
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            Failure::usage(format!("--output {path}: the file exists, pass --force to overwrite it"))
        } else {
            Failure::usage(format!("--output {path}: {}", reason(&error)))
        }
    })
}

fn report(plan: &Plan, file: &str, args: &Args, is_written: bool) -> Json {
    let route = |route: &ImportedRoute| {
        json!({
            "name": route.name,
            "agent": route.agent,
            "group": route.group,
            "callers": route.bind.to_string(),
            "agents": route.connect.to_string(),
        })
    };
    let routes: Vec<Json> = if is_written { plan.routes.iter().map(route).collect() } else { Vec::new() };
    json!({
        "ok": plan.problems.is_empty(),
        "file": file,
        "output": args.output.as_ref().filter(|_| is_written).map(|path| path.display().to_string()),
        "offset": args.offset,
        "agents": plan.agents,
        "routes": routes,
        "problems": plan.problems.iter().map(Problem::to_json).collect::<Vec<_>>(),
    })
}

/// What is wrong, and the exit code for it.
fn conclude(plan: &Plan, file: &str, is_written: bool, is_reported: bool) -> Result<(), Failure> {
    if plan.problems.is_empty() {
        return Ok(());
    }
    let mut failure = Failure::silent(failure::EXIT_RUNTIME);
    if !is_reported {
        for problem in plan.problems.iter().take(PROBLEMS_SHOWN) {
            failure = failure.and(format!("{file}:{}: {}", problem.line, problem.fault));
        }
        let rest = plan.problems.len().saturating_sub(PROBLEMS_SHOWN);
        if rest > 0 {
            failure = failure.and(format!("and {rest} more; --json lists all"));
        }
    }
    if !is_written {
        failure = failure.and("no routes were written, because of --strict");
    }
    Err(failure)
}
