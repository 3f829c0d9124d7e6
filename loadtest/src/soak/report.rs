//! What a run prints: its head, a line per minute, its sums.

use super::SoakArgs;
use super::look::Look;
use super::sample::Sample;
use super::tally::{Count, Tally};
use super::verdict::Run;
use super::world::{Book, World};
use crate::machine::Machine;

/// What was run, on what.
pub(crate) fn head(args: &SoakArgs, look: &Look) {
    let Machine { cpu, cores, kernel, memory_mib, load_1m, libzmq, profile } = Machine::look();
    println!("soak: {} peers that live 1 to {} s, for {} minutes, seed {}", args.peers, args.life_max, args.minutes, args.seed);
    println!("  machine  {cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load_1m}");
    println!("  built    {profile}, libzmq {libzmq}; the sidecar from {}, process {}", args.built_from, look.pid);
    println!();
}

/// What there was in all; before the verdict.
pub(crate) fn tail(run: &Run<'_>) {
    let world = run.world;
    let (pauses, asleep) = world.awake.pauses();
    let get = |count| world.tally.get(count);
    println!();
    println!("  idle, before the crowd and after it (times from the start):");
    println!("{}", row(&run.before, 0, 0.0));
    println!("{}", row(&run.after, world.lives(), 0.0));
    println!();
    println!(
        "  {} lives, {} of them with a checked handshake; {} registrations; {} messages published in total, {} heard, {} jobs, {} through the pair, {:.1} GiB checked",
        world.lives(),
        get(Count::Joined),
        get(Count::Registered),
        get(Count::Published),
        get(Count::Heard),
        get(Count::Jobs),
        get(Count::Paired),
        get(Count::Bytes) as f64 / f64::from(1 << 30),
    );
    println!(
        "  {pauses} pauses of the whole run (load and sidecar stopped together), {:.0} s in all, not counted as time; {} failures near one excused; {} looks without an answer in time",
        asleep.as_secs_f64(),
        get(Count::Excused),
        get(Count::Unanswered)
    );
    println!();
}

/// The heading of [`row`].
pub(crate) const HEADING: &str = "  minute  RSS MiB  anon MiB  PSS MiB    fds  threads  peers  pending  NATS  queued KiB    lives  msgs/s";

/// A line of the table: a sample, and the messages per second since the last line.
pub(crate) fn row(sample: &Sample, lives: u32, rate: f64) -> String {
    let mib = |kib: u64| kib as f64 / 1_024.0;
    format!(
        "  {:>6.1} {:>8.1} {:>9.1} {:>8.1} {:>6} {:>8} {:>6} {:>8} {:>5} {:>11.1} {:>8} {:>7.0}",
        sample.at / 60.0,
        mib(sample.resident_kib),
        mib(sample.anonymous_kib),
        mib(sample.proportional_kib),
        sample.descriptors,
        sample.threads,
        sample.peers,
        sample.pending,
        sample.clients,
        sample.queued as f64 / 1_024.0,
        lives,
        rate,
    )
}

/// Messages that were checked so far.
pub(crate) fn checked(tally: &Tally, world: &World) -> u64 {
    let books = [Book::Jobs, Book::RoughJobs].map(|book| world.book(book).counts().arrived);
    tally.get(Count::Answered) * 2 + tally.get(Count::Heard) + tally.get(Count::Paired) + books.iter().sum::<u64>()
}
