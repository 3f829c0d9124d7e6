//! The registry on disk: one file, replaced as a whole, read once at the start.
//!
//! Agents register once, at construction. What is lost here stays lost until they restart, so the file is replaced
//! atomically (written beside, synced, renamed, directory synced), and of a damaged one every undamaged line is used.
//!
//! Layout, one JSON value per line: a header with format and version, a line per agent (see `record.rs`), an end line
//! with their number. All calls block; `saver.rs` keeps them off the async threads.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::agent::Agent;
use super::record;

const HEADER: &str = "{\"format\": \"myelin-discovery\", \"version\": 1}";
const HEADER_ANY_VERSION: &str = "{\"format\": \"myelin-discovery\", \"version\": ";
const FILE_NAME: &str = "discovery.json";
/// Most bytes that are read back: 256 MiB, above what a full registry with its endpoints and ports can be.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why the registry could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct StoreError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What was wrong with the file found at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where a copy of it was put for inspection; none if even that failed.
    pub set_aside: Option<PathBuf>,
    /// What was found.
    pub kind: DamageKind,
}

/// Kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The file was written by another version of this program; nothing in it was used.
    Version,
    /// This many lines were unreadable; the others were used.
    Lines(usize),
    /// The file ends early; what precedes that was used.
    Truncated,
    /// The file is larger than any this program writes; nothing in it was used.
    TooLarge,
}

/// What [`Store::load`] found.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The agents, none of them attached.
    pub agents: Vec<Agent>,
    /// What was wrong, if anything was.
    pub damage: Option<Damage>,
}

/// The registry file of one state directory. One process at a time may use it.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Uses a directory, which is created if it does not exist.
    ///
    /// # Errors
    /// When it can be neither found nor created.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(at("create", dir))?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        self.dir.join(FILE_NAME)
    }

    /// Reads what was saved last; nothing when nothing was.
    ///
    /// Damage is not an error: what is readable is returned, and a copy of the file is kept beside it as
    /// `discovery.json.damaged`, replacing an older one. The file itself stays until the next [`Store::save`], so that a
    /// crash in between loses nothing more.
    ///
    /// # Errors
    /// When the file exists and cannot be read at all, for instance for lack of permission.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let path = self.path();
        let Some(bytes) = read(&path)? else { return Ok(Loaded::default()) };
        let (agents, kind) = parse(&bytes);
        let damage = kind.map(|kind| {
            let aside = path.with_extension("json.damaged");
            let kept = fs::copy(&path, &aside).is_ok();
            Damage { set_aside: kept.then_some(aside), kind }
        });
        Ok(Loaded { agents, damage })
    }

    /// Replaces the file. After an error the old one is still there.
    ///
    /// # Errors
    /// When any step fails, the last ones being the syncs that make it survive a power loss.
    pub fn save(&self, agents: &[Arc<Agent>]) -> Result<(), StoreError> {
        replace(&self.dir, FILE_NAME, &print(agents))
    }
}

/// Replaces a file of a directory by one of this content, or leaves it as it is.
pub(super) fn replace(dir: &Path, name: &str, content: &str) -> Result<(), StoreError> {
    let (path, fresh) = (dir.join(name), dir.join(format!("{name}.new")));
    let mut file = File::create(&fresh).map_err(at("create", &fresh))?;
    file.write_all(content.as_bytes()).map_err(at("write", &fresh))?;
    file.sync_all().map_err(at("sync", &fresh))?;
    fs::rename(&fresh, &path).map_err(at("replace", &path))?;
    // A rename is durable once the directory is.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at("sync", dir))
}

/// Reads a file, at most [`FILE_BYTES_MAX`] and one byte of it; nothing when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(at("read", path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("open", path)(error)),
    };
    Ok(Some(bytes))
}

fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError { action, path: path.to_owned(), source }
}

fn print(agents: &[Arc<Agent>]) -> String {
    let mut out = format!("{HEADER}\n");
    for agent in agents {
        record::push(&mut out, agent);
    }
    out.push_str(&end_line(agents.len()));
    out.push('\n');
    out
}

fn end_line(agents: usize) -> String {
    format!("{{\"end\": {agents}}}")
}

/// Reads every agent that can be read, and says what could not.
fn parse(bytes: &[u8]) -> (Vec<Agent>, Option<DamageKind>) {
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return (Vec::new(), Some(DamageKind::TooLarge));
    }
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What follows the last line feed: nothing, in a file that was written to its end.
    let complete = lines.pop().is_some_and(<[u8]>::is_empty);
    let mut damaged = 0;
    let mut lines = lines.into_iter();
    let header = lines.next().unwrap_or_default();
    if header != HEADER.as_bytes() {
        if is_other_version(header) {
            return (Vec::new(), Some(DamageKind::Version));
        }
        damaged += 1;
    }
    let mut agents = Vec::new();
    let mut end = None;
    for line in lines {
        match std::str::from_utf8(line).ok() {
            Some(line) if line.starts_with("{\"end\": ") => end = Some(line),
            Some(line) => match record::parse(line) {
                Some(agent) => agents.push(agent),
                None => damaged += 1,
            },
            None => damaged += 1,
        }
    }
    let whole = complete && end.is_some();
    let counted = end == Some(end_line(agents.len()).as_str());
    let kind = match damaged {
        0 if whole && counted => None,
        0 => Some(DamageKind::Truncated),
        _ => Some(DamageKind::Lines(damaged)),
    };
    (agents, kind)
}

/// Whether a header is intact but for its version. A single flipped bit in the version looks the same; then the copy set
/// aside still has everything.
fn is_other_version(header: &[u8]) -> bool {
    let version = header.strip_prefix(HEADER_ANY_VERSION.as_bytes()).and_then(|rest| rest.strip_suffix(b"}"));
    version.is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}
