//! The ports that were given to names of other machines, on disk beside the registry.
//!
//! Clients keep the port they were given for as long as they live, and the next agent of that name must be reached there, on whichever machine it
//! is: so a port stays with its name when the name is gone everywhere, and after a restart. A name that registers here takes its port along
//! into the registry.
//!
//! Layout of `elsewhere.json`, one JSON value per line: a header with format and version, and a line per name with a checksum, as in the registry's
//! file. What is damaged costs the names it hits their ports, and nothing else. Earlier releases leave the file alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::agent::AgentName;
use super::attach::Attached;
use super::json::{Json, ObjectWriter};
use super::record;
use super::store::{self, StoreError};

const FILE_NAME: &str = "elsewhere.json";
const HEADER: &str = "{\"format\": \"myelin-elsewhere\", \"version\": 1}";

/// Names of other machines that get ports here: each holds up to two listening sockets for good.
const NAMES_MAX: usize = 4096;

/// The names and their ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports(BTreeMap<AgentName, Attached>);

/// Where they are kept.
#[derive(Clone, Debug)]
pub(super) struct PortsFile {
    dir: PathBuf,
}

impl Ports {
    pub(super) fn get(&self, name: &AgentName) -> Option<Attached> {
        self.0.get(name).copied()
    }

    /// Whether one more name may have ports.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < NAMES_MAX
    }

    /// Notes the ports of a name. Returns whether they are new.
    pub(super) fn set(&mut self, name: &AgentName, ports: Attached) -> bool {
        self.0.insert(name.clone(), ports) != Some(ports)
    }

    /// Forgets a name. Returns whether it was there.
    pub(super) fn remove(&mut self, name: &AgentName) -> bool {
        self.0.remove(name).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&AgentName, Attached)> {
        self.0.iter().map(|(name, ports)| (name, *ports))
    }
}

impl PortsFile {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What was saved last, and how many lines of it could not be read.
    pub(super) fn load(&self) -> Result<(Ports, usize), StoreError> {
        let Some(bytes) = store::read(&self.dir.join(FILE_NAME))? else { return Ok((Ports::default(), 0)) };
        Ok(parse(&bytes))
    }

    pub(super) fn save(&self, ports: &Ports) -> Result<(), StoreError> {
        store::replace(&self.dir, FILE_NAME, &print(ports))
    }
}

fn print(ports: &Ports) -> String {
    let mut out = format!("{HEADER}\n");
    for (name, ports) in ports.iter() {
        let mut object = String::new();
        ObjectWriter::start(&mut object)
            .str("name", name.as_str())
            .int("our_service_port", ports.service_port.into())
            .int_or_null("our_health_port", ports.health_port.map(u64::from))
            .end();
        record::seal(&mut out, "name", &object);
    }
    out
}

fn parse(bytes: &[u8]) -> (Ports, usize) {
    let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    // One of a later version may mean something else.
    if lines.next() != Some(HEADER.as_bytes()) {
        return (Ports::default(), 1);
    }
    let (mut ports, mut damaged) = (Ports::default(), 0);
    for line in lines {
        match std::str::from_utf8(line).ok().and_then(parse_line) {
            Some((name, of_name)) if ports.has_room() => _ = ports.set(&name, of_name),
            Some(_) | None => damaged += 1,
        }
    }
    (ports, damaged)
}

fn parse_line(line: &str) -> Option<(AgentName, Attached)> {
    let object = record::unseal(line, "name")?;
    let port = |key: &str| object.get(key).and_then(Json::as_u64).and_then(|port| u16::try_from(port).ok());
    let name = AgentName::from_text(object.get("name")?.as_text()?).ok()?;
    Some((name, Attached { service_port: port("our_service_port")?, health_port: port("our_health_port") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Ports {
        let mut ports = Ports::default();
        for (number, name) in ["A", "caf\u{e9} \n\"x\"", "C"].iter().enumerate() {
            let service_port = 17_000 + u16::try_from(number).unwrap();
            let health_port = (number == 1).then_some(18_000);
            assert!(ports.set(&AgentName::new(name).unwrap(), Attached { service_port, health_port }));
        }
        ports
    }

    #[test]
    fn what_is_saved_is_read_back() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = PortsFile::new(dir.path());
        assert_eq!(file.load().unwrap(), (Ports::default(), 0));
        file.save(&some()).unwrap();
        assert_eq!(file.load().unwrap(), (some(), 0));
    }

    #[test]
    fn damage_costs_the_line_it_hits() {
        let printed = print(&some());
        let (read, damaged) = parse(printed.replace("17001", "17009").as_bytes());
        assert_eq!((read.0.len(), damaged), (2, 1));
        let (read, damaged) = parse(printed.replace("version\": 1", "version\": 2").as_bytes());
        assert_eq!((read, damaged), (Ports::default(), 1));
        // Cut anywhere, what is whole is read.
        for end in 0..printed.len() {
            let (read, _) = parse(&printed.as_bytes()[..end]);
            assert!(read.0.iter().all(|(name, ports)| some().get(name) == Some(*ports)), "{end}");
        }
    }
}
