//! The memory: whether there is somebody to keep it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use myelin_bus::Bus;
use myelin_bus::wire::{Body, Subject};

use super::finding::{Finding, Severity};
use crate::config::{Config, MemoryEngine};
use crate::memory::{API, wire};

/// How long a server, or the sidecar, may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// `memory-unreachable`: of the sidecar that runs with this configuration, or where none does, of the servers.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    if !config.memory.enabled {
        return Vec::new();
    }
    let told = asked_sidecar(config);
    let reason = match (told, config.memory.engine) {
        (Some(told), _) => told,
        (None, MemoryEngine::Embedded) => None,
        (None, MemoryEngine::Redis) => silent_servers(config),
    };
    let key = match config.memory.engine {
        MemoryEngine::Embedded => "memory.directory",
        MemoryEngine::Redis => "memory.servers",
    };
    let finding = |reason: String| Finding {
        id: "memory-unreachable",
        severity: Severity::Warning,
        place: config.settings.origin(key).to_string(),
        what: format!("{key}: {reason}"),
        why: "requests about memory are refused, and agents remember nothing, until it can be reached; everything else works".to_owned(),
        fix: match config.memory.engine {
            MemoryEngine::Embedded => "look at the disk of memory.directory and at the log of the sidecar".to_owned(),
            MemoryEngine::Redis => {
                "start a Redis there, or change memory.servers, memory.user and memory.password_file; the sidecar finds it by itself"
                    .to_owned()
            }
        },
    };
    reason.map(finding).into_iter().collect()
}

/// What the running sidecar says is wrong; the inner `None`: nothing. `None`: no sidecar answers.
fn asked_sidecar(config: &Config) -> Option<Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let told = runtime.block_on(async { tokio::time::timeout(TIMEOUT, ask(config)).await });
    runtime.shutdown_background();
    told.ok().flatten()
}

/// Asks for something that only the store knows.
async fn ask(config: &Config) -> Option<Option<String>> {
    let listen = config.serve.listen;
    let ip = if listen.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { listen.ip() };
    let bus = Bus::connect(&format!("nats://{}", SocketAddr::new(ip, listen.port()))).await.ok()?;
    let subject = Subject::new(&format!("{API}GET")).expect("a valid constant");
    let asked = wire::Get { space: "myelin.doctor".to_owned(), key: "is-there".to_owned() };
    let reply = bus.request(&subject, Body::from(crate::memory::pack(&asked)), TIMEOUT).await.ok()?;
    let bytes = match reply.body {
        Body::Blob(bytes) => bytes,
        Body::Frames(frames) => frames.first(),
    };
    let failed: wire::Failed = rmp_serde::from_slice(&bytes).ok()?;
    Some(failed.error.map(|refusal| refusal.message))
}

/// Why none of the servers can be reached; `None`: one can.
fn silent_servers(config: &Config) -> Option<String> {
    let mut reason = "no server is given".to_owned();
    for address in config.memory.addresses() {
        let tried = address.to_socket_addrs().map(|found| found.take(1).map(|at| TcpStream::connect_timeout(&at, TIMEOUT)).next());
        match tried {
            Ok(Some(Ok(_))) => return None,
            Ok(Some(Err(error))) | Err(error) => reason = format!("{address}: {}", crate::config::reason(&error)),
            Ok(None) => reason = format!("{address}: its host name does not resolve"),
        }
    }
    Some(reason)
}
