//! `myelin mem export`.

use std::io::Write;
use std::path::PathBuf;

use myelin_bus::Bus;
use serde_json::{Value as Json, json};

use super::super::stream::{Common, say};
use super::super::{Failure, output};
use super::ask::ask;
use super::carry;
use crate::memory::wire;

/// Write a space as lines of JSON: its entries, and what is in its windows
///
/// It is no snapshot: what changes meanwhile is in it as it was when it was read.
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Whose memory
    space: String,

    /// Keys and windows that begin so
    #[arg(long, default_value = "")]
    prefix: String,

    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    common: Common,
}

/// Keys asked for at once: with values of the default size less than a message carries, and more than one round trip is worth.
const KEYS_AT_ONCE: usize = 4;

/// Whatever a window's bounds are when it is appended to, what is in it is exported.
const ALL_ENTRIES: Option<u32> = Some(10_000);
const ANY_AGE_MS: Option<u64> = Some(100 * 365 * 24 * 3_600_000);

/// Where lines go, and how many went.
struct Lines {
    file: Option<std::io::BufWriter<std::fs::File>>,
    written: u64,
}

pub(super) async fn run(args: Export) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let file = args.output.as_ref().map(|path| {
        let failed = |error| Failure::usage(format!("--output {}: {}", path.display(), crate::config::reason(&error)));
        std::fs::File::create(path).map(std::io::BufWriter::new).map_err(failed)
    });
    let mut lines = Lines { file: file.transpose()?, written: 0 };
    let entries = export_entries(&bus, &args, &mut lines).await?;
    let windows = export_windows(&bus, &args, &mut lines).await?;
    output::progress("");
    if let Some(mut file) = lines.file {
        file.flush()?;
        let done = json!({ "entries": entries, "windows": windows, "window_entries": lines.written - entries });
        say(
            args.common.json,
            &done,
            &format!("{entries} entries and {windows} windows with {} entries exported", lines.written - entries),
        )?;
    }
    Ok(())
}

async fn export_entries(bus: &Bus, args: &Export, lines: &mut Lines) -> Result<u64, Failure> {
    let told: wire::Told = ask(bus, "STATS", &wire::Stats { space: Some(args.space.clone()) }).await?;
    let of = told.space.map_or(0, |space| space.entries);
    let (mut exported, mut after) = (0, None);
    loop {
        let page = page(bus, args, after, false).await?;
        for keys in page.keys.chunks(KEYS_AT_ONCE) {
            for (key, entry) in keys.iter().zip(read(bus, &args.space, keys).await?) {
                // One that expired meanwhile is not there any more.
                let Some(entry) = entry else { continue };
                lines.write(&carry::entry(&args.space, key, &entry))?;
                exported += 1;
            }
            output::progress(&carry::bar("entries", exported, of.max(exported)));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(exported),
        }
    }
}

/// Several at once, or one by one where they are too large together.
async fn read(bus: &Bus, space: &str, keys: &[String]) -> Result<Vec<Option<wire::Entry>>, Failure> {
    let many = wire::GetMany { space: space.to_owned(), keys: keys.to_vec() };
    if let Ok(wire::GotMany { entries }) = ask(bus, "GET_MANY", &many).await {
        return Ok(entries);
    }
    let mut entries = Vec::new();
    for key in keys {
        let got: wire::Got = ask(bus, "GET", &wire::Get { space: space.to_owned(), key: key.clone() }).await?;
        entries.push(got.entry);
    }
    Ok(entries)
}

async fn export_windows(bus: &Bus, args: &Export, lines: &mut Lines) -> Result<u64, Failure> {
    let (mut exported, mut after) = (0, None);
    loop {
        let page = page(bus, args, after, true).await?;
        for window in &page.keys {
            export_window(bus, &args.space, window, lines).await?;
            exported += 1;
            output::progress(&format!("{exported} windows"));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(exported),
        }
    }
}

async fn export_window(bus: &Bus, space: &str, window: &str, lines: &mut Lines) -> Result<(), Failure> {
    let mut asked = wire::Recent {
        space: space.to_owned(),
        window: window.to_owned(),
        entries_max: ALL_ENTRIES,
        age_max_ms: ANY_AGE_MS,
        last: None,
        since_ms: Some(0),
        after: None,
        limit: None,
    };
    loop {
        let page: wire::Recalled = ask(bus, "RECENT", &asked).await?;
        for entry in &page.entries {
            lines.write(&carry::recall(space, window, entry))?;
        }
        match page.entries.last() {
            Some(last) if page.more => (asked.since_ms, asked.after) = (None, Some(last.position.clone())),
            Some(_) | None => return Ok(()),
        }
    }
}

async fn page(bus: &Bus, args: &Export, after: Option<String>, windows: bool) -> Result<wire::Scanned, Failure> {
    let asked = wire::Scan { space: args.space.clone(), prefix: args.prefix.clone(), after, limit: None, windows };
    ask(bus, "SCAN", &asked).await
}

impl Lines {
    fn write(&mut self, line: &Json) -> Result<(), Failure> {
        self.written += 1;
        match &mut self.file {
            Some(file) => Ok(writeln!(file, "{line}")?),
            None => Ok(output::json(line)?),
        }
    }
}
