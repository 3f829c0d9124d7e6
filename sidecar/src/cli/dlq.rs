//! `myelin dlq`.

use std::io::Write;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use myelin_bus::streams::{DeadLetter, DeadLetters, DeadReason, Letter, LetterFilter, Letters, Name, ReplayOptions, Replayed};
use myelin_bus::wire::Filter;
use serde_json::{Value as Json, json};

use super::payload::{self, Style};
use super::server;
use super::stream::{Common, say};
use super::{Failure, output, streams};

/// Look at dead letters, send them on their way again, or let go of them
///
/// A message that nobody could handle is kept whole, with every attempt that was made. Filters are combined: all that are given must hold.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  myelin dlq list --stream orders --reason max_deliver
  myelin dlq show 17
  myelin dlq replay 17
  myelin dlq replay --stream orders --rate 50 --dry-run
  myelin dlq replay --subject 'orders.eu.>' --to orders.retry
  myelin dlq export --all --output letters.jsonl
  myelin dlq purge --older-than 720h
  myelin dlq list --json | jq -r '.reason'";

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(after_help = "Examples:\n  myelin dlq list\n  myelin dlq list --stream orders --reason max_deliver --json")]
    List(List),
    #[command(after_help = "Examples:\n  myelin dlq show 17")]
    Show(Show),
    #[command(after_help = "Examples:\n  myelin dlq replay 17\n  myelin dlq replay --stream orders --rate 50 --dry-run")]
    Replay(Replay),
    #[command(after_help = "Examples:\n  myelin dlq purge --older-than 720h\n  myelin dlq purge --all --dry-run")]
    Purge(Purge),
    #[command(after_help = "Examples:\n  myelin dlq export --all --output letters.jsonl")]
    Export(Export),
}

/// Which letters are meant
#[derive(Debug, Default, clap::Args)]
struct Filters {
    /// From this stream, or this route
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,

    /// From this consumer
    #[arg(long, value_name = "CONSUMER")]
    consumer: Option<String>,

    /// Published to a matching subject
    #[arg(long, value_name = "FILTER")]
    subject: Option<String>,

    /// Dead for this reason
    #[arg(long, value_name = "REASON", value_parser = DeadReason::ALL.map(DeadReason::as_str))]
    reason: Option<String>,

    /// Dead for at least this long
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    older_than: Option<Duration>,
}

/// Which letters to act on: by number, by filters, or all
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Letters by their number in `dlq list`
    #[arg(value_name = "LETTER", conflicts_with_all = ["stream", "consumer", "subject", "reason", "older_than", "all"])]
    letters: Vec<u64>,

    #[command(flatten)]
    filters: Filters,

    /// Every letter
    #[arg(long, conflicts_with_all = ["stream", "consumer", "subject", "reason", "older_than"])]
    all: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Dead letters, oldest first
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    filters: Filters,

    #[command(flatten)]
    common: Common,
}

/// One letter: the message, why it is dead, and every attempt
#[derive(Debug, clap::Args)]
struct Show {
    /// Its number in `dlq list`
    letter: u64,

    /// Print the payload as it is
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    common: Common,
}

/// Send letters' messages on their way again, and let go of the letters
///
/// A message goes into the stream that stores its subject. Where none does, it is sent as a request to whoever serves the subject, and an answer
/// lets go of its letter.
#[derive(Debug, clap::Args)]
struct Replay {
    #[command(flatten)]
    chosen: Chosen,

    /// Publish there instead of where they were published
    #[arg(long, value_name = "SUBJECT")]
    to: Option<String>,

    /// Most letters per second [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(NonZeroU32))]
    rate: Option<NonZeroU32>,

    #[command(flatten)]
    common: Common,
}

/// Let go of letters for ever
#[derive(Debug, clap::Args)]
struct Purge {
    #[command(flatten)]
    chosen: Chosen,

    #[command(flatten)]
    common: Common,
}

/// Write letters as JSON lines, whole; they stay where they are
#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    chosen: Chosen,

    /// The file to write [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::List(args) => list(args).await,
        Verb::Show(args) => show(args).await,
        Verb::Replay(args) => replay(args).await,
        Verb::Purge(args) => purge(args).await,
        Verb::Export(args) => export(args).await,
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let mut letters = args.common.server.connect().await?.dead_letters().list(args.filters.filter()?);
    let (mut rows, mut seen) = (Vec::new(), 0_u64);
    while let Some(letter) = letters.next().await.map_err(|error| streams::stream_failure(&error))? {
        seen += 1;
        if args.common.json {
            output::json(&json_of(&letter))?;
            continue;
        }
        let Letter { sequence, reason, stream, consumer, subject, attempts, dead_ms, .. } = &letter;
        let mut row = vec![sequence.to_string()];
        row.extend([reason, stream, consumer, subject].map(|text| text_cell(text)));
        row.extend([attempts.len().to_string(), streams::ago(*dead_ms), last_words(&letter)]);
        rows.push(row);
        if rows.len() == ROWS {
            output::line(&output::table(&HEADER, &std::mem::take(&mut rows)))?;
        }
    }
    if args.common.json || (rows.is_empty() && seen > 0) {
        return Ok(());
    }
    if rows.is_empty() {
        return Ok(output::line("no dead letters")?);
    }
    Ok(output::line(&output::table(&HEADER, &rows))?)
}

