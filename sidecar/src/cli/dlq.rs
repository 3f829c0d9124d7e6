//! `myelin dlq`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use myelin_bus::Bus;
use serde_json::{Value as Json, json};

use super::payload::Style;
use super::server;
use super::stream::{Common, document, millis, print, say};
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
    /// From this stream
    #[arg(long, value_name = "STREAM")]
    stream: Option<String>,

    /// Published to a matching subject
    #[arg(long, value_name = "FILTER")]
    subject: Option<String>,

    /// Dead for this reason: `max_deliver`, term, expired or malformed
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,

    /// Dead for at least this long
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    older_than: Option<Duration>,
}

/// Which letters to act on: by number, by filters, or all
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Letters by their number in `dlq list`
    #[arg(value_name = "LETTER", conflicts_with_all = ["stream", "subject", "reason", "older_than", "all"])]
    letters: Vec<u64>,

    #[command(flatten)]
    filters: Filters,

    /// Every letter
    #[arg(long, conflicts_with_all = ["stream", "subject", "reason", "older_than"])]
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

/// Publish letters' messages again, and let go of the letters
#[derive(Debug, clap::Args)]
struct Replay {
    #[command(flatten)]
    chosen: Chosen,

    /// Publish there instead of where they were published
    #[arg(long, value_name = "SUBJECT")]
    to: Option<String>,

    /// Most letters per second [default: as fast as it goes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

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
        Verb::Show(args) => {
            let bus = args.common.server.connect().await?;
            let letter = streams::ask_raw(&bus, "DLQ.SHOW", &json!({ "sequence": args.letter, "raw": true })).await?;
            print(Style::new(args.raw, args.common.json), &letter)
        }
        Verb::Replay(args) => replay(args).await,
        Verb::Purge(args) => purge(args).await,
        Verb::Export(args) => export(args).await,
    }
}

