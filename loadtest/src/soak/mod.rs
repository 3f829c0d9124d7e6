//! `myelin-loadtest soak`: a crowd of peers that join and leave for an hour, with everything that they say checked, and a sidecar that has to be
//! as it was before when they are gone.
//!
//! The path of a run: here → [`crowd`] (who plays what) → [`requests`], [`topics`], [`jobs`], [`rough`] (the roles, on [`wire`]) → [`ledger`] and
//! [`tally`] (what they found) → [`sample`] (what the sidecar holds meanwhile) → [`verdict`].
//!
//! One thread plays the whole crowd; only the peers on libzmq have their own. Whoever stops the load and the sidecar for a while (SIGSTOP to both
//! process groups) does no harm: [`awake`] notices, and the pauses are told in the report.

mod awake;
mod body;
mod crowd;
#[cfg(feature = "libzmq")]
mod foreign;
mod jobs;
mod ledger;
mod life;
mod look;
mod report;
mod requests;
mod rough;
mod sample;
#[cfg(feature = "streams")]
pub(crate) mod streams;
mod tally;
mod topics;
mod trend;
mod verdict;
mod wire;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::failure::{Doing, Failure, Outcome};
use crate::sidecar::{Sidecar, default_binary, free_ports};
use crowd::{STAYING_AGENT, Stayers};
use life::Stage;
use look::{Look, Until};
use sample::Sample;
use tally::Count;
use verdict::{Bounds, Run};
use world::{Book, LISTENERS, Places, World};

const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Looks in a row that may go without an answer, a minute of them: on a machine that is short of time `myelin zmq` may take longer than it waits.
const UNANSWERED_MAX: u32 = 12;
/// For the staying agent's registration to be in effect.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(250);
/// For a crowd to leave; a polite peer may wait 20 s for the end of its stream.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long, how many.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// Peers at a time, those that stay not counted.
    #[arg(long, default_value_t = 1_000)]
    peers: usize,
    /// How long they come and go.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// The longest life of a peer, in seconds; the shortest is one.
    #[arg(long, default_value_t = 30)]
    life_max: u64,
    /// Of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
pub(crate) fn run(args: &SoakArgs) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(|| "starting the runtime".to_owned())?;
    runtime.block_on(soak(args))
}

async fn soak(args: &SoakArgs) -> Outcome<bool> {
    let binary = args.sidecar.clone().unwrap_or_else(default_binary);
    let (sidecar, places) = start(&binary)?;
    let bounds = Bounds::of(args.minutes);
    let look = Look::new(sidecar, binary);
    let names = crowd::names(args.peers);
    let world = Arc::new(World::new(places, names, Duration::from_secs(args.life_max), args.seed));
    report::head(args, &look);
    let mut clock = JoinSet::new();
    let own = Arc::clone(&world);
    clock.spawn(async move {
        let mut ticks = interval(awake::TICK);
        loop {
            ticks.tick().await;
            own.awake.tick(Instant::now());
        }
    });

    crowd::open_ports(&world).await;
    let before = look.until_idle(&world, Until::Steady(bounds.steady)).await?;
    let mut stayers = Stayers::start(&world);
    let staying_agent = staying_agent(&world).await?;
    topics::probe(&world).await?;
    stayers.speak(&world, &staying_agent);
    let crowd = crowd::gather(&world, args.peers, args.seed);
    #[cfg(feature = "libzmq")]
    let foreigners = foreign::start(&world, (args.peers / 100).max(3));

    let during = watch(args, &world, &look, &mut stayers).await?;

    world.enter(Stage::Settling);
    leave(crowd, "the crowd").await?;
    #[cfg(feature = "libzmq")]
    join(foreigners).await?;
    stayers.senders_left().await;
    settle(&world).await;
    world.enter(Stage::Leaving);
    stayers.left().await;
    let after = look.until_idle(&world, Until::As(&before)).await?;

    let run = Run { world: &world, bounds, before, during: &during, after };
    report::tail(&run);
    let (verdict, holds) = run.verdict();
    println!("{verdict}");
    Ok(holds)
}

/// Starts a sidecar with its defaults and one route of each kind.
fn start(binary: &std::path::Path) -> Outcome<(Sidecar, Places)> {
    // All in one go: those of two goes need not differ.
    let ports: [u16; 15] = free_ports()?;
    let (own, ours) = ports.split_first_chunk::<5>().expect("there are fifteen");
    let ours: [u16; 10] = ours.try_into().expect("ten are left");
    let at = ours.map(|port| format!("127.0.0.1:{port}"));
    let route = |name: &str, kind: &str, sides: [(&str, &String); 2]| {
        let side = |(side, address): (&str, &String)| format!("{side} = {{ bind = [\"tcp://{address}\"] }}\n");
        format!("[[route]]\nname = \"{name}\"\nkind = \"{kind}\"\n{}{}\n", side(sides[0]), side(sides[1]))
    };
    let [callers, agents, publishers, subscribers, producers, consumers, rough_producers, rough_consumers, a, b] = at;
    let routes = [
        route("echo", "service", [("callers", &callers), ("agents", &agents)]),
        route("status", "topic", [("publishers", &publishers), ("subscribers", &subscribers)]),
        route("jobs", "pipeline", [("producers", &producers), ("consumers", &consumers)]),
        route("rough", "pipeline", [("producers", &rough_producers), ("consumers", &rough_consumers)]),
        route("line", "pair", [("a", &a), ("b", &b)]),
    ];
    let sidecar = Sidecar::configured(binary, None, *own, &routes.concat())?;
    let bare = |endpoint: &str| endpoint.trim_start_matches("tcp://").to_owned();
    let places = Places {
        discovery: bare(sidecar.discovery()),
        nats: sidecar.nats().to_owned(),
        hub_publishers: bare(sidecar.publishers()),
        hub_subscribers: bare(sidecar.subscribers()),
        callers,
        agents,
        publishers,
        subscribers,
        producers,
        consumers,
        rough_producers,
        rough_consumers,
        pair: [a, b],
    };
    Ok((sidecar, places))
}

