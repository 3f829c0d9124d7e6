//! `myelin serve`.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::config_args::ConfigArgs;
use super::{Failure, failure, output};
use crate::app::{App, Outcome};
use crate::config::Config;

/// Start the sidecar
///
/// Prints what listens where once everything is bound. SIGTERM or Ctrl-C drains and stops; a second one stops at once.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Print nothing when ready
    #[arg(long, short)]
    quiet: bool,

    /// Print one JSON line when ready
    #[arg(long, conflicts_with = "quiet")]
    json: bool,

    #[command(flatten)]
    flags: ConfigArgs,
}

const EXAMPLES: &str = "\
Examples:
  myelin serve
  myelin serve --config myelin.toml
  myelin serve --listen 127.0.0.1:4333 --state-dir /var/lib/myelin
  MYELIN_HTTP=127.0.0.1:7301 myelin serve --json";

/// How long tasks that ignore the stop may keep the process.
const RUNTIME_GRACE: Duration = Duration::from_millis(200);

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let file = args.flags.sources()?.file();
    let config = args.flags.load()?;
    let mut faults = super::config::static_faults(&config).into_iter();
    if let Some(first) = faults.next() {
        return Err(faults.fold(Failure::usage(first), Failure::and));
    }
    let workers = config.serve.threads.unwrap_or_else(workers_default);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers.get()).enable_all().thread_name("myelin").build();
    let runtime = runtime.map_err(|error| Failure::runtime(format!("cannot start the async runtime: {error}")))?;
    let outcome: Result<Outcome, Failure> = runtime.block_on(async {
        let mut signals = Signals::new().map_err(|error| Failure::runtime(format!("cannot listen for signals: {error}")))?;
        // A signal while we start has nothing to drain: it only ends the program.
        let app = tokio::select! {
            app = App::build(&config) => app.map_err(|error| Failure::usage(error.to_string()))?,
            () = signals.next() => return Ok(Outcome::Clean),
        };
        tracing::info!(config = file.as_ref().map(|path| path.display().to_string()), "ready");
        if args.json {
            output::json(&ready_json(&app, &config))?;
        } else if !args.quiet {
            let file = file.map_or_else(|| "no configuration file".to_owned(), |path| path.display().to_string());
            output::line(&greeting(&app, &config, &file, std::io::stdout().is_terminal()))?;
        }
        let (stop, force) = (CancellationToken::new(), CancellationToken::new());
        let watch = async {
            signals.next().await;
            stop.cancel();
            signals.next().await;
            force.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = app.run(stop.clone(), force.clone()) => Ok(outcome),
            () = watch => unreachable!("waiting for signals never ends"),
        }
    });
    runtime.shutdown_timeout(RUNTIME_GRACE);
    match outcome? {
        Outcome::Clean => Ok(()),
        Outcome::Forced => Err(Failure::silent(failure::EXIT_RUNTIME)),
    }
}

/// Worker threads where `serve.threads` leaves the choice to us: as many as there are cores.
///
/// With one, a read never wakes a second worker, which is cheaper for a single busy connection; with one per core, what takes long at one
/// connection, such as a handshake of CURVE, keeps fewer others waiting.
fn workers_default() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn ready_json(app: &App, config: &Config) -> serde_json::Value {
    let listens = app.listens();
    let first = |what| listens.of(what).next();
    json!({
        "state": "ready",
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "nats": first("bus"),
        "http": first("http"),
        "discovery": first("discovery"),
        "hub": { "publishers": listens.of("hub").next(), "subscribers": listens.of("hub").nth(1) },
        "state_dir": config.serve.state_dir,
        "routes": app.routes(),
        "listens": listens,
    })
}

/// What listens where and what to try next, for eyes.
fn greeting(app: &App, config: &Config, file: &str, colour: bool) -> String {
    let (bold, plain) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let listens = app.listens();
    let mut lines =
        vec![format!("{bold}myelin {} is ready{plain} ({file}, pid {})", env!("CARGO_PKG_VERSION"), std::process::id()), String::new()];
    let mut previous = "";
    for listen in listens.0.iter().filter(|listen| listen.what != "route") {
        let what = if listen.what == previous { "" } else { listen.what };
        previous = listen.what;
        lines.push(format!("  {what:<10} {:<28} {}", listen.url, listen.who));
    }
    if app.routes() > 0 {
        lines.push(format!("  {:<10} {:<28} myelin config show", "routes", format!("{} open", app.routes())));
    }
    lines.push(format!("  {:<10} {}", "state", config.serve.state_dir.display()));
    let url = listens.of("bus").next().unwrap_or_default();
    lines.push(String::new());
    if url == DEFAULT_URL {
        lines.push("Try in another terminal:".to_owned());
    } else {
        lines.push(format!("Try in another terminal, after export MYELIN_SERVER={url}:"));
    }
    lines.push("  myelin sub '>'                     see everything that is said".to_owned());
    lines.push("  myelin pub demo.hello 'hello'      say something".to_owned());
    lines.push("  myelin agents                      who is attached".to_owned());
    lines.push("  myelin doctor                      if something seems wrong".to_owned());
    lines.join("\n")
}

/// Where the other commands look when nobody tells them.
const DEFAULT_URL: &str = "nats://127.0.0.1:4222";