const HEADER: [&str; 8] = ["LETTER", "REASON", "STREAM", "CONSUMER", "SUBJECT", "ATTEMPTS", "DEAD", "LAST ERROR"];

/// Rows of one table: a table is as wide as its widest row, so it is made of what memory holds.
const ROWS: usize = 1_000;

fn text_cell(text: &str) -> String {
    streams::cell(&Json::from(text))
}

fn last_words(letter: &Letter) -> String {
    let words = letter.attempts.last().map(|last| if last.error.is_empty() { &last.outcome } else { &last.error });
    text_cell(words.map_or("", |words| words))
}

async fn show(args: Show) -> Result<(), Failure> {
    let letters = args.common.server.connect().await?.dead_letters();
    let found = letters.show(args.letter).await.map_err(|error| streams::stream_failure(&error))?;
    let whole = found.ok_or_else(|| Failure::runtime(format!("there is no dead letter {}", args.letter)).and(LIST_TELLS))?;
    let subject = whole.message.subject.as_str();
    match Style::new(args.raw, args.common.json) {
        Style::Json => Ok(output::json(&document(&whole))?),
        Style::Raw => payload::print(Style::Raw, "", subject, None, &whole.message.body),
        Style::Escaped => {
            output::line(&streams::fields(&json_of(&whole.letter)))?;
            for attempt in &whole.letter.attempts {
                let said = if attempt.error.is_empty() { "-".to_owned() } else { payload::escape(attempt.error.as_bytes()) };
                output::line(&format!(
                    "attempt, {}: {}: {said}",
                    streams::ago(attempt.at_ms),
                    payload::escape(attempt.outcome.as_bytes())
                ))?;
            }
            for (name, value) in whole.message.meta.iter().flat_map(|meta| &meta.headers) {
                output::line(&format!("{}: {}", payload::escape(name.as_bytes()), payload::escape(value)))?;
            }
            output::line("")?;
            payload::print(Style::Escaped, "", subject, None, &whole.message.body)
        }
    }
}

async fn replay(args: Replay) -> Result<(), Failure> {
    let to = args.to.as_deref().map(server::subject).transpose()?;
    let letters = args.common.server.connect().await?.dead_letters();
    let chosen = args.chosen.letters(&letters)?;
    let options = ReplayOptions { to: to.clone(), rate: args.rate, is_dry_run: args.chosen.dry_run };
    let mut replays = letters.replay_all(chosen, options);
    let (mut seen, mut replayed) = (0_u64, 0_u64);
    loop {
        let replay = match replays.next().await {
            Ok(Some(replay)) => replay,
            Ok(None) => break,
            Err(error) => {
                output::progress("");
                return Err(
                    streams::replay_failure(&error).and(format!("{replayed} were replayed before it, and the rest is where it was"))
                );
            }
        };
        seen += 1;
        let letter = &replay.letter;
        let Some(done) = &replay.replayed else {
            let to = to.as_ref().map_or(&*letter.subject, |to| to.as_str());
            say(args.common.json, &json_of(letter), &format!("would replay letter {} to {}", letter.sequence, text_cell(to)))?;
            continue;
        };
        replayed += 1;
        if args.common.json {
            output::json(&json!({ "letter": letter.sequence, "replayed": replayed_json(done) }))?;
        } else {
            output::progress(&format!("{replayed} replayed"));
        }
    }
    output::progress("");
    if seen == 0 {
        return Err(Failure::runtime("no such dead letters").and(LIST_TELLS));
    }
    if !args.common.json && !args.chosen.dry_run {
        output::line(&format!("{replayed} letters replayed"))?;
    }
    Ok(())
}

const LIST_TELLS: &str = "'myelin dlq list' shows those there are";

fn replayed_json(replayed: &Replayed) -> Json {
    match replayed {
        Replayed::Stored(receipt) => {
            json!({ "stream": receipt.stream.as_str(), "sequence": receipt.sequence, "duplicate": receipt.is_duplicate })
        }
        Replayed::Answered { subject, bytes } => json!({ "answered": { "subject": subject.as_str(), "bytes": bytes } }),
        _ => Json::Null,
    }
}

