//! What this machine has to offer: a place for state, free ports, enough files.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::finding::{Finding, Severity};
use super::local;
use crate::config::{Config, Use, bind_addr, local_name, reason};
use crate::system::{self, Holder};

/// Files besides connections and listeners: state files, the runtime's own, logs, those who ask for health.
const FILES_BESIDES_CONNECTIONS: u64 = 128;

/// How long a server may take to greet; NATS servers speak first.
const GREETING_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings: Vec<Finding> = state_dir(config).into_iter().collect();
    findings.extend(config.binds().iter().filter_map(in_use));
    findings.extend(open_files(config));
    findings.extend(ephemeral(config));
    findings
}

/// `state-dir`
fn state_dir(config: &Config) -> Option<Finding> {
    let dir = &config.serve.state_dir;
    let error = try_writing(dir).err()?;
    Some(Finding {
        id: "state-dir",
        severity: Severity::Error,
        place: config.settings.origin("serve.state_dir").to_string(),
        what: format!("serve.state_dir {} cannot be used: {}", dir.display(), reason(&error)),
        why: "registrations and the ports of agents would be lost at a restart".to_owned(),
        fix: "name a directory that this user may read and write, with --state-dir or serve.state_dir".to_owned(),
    })
}

/// Proves that files can be made in `dir`, or that `dir` itself can be made; leaves nothing behind.
fn try_writing(dir: &Path) -> io::Result<()> {
    let existing = dir.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    for path in existing {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is not a directory", path.display())));
            }
            Ok(_) => {
                let probe = path.join(format!(".myelin-doctor-{}", std::process::id()));
                std::fs::create_dir(&probe)?;
                std::fs::remove_dir(&probe)?;
                return std::fs::read_dir(path).map(|_| ());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// `port-in-use`, `nats-server-on-listen`, `bind-refused`
fn in_use(bind: &Use) -> Option<Finding> {
    if let Some(name) = local_name(&bind.endpoint) {
        return local_in_use(bind, name);
    }
    let address = bind_addr(&bind.endpoint)?;
    let error = TcpListener::bind(address).err()?;
    if error.kind() != io::ErrorKind::AddrInUse {
        return Some(refused(bind, &error, "use an address of this machine, and a port above 1023 unless the user may bind lower ones"));
    }
    let holder = system::holder_of(address);
    let nats = (bind.setting == "serve.listen").then(|| nats_server(address)).flatten();
    let ours = holder.as_ref().is_some_and(|holder| holder.name == "myelin") || nats == Some(Nats::Sidecar);
    if ours {
        return None;
    }
    let by = holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string);
    Some(match nats {
        Some(Nats::Sidecar) => return None,
        Some(Nats::Server(name)) => Finding {
            id: "nats-server-on-listen",
            severity: Severity::Error,
            place: bind.origin.to_string(),
            what: format!("serve.listen {address} already belongs to the NATS server {name:?}, {by}"),
            why: "the sidecar speaks the NATS protocol itself and needs a port of its own".to_owned(),
            fix: "choose another port with --listen, or stop that server".to_owned(),
        },
        None => Finding {
            id: "port-in-use",
            severity: Severity::Error,
            place: bind.origin.to_string(),
            what: format!("{} {} is already used by {by}", bind.setting, bind.shown()),
            why: "the sidecar would not start".to_owned(),
            fix: format!("stop that process, or give {} another port", bind.setting),
        },
    })
}

/// `socket-in-use`, `bind-refused`
fn local_in_use(bind: &Use, name: &str) -> Option<Finding> {
    match local::availability(name) {
        Ok(()) => None,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = system::holder_of_local(name);
            if holder.as_ref().is_some_and(|holder| holder.name == "myelin") {
                return None;
            }
            let by = holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string);
            Some(Finding {
                id: "socket-in-use",
                severity: Severity::Error,
                place: bind.origin.to_string(),
                what: format!("{} {} is already used by {by}", bind.setting, bind.shown()),
                why: "the sidecar would not start".to_owned(),
                fix: format!("stop that process, or give {} another name", bind.setting),
            })
        }
        Err(error) => Some(refused(bind, &error, "name a socket file in a directory that exists and that this user may write")),
    }
}

fn refused(bind: &Use, error: &io::Error, fix: &str) -> Finding {
    Finding {
        id: "bind-refused",
        severity: Severity::Error,
        place: bind.origin.to_string(),
        what: format!("{} cannot bind {}: {}", bind.setting, bind.shown(), reason(error)),
        why: "the sidecar would not start".to_owned(),
        fix: fix.to_owned(),
    }
}

/// Who greets like a NATS server.
#[derive(Debug, PartialEq, Eq)]
enum Nats {
    /// One of us, which a doctor beside a running sidecar is not surprised to find.
    Sidecar,
    /// Another, by its name.
    Server(String),
}

/// The NATS server at `address`, if one greets there.
fn nats_server(address: SocketAddr) -> Option<Nats> {
    let mut stream = TcpStream::connect_timeout(&address, GREETING_TIMEOUT).ok()?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT)).ok()?;
    let mut greeting = [0; 4096];
    let mut filled = 0;
    while !greeting[..filled].contains(&b'\n') && filled < greeting.len() {
        match stream.read(&mut greeting[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    let line = greeting[..filled].split(|byte| *byte == b'\r').next()?;
    let info: serde_json::Value = serde_json::from_slice(line.strip_prefix(b"INFO ")?).ok()?;
    if info.get("myelin").is_some() {
        return Some(Nats::Sidecar);
    }
    let name = info.get("server_name").or_else(|| info.get("server_id"))?;
    Some(Nats::Server(name.as_str()?.to_owned()))
}

/// `open-files`
fn open_files(config: &Config) -> Option<Finding> {
    let limit = system::open_files_max()?;
    // NATS clients have a budget of the same size, which is seldom used: who needs both reads so in the example file.
    let needed = (config.limits.connections + config.binds().len()) as u64 + FILES_BESIDES_CONNECTIONS;
    (limit < needed).then(|| Finding {
        id: "open-files",
        severity: Severity::Warning,
        place: config.settings.origin("limits.connections").to_string(),
        what: format!("limits.connections is {}, but this process may open {limit} files", config.limits.connections),
        why: "new agents would be refused long before the configured limit".to_owned(),
        fix: format!("raise the limit (ulimit -n {needed}, or LimitNOFILE={needed} in systemd), or lower limits.connections"),
    })
}

/// `port-range-ephemeral`
fn ephemeral(config: &Config) -> Option<Finding> {
    let (first, last) = config.discovery.port_range;
    let (low, high) = system::ephemeral_ports().filter(|_| config.discovery.enabled)?;
    (first <= high && last >= low).then(|| Finding {
        id: "port-range-ephemeral",
        severity: Severity::Warning,
        place: config.settings.origin("discovery.port_range").to_string(),
        what: format!("discovery.port_range {first}-{last} overlaps the ports {low}-{high} of outgoing connections"),
        why: "after a restart the port that was promised to an agent may be taken by any connection".to_owned(),
        fix: format!("choose a range outside of {low}-{high}, such as the default 17000-21999"),
    })
}
