//! No hostile peer harms more than its own connection: neighbours wait at most 100 ms (p99), memory stays within its bounds, at full size.
//!
//! The long form of the `hostile_*.rs` beside it, run by `cargo xtask proof hostile`. Everything runs, then the table is printed, then judged.
//! `MYELIN_ATTACKS=D2` runs the attacks with `D2` in their names. The columns `machine` and `disk` are what a byte waited that passed no sidecar, and how
//! long a sync of a few bytes took beside it (p99). One of the four neighbours is a producer of a durable pipeline, whose latency has syncs in it.

#![allow(clippy::print_stdout, reason = "the table is the proof")]

use myelin_testkit::Sidecar;
use myelin_testkit::hostile::{self, Arena, GreedyCaller, Kind, Listeners, Noise, RouterRoute, Served, StalledSubscriber};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What one neighbour in a hundred may exceed.
const P99_MAX: Duration = Duration::from_millis(100);
const STALL: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

struct Row {
    attack: &'static str,
    memory_max: u64,
    outcome: Result<Served, String>,
}

#[test]
#[ignore = "a proof: several minutes, with a report"]
fn hostile_peers_at_full_size() {
    let only = std::env::var("MYELIN_ATTACKS").unwrap_or_default();
    let mut rows = Vec::new();
    let mut attack = |attack: &'static str, memory_max, run: &dyn Fn(&Arena)| {
        if attack.contains(&only) {
            let arena = Arena::open();
            rows.push(Row { attack, memory_max, outcome: outcome(|| arena.served_while(|| run(&arena))) });
        }
    };
    attack("lengths of 2^31 to 2^64 - 1 (D1)", 8 * MIB, &hostile::declared_lengths);
    attack("deaf caller, 200,000 requests of 1 KiB to a REP, 30 s (D2)", 48 * MIB, &|arena| {
        hostile::deaf_caller_of_rep(arena, 200_000, STALL)
    });
    attack("stalled SUB beside a healthy one, 40,000/s of 1 KiB, 30 s (D3)", 48 * MIB, &|arena| {
        let plan = StalledSubscriber { rate: 40_000, bytes: 1024, span: STALL };
        assert_eq!(hostile::stalled_subscriber(arena, plan), 1_200_000);
    });
    attack("PING every 200 ms at every socket, 30 s (D4)", 8 * MIB, &|arena| hostile::pings(arena, Duration::from_millis(200), STALL));
    attack("frames cut off at every place (D5)", 8 * MIB, &hostile::cut_frames);
    attack("4 publishers without a pause, 30 s (D6)", 48 * MIB, &|arena| hostile::publish_loop(arena, STALL, 1_000_000));
    attack("1,000 messages of 1 MiB to stalled peers, 30 s (D7)", 96 * MIB, &|arena| hostile::large_messages(arena, 1000, STALL));
    attack("1,000 half-open connections, then healthy ones within 100 ms", 32 * MIB, &|arena| {
        let slowest = hostile::half_open(arena, 1000);
        assert!(slowest < P99_MAX, "a healthy agent took {slowest:?} to connect");
    });
    attack("never-ending multipart", 48 * MIB, &hostile::endless_messages);
    // 256 MiB of incomplete messages are allowed; a buffer may be twice what it holds while it grows.
    attack("60 messages of 8 MiB that lack their last byte", 512 * MIB, &|arena| {
        let closed = hostile::unfinished_messages(arena, 60, 8 << 20);
        assert!(closed >= 27, "only {closed} of 60 were closed, so more than 256 MiB were held");
    });
    attack("1,000,000 prefixes of one subscriber, five ways", 16 * MIB, &|arena| hostile::subscriptions(arena, 1_000_000));
    attack("32 callers of one identity, 100 times, and odd identities", 16 * MIB, &|arena| {
        hostile::same_identity(arena, 32, 100);
        hostile::odd_identities(arena);
    });
    attack("PLAIN and CURVE announced, NULL spoken, and the reverse", 8 * MIB, &hostile::wrong_mechanisms);
    attack("HTTP, TLS ClientHello, SSH, Redis, NATS, ZMTP 1 and 2", 8 * MIB, &hostile::foreign_protocols);
    attack("random bytes, 22,000 connections", 32 * MIB, &|arena| {
        hostile::noise(arena, Noise { connections: 1000, seed: 0x6d79_656c_696e })
    });

    attack("PULL that never answers a PING, 30 s: at most once after 5 s", 16 * MIB, &|arena| {
        assert!(hostile::mute_consumer(arena, 10_000, STALL) > 0, "it gets its share after five seconds");
    });
    attack("PULL that answers once and never again, 20 s", 16 * MIB, &|arena| {
        hostile::hung_consumer(arena, 10_000, Duration::from_secs(20))
    });
    attack("PULL that answers what it has not read, 512 MiB of jobs, 20 s", 32 * MIB, &|arena| {
        hostile::early_pongs(arena, 8192, 64 << 10, Duration::from_secs(20));
    });
    attack("PULL that answers what nobody asked, without a pause, 20 s", 16 * MIB, &|arena| {
        hostile::foreign_pongs(arena, 10_000, Duration::from_secs(20));
    });
    attack("300 producers of 1 MiB at a full pipeline in memory, gone", 384 * MIB, &|arena| vanish(arena, Kind::InMemory));

    let greedy = |arena: &Arena, bytes| {
        let plan = GreedyCaller { bytes, work: Duration::from_millis(2), span: STALL };
        others_waited(hostile::greedy_caller(arena, plan).into_iter().max().unwrap_or_default());
    };
    attack("greedy caller of 16 bytes before a busy agent, 30 s", 48 * MIB, &|arena| greedy(arena, 16));
    attack("greedy caller of 1 KiB before a busy agent, 30 s", 48 * MIB, &|arena| greedy(arena, 1024));
    attack("greedy caller of 100 KiB before a busy agent, 30 s", 48 * MIB, &|arena| greedy(arena, 100 << 10));

    let mut attack = |attack: &'static str, memory_max, toml: &str, run: &dyn Fn(&Arena)| {
        if attack.contains(&only) {
            let arena = Arena::with(Sidecar::builder().routes(toml));
            rows.push(Row { attack, memory_max, outcome: outcome(|| arena.served_while(|| run(&arena))) });
        }
    };
    let route = RouterRoute::new();
    attack("deaf caller under 200,000 replies of a ROUTER, 30 s (D2)", 32 * MIB, &route.toml(), &|_| {
        others_waited(hostile::deaf_caller_of_router(&route, 200_000, STALL));
    });
    let listeners = Listeners::bind();
    attack("agents that bind and answer with something else, 50 times", 16 * MIB, &listeners.toml(), &|arena| {
        listeners.misbehave(arena, 10);
    });

    let mut attack = |attack: &'static str, memory_max, jobs: &str, run: &dyn Fn(&Arena)| {
        if attack.contains(&only) {
            let arena = Arena::with_jobs(Sidecar::builder(), jobs);
            rows.push(Row { attack, memory_max, outcome: outcome(|| arena.served_while(|| run(&arena))) });
        }
    };
    attack("2,000 consumers, each gone before it has answered", 16 * MIB, "deliveries_max = 1000\n", &|arena| {
        hostile::vanishing_consumers(arena, 2000);
    });
    // Whoever is being read when there is no more room leaves a part of a message, of which all together may leave 256 MiB.
    attack("300 producers of 1 MiB at a full durable pipeline, gone", 384 * MIB, "messages_max = 8\n", &|arena| {
        vanish(arena, Kind::Durable);
    });

    println!(
        "{:<66} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "attack", "messages", "p99 ms", "max ms", "machine", "disk", "+MiB", "holds"
    );
    for row in &rows {
        println!("{}", row.line());
    }
    let failed: Vec<_> = rows.iter().filter(|row| row.failure().is_some()).map(|row| row.attack).collect();
    assert!(failed.is_empty(), "does not hold: {failed:?}");
}

