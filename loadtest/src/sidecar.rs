//! The sidecar as a benchmark sees it: a process with a configuration of its own, discovery, and `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::{Core, Process};
use crate::failure::{Doing, Failure, Outcome};
use crate::zmtp::{Connection, push_frame};

const READY_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);
/// Ports for agents, away from the default range of a sidecar that may be running already.
const AGENT_PORTS: &str = "31000-31999";

/// What a scenario changes from the defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// What a full subscriber queue does: `block`, `drop_newest`, …
    pub(crate) overflow: &'static str,
    /// Messages per subscriber queue.
    pub(crate) high_water: i32,
}

/// A running sidecar; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    process: Process,
    nats: String,
    http: String,
    discovery: String,
    publishers: String,
    subscribers: String,
    _state: TempDir,
}

impl Sidecar {
    /// Starts it on ports of the kernel's choice and waits until it is ready.
    ///
    /// # Errors
    /// The binary is missing, or it is not ready within ten seconds.
    pub(crate) fn start(binary: &Path, core: Core, settings: Settings) -> Outcome<Self> {
        Self::start_with(binary, core, settings, "")
    }

    /// The same with more sections of configuration.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with(binary: &Path, core: Core, settings: Settings, more: &str) -> Outcome<Self> {
        // 4 KiB per message lets the count be the bound, as it is in libzmq.
        let queue_bytes = i64::from(settings.high_water) * 4_096;
        let changes = format!(
            "[bus]\noverflow = \"{}\"\n\n[limits]\nqueue_messages = {}\nqueue_bytes = \"{}KiB\"\n\n{more}",
            settings.overflow,
            settings.high_water,
            queue_bytes / 1_024,
        );
        Self::configured(binary, core, free_ports()?, &changes)
    }

    /// As [`Sidecar::start`], with sections of the configuration as text, and five ports for what it always binds.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn configured(binary: &Path, core: Core, ports: [u16; 5], changes: &str) -> Outcome<Self> {
        if !binary.exists() {
            return Err(Failure::new(format!(
                "no sidecar at {} (`cargo build --release -p myelin` makes it; --without-sidecar skips it)",
                binary.display()
            )));
        }
        let state = tempfile::tempdir().doing(|| "making a state directory".to_owned())?;
        let [nats, http, discovery, publishers, subscribers] = ports;
        let at = |port: u16| format!("127.0.0.1:{port}");
        let text = format!(
            "[serve]\nlisten = \"{}\"\nhttp = \"{}\"\nstate_dir = {:?}\n\n\
             [discovery]\nlisten = \"tcp://{}\"\nport_range = \"{AGENT_PORTS}\"\n\n\
             [hub]\npublishers = \"tcp://{}\"\nsubscribers = \"tcp://{}\"\n\n{changes}",
            at(nats),
            at(http),
            state.path().join("data"),
            at(discovery),
            at(publishers),
            at(subscribers),
        );
        let file = state.path().join("myelin.toml");
        std::fs::write(&file, text).doing(|| format!("writing {}", file.display()))?;
        let arguments = ["serve".to_owned(), "--config".to_owned(), file.display().to_string()];
        let process = Process::hold("sidecar", core, &binary.display().to_string(), &arguments)?;
        let sidecar = Self {
            process,
            nats: at(nats),
            http: at(http),
            discovery: format!("tcp://{}", at(discovery)),
            publishers: format!("tcp://{}", at(publishers)),
            subscribers: format!("tcp://{}", at(subscribers)),
            _state: state,
        };
        let deadline = Instant::now() + READY_TIMEOUT;
        while !sidecar.get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("the sidecar is not ready within {READY_TIMEOUT:?}")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(sidecar)
    }

    /// Where publishers connect.
    pub(crate) fn publishers(&self) -> &str {
        &self.publishers
    }

    /// Where subscribers connect.
    pub(crate) fn subscribers(&self) -> &str {
        &self.subscribers
    }

    /// Where agents register.
    pub(crate) fn discovery(&self) -> &str {
        &self.discovery
    }

    /// The `host:port` of NATS clients.
    pub(crate) fn nats(&self) -> &str {
        &self.nats
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// CPU time of the sidecar so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    /// Registers a REP agent and returns the endpoint behind which callers reach it.
    ///
    /// # Errors
    /// Discovery does not answer, or not with a port.
    pub(crate) fn attach(&self, name: &str, agent_endpoint: &str) -> Outcome<String> {
        let port = agent_endpoint.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        let registration = json!({ "agent_id": name, "agent_type": "load", "host": "127.0.0.1", "port": port,
            "health_check_port": Value::Null, "capabilities": [], "dependencies": [], "metadata": {} });
        self.ask(&json!({ "action": "register_agent", "agent_name": name, "status": "HEALTHY",
            "location": "loopback", "registration_data": registration }))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let answer = self.ask(&json!({ "action": "get_agent_endpoint", "agent_name": name }))?;
            if let Some(port) = answer["port"].as_u64() {
                return Ok(format!("tcp://127.0.0.1:{port}"));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!("discovery gives no port for {name:?}: {answer}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, question: &Value) -> Outcome<Value> {
        let mut connection = Connection::connect(&self.discovery, "REQ")?;
        connection.set_patience(Duration::from_secs(5))?;
        let mut packed = Vec::new();
        push_frame(&mut packed, true, b"");
        push_frame(&mut packed, false, question.to_string().as_bytes());
        connection.send_packed(&packed).doing(|| "asking discovery".to_owned())?;
        let answer = connection.receive().doing(|| format!("waiting for discovery's answer to {question}"))?;
        serde_json::from_slice(answer.last).doing(|| "reading discovery's answer".to_owned())
    }

    /// Every sample of `/metrics`, by name with labels.
    ///
    /// # Errors
    /// The page cannot be read.
    pub(crate) fn metrics(&self) -> Outcome<BTreeMap<String, f64>> {
        Ok(samples(&self.get("/metrics")?))
    }

    fn get(&self, path: &str) -> Outcome<String> {
        let fetch = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.http)?;
            stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        fetch().doing(|| format!("reading http://{}{path}", self.http))
    }
}

/// The sidecar that a build of this workspace leaves beside the harness.
pub(crate) fn default_binary() -> PathBuf {
    let me = std::env::current_exe().unwrap_or_default();
    me.with_file_name("myelin")
}

fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// Distinct ports that were free a moment ago; all are held until the last is known.
pub(crate) fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0").doing(|| "finding a free port".to_owned())?;
        *port = listener.local_addr().doing(|| "reading a free port".to_owned())?.port();
        held.push(listener);
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_keep_their_labels_and_comments_are_skipped() {
        let page = "HTTP/1.1 200 OK\r\n\r\n# HELP x y\nzmq_in_total{route=\"hub\"} 12\nup 1\nbroken\n";
        let samples = samples(page);
        assert_eq!(samples["zmq_in_total{route=\"hub\"}"], 12.0);
        assert_eq!(samples["up"], 1.0);
        assert_eq!(samples.len(), 2);
    }

    #[test]
    fn free_ports_differ() {
        let [one, two, three] = free_ports().unwrap();
        assert!(one != two && two != three && one != three);
    }
}