async fn purge(args: Purge) -> Result<(), Failure> {
    let letters = args.common.server.connect().await?.dead_letters();
    let mut chosen = args.chosen.letters(&letters)?;
    let mut purged = 0_u64;
    while let Some(letter) = chosen.next().await.map_err(|error| streams::stream_failure(&error))? {
        if args.chosen.dry_run {
            say(args.common.json, &json_of(&letter), &format!("would delete letter {}", letter.sequence))?;
            continue;
        }
        purged += u64::from(letters.purge(letter.sequence).await.map_err(|error| streams::stream_failure(&error))?);
        output::progress(&format!("{purged} deleted"));
    }
    output::progress("");
    if args.chosen.dry_run {
        return Ok(());
    }
    say(args.common.json, &json!({ "purged": purged }), &format!("{purged} letters deleted"))
}

async fn export(args: Export) -> Result<(), Failure> {
    let letters = args.common.server.connect().await?.dead_letters();
    let mut chosen = args.chosen.letters(&letters)?;
    if args.chosen.dry_run {
        while let Some(letter) = chosen.next().await.map_err(|error| streams::stream_failure(&error))? {
            say(args.common.json, &json_of(&letter), &format!("would export letter {}", letter.sequence))?;
        }
        return Ok(());
    }
    let mut file = match &args.output {
        Some(path) => Some(std::io::BufWriter::new(
            std::fs::File::create(path)
                .map_err(|error| Failure::usage(format!("--output {}: {}", path.display(), crate::config::reason(&error))))?,
        )),
        None => None,
    };
    let (mut exports, mut exported) = (letters.export(chosen), 0_u64);
    while let Some(whole) = exports.next().await.map_err(|error| streams::stream_failure(&error))? {
        match &mut file {
            Some(file) => {
                writeln!(file, "{}", document(&whole))?;
                exported += 1;
                output::progress(&format!("{exported} exported"));
            }
            None => output::json(&document(&whole))?,
        }
    }
    output::progress("");
    if let Some(mut file) = file {
        file.flush()?;
        say(args.common.json, &json!({ "exported": exported }), &format!("{exported} letters exported"))?;
    }
    Ok(())
}

fn json_of(letter: &Letter) -> Json {
    let attempts = letter.attempts.iter();
    let attempts: Vec<_> =
        attempts.map(|attempt| json!({ "at_ms": attempt.at_ms, "outcome": attempt.outcome, "error": attempt.error })).collect();
    json!({
        "sequence": letter.sequence,
        "stream": letter.stream,
        "consumer": letter.consumer,
        "stream_sequence": letter.origin,
        "subject": letter.subject,
        "reason": letter.reason,
        "fault": letter.fault,
        "dead_ms": letter.dead_ms,
        "payload_bytes": letter.payload_bytes,
        "replays": letter.replays,
        "attempts": attempts,
    })
}

/// A letter with its message.
fn document(whole: &DeadLetter) -> Json {
    let mut document = json_of(&whole.letter);
    let headers = whole.message.meta.iter().flat_map(|meta| &meta.headers);
    document["headers"] = headers.map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    payload::put(&mut document, &whole.message.body);
    document
}

impl Filters {
    fn filter(&self) -> Result<LetterFilter, Failure> {
        let name = |option: &str, text: &Option<String>| {
            let name = |text: &String| Name::new(text).map_err(|error| Failure::usage(format!("{option}: {error}")));
            text.as_ref().map(name).transpose()
        };
        let subject = |text: &String| Filter::new(text).map_err(|error| Failure::usage(format!("--subject: {error}")));
        Ok(LetterFilter {
            stream: name("--stream", &self.stream)?,
            consumer: name("--consumer", &self.consumer)?,
            subject: self.subject.as_ref().map(subject).transpose()?,
            reason: self.reason.as_deref().and_then(DeadReason::from_word),
            older_than: self.older_than,
        })
    }
}

impl Chosen {
    /// Acting on everything is asked for in so many letters.
    fn letters(&self, letters: &DeadLetters) -> Result<Letters, Failure> {
        if !self.letters.is_empty() {
            return Ok(letters.these(self.letters.iter().copied()));
        }
        let Filters { stream, consumer, subject, reason, older_than } = &self.filters;
        let is_filtered = stream.is_some() || consumer.is_some() || subject.is_some() || reason.is_some() || older_than.is_some();
        if !is_filtered && !self.all {
            return Err(Failure::usage("say which letters: their numbers, a filter such as --stream, or --all"));
        }
        Ok(letters.list(self.filters.filter()?))
    }
}