/// What vanishing producers had sent whole comes to a consumer.
fn vanish(arena: &Arena, kind: Kind) {
    let jobs = hostile::vanishing_producers(arena, kind, 300, 1 << 20);
    hostile::all_come(arena, kind, &jobs);
}

/// What others at the place of an attack waited at most, who are no neighbours.
fn others_waited(slowest: Duration) {
    assert!(slowest <= Duration::from_secs(1), "another caller waited {slowest:?}");
}

/// What an attack found, or the words of its panic: the others still run.
fn outcome(run: impl FnOnce() -> Served) -> Result<Served, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".to_owned())
    })
}

impl Row {
    fn failure(&self) -> Option<String> {
        match &self.outcome {
            Err(text) => text.lines().next().map(ToOwned::to_owned),
            Ok(served) if served.p99() > P99_MAX => Some(format!("p99 above 100 ms; the longest of each: {:?}", served.slowest)),
            Ok(served) if served.memory_grown > self.memory_max => Some(format!("more than {} MiB", self.memory_max / MIB)),
            Ok(_) => None,
        }
    }

    fn line(&self) -> String {
        let verdict = self.failure().map_or_else(|| "yes".to_owned(), |failure| format!("NO: {failure}"));
        let Ok(served) = &self.outcome else { return format!("{:<66} {verdict}", self.attack) };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (count, grown) = (served.latencies.len(), served.memory_grown as f64 / MIB as f64);
        let [p99, max, machine, disk] = [served.p99(), served.max(), served.machine_p99(), served.disk_p99()].map(ms);
        format!("{:<66} {count:>8} {p99:>9.1} {max:>9.1} {machine:>9.1} {disk:>9.1} {grown:>9.1} {verdict:>8}", self.attack)
    }
}