/// Samples until the time is over, one line per minute; pauses do not count.
async fn watch(args: &SoakArgs, world: &Arc<World>, look: &Look, stayers: &mut Stayers) -> Outcome<Vec<Sample>> {
    println!("{}", report::HEADING);
    let (began, length) = (world.awake.now(), Duration::from_secs_f64(args.minutes * 60.0));
    let per_row = if args.minutes < 10.0 { 1 } else { 12 };
    let all = stayers.receivers();
    let mut samples = Vec::new();
    let mut unanswered = 0;
    let mut last = (0, began);
    while world.awake.now() - began < length {
        sleep(SAMPLE_EVERY.min(length / 10)).await;
        let at = world.awake.now() - began;
        let sample = match look.take(at).await {
            Ok(sample) => sample,
            // The pause may have begun in the middle of the question.
            Err(_) if world.awake.in_doubt(Instant::now()) => continue,
            Err(failure) if unanswered >= UNANSWERED_MAX || !look.is_alive() => return Err(failure),
            Err(_) => {
                unanswered += 1;
                world.tally.add(Count::Unanswered, 1);
                continue;
            }
        };
        unanswered = 0;
        samples.push(sample);
        for book in books() {
            let missing = world.book(book).judge(world.awake.now());
            // With consumers that leave, what they had not read is lost.
            missing.into_iter().filter(|_| book != Book::RoughJobs).for_each(|finding| world.tally.wrong(format!("{book:?}: {finding}")));
        }
        if stayers.receivers() < all {
            return Err(Failure::new(format!("a peer that stays was thrown out: {:?}", world.tally.findings().1)));
        }
        if samples.len() % per_row == 0 {
            let (count, now) = (report::checked(&world.tally, world), world.awake.now());
            let rate = (count - last.0) as f64 / (now - last.1).as_secs_f64().max(0.001);
            last = (count, now);
            println!("{}", report::row(&sample, world.lives(), rate));
        }
    }
    Ok(samples)
}

fn books() -> impl Iterator<Item = Book> {
    [Book::Jobs, Book::RoughJobs].into_iter().chain((0..LISTENERS).map(Book::Heard))
}

/// Waits until everything that is owed has arrived, or will not.
async fn settle(world: &World) {
    let deadline = world.awake.now() + ledger::GRACE;
    // Where consumers left, what they had not read never arrives.
    let owed = || books().filter(|book| *book != Book::RoughJobs);
    while world.awake.now() < deadline && !owed().all(|book| world.book(book).is_settled()) {
        sleep(ASK_EVERY).await;
    }
    for book in books() {
        let missing = world.book(book).close();
        missing.into_iter().filter(|_| book != Book::RoughJobs).for_each(|finding| world.tally.wrong(format!("{book:?}: {finding}")));
    }
}

async fn leave(mut crowd: JoinSet<()>, who: &str) -> Outcome<()> {
    let left = async {
        while let Some(ended) = crowd.join_next().await {
            ended.doing(|| format!("playing {who}"))?;
        }
        Ok(())
    };
    timeout(LEAVE_TIMEOUT, left).await.unwrap_or_else(|_| Err(Failure::new(format!("{who} did not leave within {LEAVE_TIMEOUT:?}"))))
}

#[cfg(feature = "libzmq")]
async fn join(threads: Vec<std::thread::JoinHandle<()>>) -> Outcome<()> {
    let joined = tokio::task::spawn_blocking(|| threads.into_iter().all(|thread| thread.join().is_ok())).await;
    if joined.doing(|| "joining the threads of libzmq".to_owned())? { Ok(()) } else { Err(Failure::new("a thread of libzmq panicked")) }
}

/// The address behind which the sidecar serves the agent that stays.
async fn staying_agent(world: &World) -> Outcome<String> {
    let deadline = Instant::now() + REGISTER_TIMEOUT;
    loop {
        let question = json!({ "action": "get_agent_endpoint", "agent_name": STAYING_AGENT });
        let answer = world.ask(&question).await.doing(|| "asking discovery".to_owned())?;
        if let Some(port) = answer["port"].as_u64() {
            return Ok(format!("127.0.0.1:{port}"));
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!("discovery gives no port for {STAYING_AGENT}: {answer}")));
        }
        sleep(ASK_EVERY).await;
    }
}
