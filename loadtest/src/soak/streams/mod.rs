//! `myelin-loadtest soak-streams`: messages stored, taken and dropped by every kind of limit for ten minutes, through the listener of a sidecar in a
//! process of its own. Whatever was acknowledged has to arrive, memory has to stay flat, and the disk within what the limits allow.
//!
//! The path of a run: here → [`plan`] (which streams, what they may take) → [`publisher`] and [`worker`] (the load) → [`book`] (what arrived) →
//! [`sample`] (what the sidecar holds meanwhile) → [`verdict`].

mod book;
mod plan;
mod publisher;
mod sample;
mod verdict;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use myelin_bus::Bus;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::book::Books;
use self::plan::Plan;
use self::sample::Sample;
use crate::failure::{Doing, Outcome};
use crate::machine::Machine;
use crate::scratch;
use crate::sidecar::{Settings, Sidecar, default_binary};

const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// For the last messages to arrive when nothing is published any more.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long, how fast.
#[derive(Debug, Args)]
pub(crate) struct SoakStreamsArgs {
    /// How long messages are published.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Messages per second into each stream.
    #[arg(long, default_value_t = 500)]
    rate: u64,
    /// Where the sidecar's store is; beside this program unless said.
    #[arg(long)]
    directory: Option<PathBuf>,
    /// The sidecar; the one beside this program unless said.
    #[arg(long)]
    sidecar: Option<PathBuf>,
    /// What the sidecar was built from, for the report.
    #[arg(long, default_value = "not said")]
    built_from: String,
}

/// Runs the soak and prints as it goes; whether everything held.
///
/// # Errors
/// The sidecar cannot be started, or ends.
pub(crate) fn run(args: &SoakStreamsArgs) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "starting the runtime".to_owned())?;
    runtime.block_on(soak(args))
}

async fn soak(args: &SoakStreamsArgs) -> Outcome<bool> {
    let directory = scratch::directory(args.directory.as_deref())?;
    let store = directory.path().join("store");
    let binary = args.sidecar.clone().unwrap_or_else(default_binary);
    let settings = Settings { overflow: "block", high_water: 65_536 };
    let sidecar = Sidecar::start_with(&binary, None, settings, &format!("[store]\ndirectory = {store:?}\n"))?;
    head(args, sidecar.pid());
    let url = format!("nats://{}", sidecar.nats());
    let bus = Bus::connect(&url).await.doing(|| format!("connecting to {url}"))?;
    let plan = Plan::default();
    plan.make(&bus).await?;

    let (books, is_over) = (Arc::new(Books::default()), Arc::new(AtomicBool::new(false)));
    let mut workers = worker::start(&plan, &bus, &books, &is_over).await?;
    let is_enough = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for stream in plan.published() {
        publishers.spawn(publisher::publish(bus.clone(), stream.clone(), args.rate, Arc::clone(&books), Arc::clone(&is_enough)));
    }
    println!("{}", sample::HEADING);
    let (began, length) = (Instant::now(), Duration::from_secs_f64(args.minutes * 60.0));
    let mut samples = Vec::new();
    let mut minutes = 0;
    while began.elapsed() < length {
        sleep(SAMPLE_EVERY.min(length / 10)).await;
        let sample = Sample::take(&bus, &plan, sidecar.pid(), &store, began.elapsed()).await?;
        if began.elapsed().as_secs() / 60 > minutes {
            minutes = began.elapsed().as_secs() / 60;
            println!("{}", sample.row(&books));
        }
        samples.push(sample);
    }
    is_enough.store(true, Ordering::Relaxed);
    while let Some(published) = publishers.join_next().await {
        published.doing(|| "running a publisher".to_owned())?;
    }
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while Instant::now() < deadline && !books.is_settled() {
        sleep(LOOK_EVERY).await;
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(worked) = workers.join_next().await {
        worked.doing(|| "running a worker".to_owned())?;
    }
    let (text, holds) = verdict::of(&plan, &books, &samples, args.minutes);
    println!("\n{text}");
    Ok(holds)
}

fn head(args: &SoakStreamsArgs, pid: u32) {
    let Machine { cpu, cores, kernel, memory_mib, load_1m, profile, .. } = Machine::look();
    println!("soak of streams: {} messages/s into each stream for {} minutes, payloads of 200 to 1,800 B", args.rate, args.minutes);
    println!("  machine  {cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load_1m}");
    println!("  built    {profile}; the sidecar from {}, process {pid}", args.built_from);
    println!();
}