async fn list(args: List) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let mut letters = Letters::matching(&args.filters);
    let mut rows = Vec::new();
    while let Some(letter) = letters.next(&bus).await? {
        if args.common.json {
            output::json(&letter)?;
            continue;
        }
        let mut row = streams::cells(&letter, &["sequence", "reason", "stream", "consumer", "subject"]);
        row.push(letter["attempts"].as_array().map_or(0, Vec::len).to_string());
        row.push(streams::ago(letter["dead_ms"].as_u64().unwrap_or(0)));
        let last = letter["attempts"].as_array().and_then(|attempts| attempts.last());
        row.push(last.map_or_else(|| "-".to_owned(), last_words));
        rows.push(row);
        if rows.len() == ROWS {
            output::line(&output::table(&HEADER, &std::mem::take(&mut rows)))?;
        }
    }
    if args.common.json || (rows.is_empty() && letters.seen > 0) {
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

fn last_words(attempt: &Json) -> String {
    match attempt["error"].as_str() {
        Some("") | None => streams::cell(&attempt["outcome"]),
        Some(_) => streams::cell(&attempt["error"]),
    }
}

async fn replay(args: Replay) -> Result<(), Failure> {
    let mut letters = args.chosen.letters()?;
    let bus = args.common.server.connect().await?;
    let mut pace = args.rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let (mut replayed, mut refused) = (0_u64, None);
    while let Some(letter) = letters.next(&bus).await? {
        let sequence = &letter["sequence"];
        if args.chosen.dry_run {
            let to = args.to.clone().unwrap_or_else(|| streams::cell(&letter["subject"]));
            say(args.common.json, &letter, &format!("would replay letter {sequence} to {to}"))?;
            continue;
        }
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        match streams::ask(&bus, "DLQ.REPLAY", &json!({ "sequence": sequence, "to": args.to })).await {
            Ok(receipt) => {
                replayed += 1;
                if args.common.json {
                    output::json(&json!({ "letter": sequence, "replayed": receipt }))?;
                } else {
                    output::progress(&format!("{replayed} replayed"));
                }
            }
            // The rest would very likely fail in the same way, and is where it was.
            Err(failure) => {
                refused = Some(failure.and(format!("letter {sequence} stays where it is; {replayed} were replayed before it")));
                break;
            }
        }
    }
    output::progress("");
    if let Some(failure) = refused {
        return Err(failure);
    }
    letters.nothing_is_a_failure()?;
    if !args.common.json && !args.chosen.dry_run {
        output::line(&format!("{replayed} letters replayed"))?;
    }
    Ok(())
}

async fn purge(args: Purge) -> Result<(), Failure> {
    let mut letters = args.chosen.letters()?;
    let bus = args.common.server.connect().await?;
    let mut purged = 0;
    while let Some(letter) = letters.next(&bus).await? {
        let sequence = &letter["sequence"];
        if args.chosen.dry_run {
            say(args.common.json, &letter, &format!("would delete letter {sequence}"))?;
            continue;
        }
        let answer = streams::ask(&bus, "DLQ.PURGE", &json!({ "sequences": [sequence] })).await?;
        purged += answer["purged"].as_u64().unwrap_or(0);
        output::progress(&format!("{purged} deleted"));
    }
    output::progress("");
    if args.chosen.dry_run {
        return Ok(());
    }
    say(args.common.json, &json!({ "purged": purged }), &format!("{purged} letters deleted"))
}

async fn export(args: Export) -> Result<(), Failure> {
    let mut letters = args.chosen.letters()?;
    let bus = args.common.server.connect().await?;
    let mut file = match &args.output {
        Some(path) => Some(std::io::BufWriter::new(
            std::fs::File::create(path)
                .map_err(|error| Failure::usage(format!("--output {}: {}", path.display(), crate::config::reason(&error))))?,
        )),
        None => None,
    };
    let mut exported = 0_u64;
    while let Some(mut letter) = letters.next(&bus).await? {
        if args.chosen.dry_run {
            say(args.common.json, &letter, &format!("would export letter {}", letter["sequence"]))?;
            continue;
        }
        let whole = streams::ask_raw(&bus, "DLQ.SHOW", &json!({ "sequence": letter["sequence"], "raw": true })).await?;
        let whole = document(&whole);
        for field in ["headers", "body", "frames"] {
            if !whole[field].is_null() {
                letter[field] = whole[field].clone();
            }
        }
        match &mut file {
            Some(file) => {
                writeln!(file, "{letter}")?;
                exported += 1;
                output::progress(&format!("{exported} exported"));
            }
            None => output::json(&letter)?,
        }
    }
    output::progress("");
    if let Some(mut file) = file {
        file.flush()?;
        say(args.common.json, &json!({ "exported": exported }), &format!("{exported} letters exported"))?;
    }
    Ok(())
}

/// Letters one after the other, asked for page by page, so that a million of them are no matter.
struct Letters {
    filters: Json,
    /// Where the next page begins; `None` after the last one.
    from: Option<u64>,
    page: std::vec::IntoIter<Json>,
    seen: u64,
}

impl Letters {
    fn matching(filters: &Filters) -> Self {
        let Filters { stream, subject, reason, older_than } = filters;
        let filters = json!({ "stream": stream, "subject": subject, "reason": reason, "older_than_ms": older_than.map(millis) });
        Self { filters, from: Some(0), page: Vec::new().into_iter(), seen: 0 }
    }

    async fn next(&mut self, bus: &Bus) -> Result<Option<Json>, Failure> {
        loop {
            if let Some(letter) = self.page.next() {
                self.seen += 1;
                return Ok(Some(letter));
            }
            let Some(from) = self.from else { return Ok(None) };
            let mut asked = self.filters.clone();
            asked["from"] = from.into();
            let mut answer = streams::ask(bus, "DLQ.LIST", &asked).await?;
            self.from = answer["next"].as_u64();
            if let Json::Array(letters) = answer["letters"].take() {
                self.page = letters.into_iter();
            }
        }
    }

    fn nothing_is_a_failure(&self) -> Result<(), Failure> {
        if self.seen == 0 { Err(Failure::runtime("no such dead letters").and("'myelin dlq list' shows those there are")) } else { Ok(()) }
    }
}

impl Chosen {
    /// Acting on everything is asked for in so many letters.
    fn letters(&self) -> Result<Letters, Failure> {
        let Filters { stream, subject, reason, older_than } = &self.filters;
        let is_filtered = stream.is_some() || subject.is_some() || reason.is_some() || older_than.is_some();
        if !self.letters.is_empty() {
            let page: Vec<Json> = self.letters.iter().map(|letter| json!({ "sequence": letter })).collect();
            return Ok(Letters { filters: Json::Null, from: None, page: page.into_iter(), seen: 0 });
        }
        if !is_filtered && !self.all {
            return Err(Failure::usage("say which letters: their numbers, a filter such as --stream, or --all"));
        }
        Ok(Letters::matching(&self.filters))
    }
}
