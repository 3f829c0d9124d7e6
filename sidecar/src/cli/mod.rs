//! The command line: what can be typed, and what becomes of it. One file per verb.

mod agents;
mod config;
mod config_args;
mod consumer;
mod dlq;
mod doctor;
mod failure;
mod health;
mod import;
mod logs;
mod mem;
mod output;
mod payload;
mod publish;
mod reply;
mod req;
mod serve;
mod server;
mod stream;
mod streams;
mod sub;
mod traffic;
mod zmq;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use failure::Failure;

/// One sidecar per machine: message bus for fleets of AI agents, over sockets they already speak.
#[derive(Debug, Parser)]
#[command(name = "myelin", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// What to log to stderr: error, warn, info, debug, trace, off, or a filter such as myelin_bus=debug
    #[arg(long, global = true, env = "MYELIN_LOG", hide_env_values = true, value_name = "FILTER")]
    log: Option<String>,

    /// Log as JSON lines
    #[arg(long, global = true)]
    log_json: bool,
}

/// What can be typed; each verb's help is the documentation of its arguments.
#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Args),
    Pub(publish::Args),
    Sub(sub::Args),
    Req(req::Args),
    Reply(reply::Args),
    Agents(agents::Args),
    Zmq(zmq::Args),
    Traffic(traffic::Args),
    Stream(stream::Args),
    Consumer(consumer::Args),
    Dlq(dlq::Args),
    Mem(mem::Args),
    Doctor(doctor::Args),
    Health(health::Args),
    Config(config::Args),
    Import(import::Args),
}

const AFTER_HELP: &str = "\
Try it:
  myelin serve                          in one terminal
  myelin sub 'demo.>'                   in another
  myelin pub demo.hello 'hello world'   in a third

Exit codes: 0 clean, 1 forced stop or runtime error, 64 bad usage or configuration";

/// Parses, runs one verb, and turns what went wrong into lines on stderr and an exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let default_level = if matches!(cli.verb, Verb::Serve(_)) { "info" } else { "warn" };
    logs::start(cli.log.as_deref(), default_level, cli.log_json)?;
    match cli.verb {
        Verb::Serve(args) => serve::run(args),
        Verb::Pub(args) => server::block_on(publish::run(args)),
        Verb::Sub(args) => server::block_on(sub::run(args)),
        Verb::Req(args) => server::block_on(req::run(args)),
        Verb::Reply(args) => server::block_on(reply::run(args)),
        Verb::Agents(args) => server::block_on(agents::run(args)),
        Verb::Zmq(args) => server::block_on(zmq::run(args)),
        Verb::Traffic(args) => server::block_on(traffic::run(args)),
        Verb::Stream(args) => server::block_on(stream::run(args)),
        Verb::Consumer(args) => server::block_on(consumer::run(args)),
        Verb::Dlq(args) => server::block_on(dlq::run(args)),
        Verb::Mem(args) => server::block_on(mem::run(args)),
        Verb::Doctor(args) => doctor::run(args),
        Verb::Health(args) => health::run(args),
        Verb::Config(args) => config::run(args),
        Verb::Import(args) => import::run(args),
    }
}

/// Help and version go to stdout with 0; everything else is a usage error.
fn usage(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { failure::EXIT_USAGE } else { 0 };
    // Nothing is left to tell if even this cannot be printed.
    error.print().ok();
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_verb_shows_examples() {
        let mut command = super::Cli::command();
        command.build();
        command.clone().debug_assert();
        let is_verb = |verb: &&clap::Command| verb.get_name() != "help";
        let verbs = command.get_subcommands().filter(is_verb);
        for verb in verbs.flat_map(|verb| std::iter::once(verb).chain(verb.get_subcommands().filter(is_verb))) {
            let help = verb.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{} has no examples", verb.get_name());
            assert!(help.contains("--json"), "{} has no --json", verb.get_name());
        }
    }
}
