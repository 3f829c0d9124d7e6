//! What the cells of a run share: a directory on the disk that is measured, a runtime, and both sides.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use myelin_bus::streams::StoreConfig;
use myelin_bus::{Bus, EmbeddedConfig};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::jetstream::JetStream;
use super::ours::Ours;
use super::server::{Server, SyncInterval};
use super::{Done, Pull, Side, Until, disk};
use crate::bench::BenchArgs;
use crate::child::cpu_of;
use crate::failure::{Doing, Failure, Outcome};
use crate::scratch;
use crate::sidecar::{Settings, Sidecar};

/// Threads of the runtime that plays client on every side, and our store in the embedded cells.
pub(super) const WORKERS: usize = 2;

/// Outstanding publishes while messages are made for a cell that pulls.
const PREPARE_WINDOW: usize = 1_024;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Publish {
        /// Publishes without an ack yet.
        window: usize,
        until: Until,
    },
    /// All messages, which are published before.
    Pull(Pull),
}

/// Where cells run.
#[derive(Debug)]
pub(super) struct Stage {
    runtime: Runtime,
    embedded: Arc<Side>,
    jetstream: Option<(Arc<Side>, Server)>,
    attached: Option<(Arc<Side>, Sidecar)>,
    directory: TempDir,
    streams: Cell<u32>,
}

/// What carries the messages of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A store in this process.
    Embedded,
    /// A sidecar's, over its listener.
    Attached,
    JetStream,
}

impl Carrier {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Attached => "sidecar",
            Self::JetStream => "jetstream",
        }
    }
}

impl Stage {
    /// Starts everything; a sidecar only if it is to be there.
    pub(super) fn set(args: &BenchArgs, sync: SyncInterval, with_sidecar: bool) -> Outcome<Self> {
        let directory = scratch::directory(args.directory.as_deref())?;
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().doing(|| "starting a runtime".to_owned())?;
        let jetstream = if args.without_jetstream {
            None
        } else {
            let server = Server::start(&args.nats_server, directory.path(), sync)?;
            let side = Side::JetStream(Box::new(runtime.block_on(JetStream::connect(&server.url))?));
            Some((Arc::new(side), server))
        };
        let store = StoreConfig { directory: directory.path().join("embedded") };
        let (bus, _nothing_was_there) =
            Bus::embedded_with_store(EmbeddedConfig::default(), &store).doing(|| "opening a store".to_owned())?;
        let attached = if with_sidecar && !args.without_sidecar {
            let settings = Settings { overflow: "block", high_water: args.high_water };
            let store = format!("[store]\ndirectory = {:?}\n", directory.path().join("sidecar"));
            let sidecar = Sidecar::start_with(&args.binary(), None, settings, &store)?;
            let url = format!("nats://{}", sidecar.nats());
            let bus = runtime.block_on(Bus::connect(&url)).doing(|| format!("connecting to {url}"))?;
            Some((Arc::new(Side::Ours(Ours { bus })), sidecar))
        } else {
            None
        };
        let embedded = Arc::new(Side::Ours(Ours { bus }));
        Ok(Self { runtime, embedded, jetstream, attached, directory, streams: Cell::new(0) })
    }

    pub(super) fn has(&self, carrier: Carrier) -> bool {
        self.side(carrier).is_ok()
    }

    /// What the server says of itself.
    pub(super) fn server_version(&self) -> &str {
        self.jetstream.as_ref().map_or("left out", |(_, server)| &server.version)
    }

    /// Where the stores are.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs one cell on a stream of its own, which goes afterwards, and checks that the stream has what was acknowledged. Returns what it did, and
    /// the CPU time that all processes of the cell used per message meanwhile, in microseconds.
    pub(super) fn cell(&self, carrier: Carrier, act: Act) -> Outcome<(Done, f64)> {
        self.streams.set(self.streams.get() + 1);
        let stream = format!("cell-{}", self.streams.get());
        let (side, prepared) = (Arc::clone(self.side(carrier)?), stream.clone());
        self.play(async move {
            side.make(&prepared).await?;
            match act {
                Act::Publish { .. } => Ok(()),
                Act::Pull(pull) => side.publish(&prepared, PREPARE_WINDOW, Until::Count(pull.messages)).await.map(drop),
            }
        })?;
        disk::settle()?;
        let before = self.cpu();
        let (side, acted) = (Arc::clone(self.side(carrier)?), stream.clone());
        let done = self.play(async move {
            match act {
                Act::Publish { window, until } => side.publish(&acted, window, until).await,
                Act::Pull(pull) => side.pull(&acted, pull).await,
            }
        })?;
        let cpu = self.cpu().saturating_sub(before).as_secs_f64() * 1e6 / done.messages.max(1) as f64;
        let side = Arc::clone(self.side(carrier)?);
        let stored = self.play(async move {
            let stored = side.messages(&stream).await?;
            side.remove(&stream).await?;
            Ok(stored)
        })?;
        if stored == done.messages { Ok((done, cpu)) } else { Err(Failure::new(format!("{} of {} are stored", stored, done.messages))) }
    }

    fn side(&self, carrier: Carrier) -> Outcome<&Arc<Side>> {
        let found = match carrier {
            Carrier::Embedded => Some(&self.embedded),
            Carrier::JetStream => self.jetstream.as_ref().map(|(side, _)| side),
            Carrier::Attached => self.attached.as_ref().map(|(side, _)| side),
        };
        found.ok_or_else(|| Failure::new(format!("{} was left out", carrier.name())))
    }

    /// On a worker of the runtime, as a task of a program would be.
    fn play<T: Send + 'static>(&self, act: impl Future<Output = Outcome<T>> + Send + 'static) -> Outcome<T> {
        self.runtime.block_on(self.runtime.spawn(act)).doing(|| "running a cell".to_owned())?
    }

    /// Of this process, the server and the sidecar; those that have nothing to do use next to nothing.
    fn cpu(&self) -> Duration {
        let sidecar = self.attached.as_ref().map_or(Duration::ZERO, |(_, sidecar)| sidecar.cpu());
        let server = self.jetstream.as_ref().map_or(Duration::ZERO, |(_, server)| server.cpu());
        cpu_of(std::process::id()) + server + sidecar
    }
}
