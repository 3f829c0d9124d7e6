//! An idle fleet costs at least 99 % less on the cable between two machines when its pollers ask through two sidecars, and a crash is still seen in time.
//!
//! The same agents and pollers, first direct, then through the sidecars, with a NATS server on the agents' machine: everything on the cable of the
//! pollers' machine counts, from its interface: leases, keepalives, interest and beats too. In the middle of each run one agent hangs. Run by
//! `cargo xtask proof idle`; `MYELIN_IDLE_AGENTS` (77,1000), `MYELIN_IDLE_SECONDS` (300) and `MYELIN_IDLE_EVERY` (3, seconds between two polls of an agent) change the
//! plan.

#![allow(clippy::print_stdout, reason = "the table is the proof")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use myelin_testkit::registry::Registry;
use myelin_testkit::{Agent, Cable, Host, Hosts, NatsServer, Sidecar, Traffic, eventually};
use serde_json::{Value, json};

/// Agents of one process; all threads of it are idle but for polls.
const GROUP: usize = 40;

/// Polls of one poller process per second; a poll with a socket of its own takes about 2 ms of CPU.
const POLLS_PER_SECOND: usize = 120;

/// Agents in hosts of their own have ports of their own: above those of the sidecar.
const FIRST_PORT: usize = 22_000;

/// For a thousand agents to start and to register.
const START: Duration = Duration::from_secs(240);

/// How long the sidecars may take until they know every document; polls go on meanwhile and are not counted.
const WARM: Duration = Duration::from_secs(15);

/// How old an answer may be, and what else a poller waits: the next poll of that agent, and its own patience.
const BOUND: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(1);

/// Every packet has these in front: Ethernet 14, IPv4 20, TCP with timestamps 32.
const HEADER: u64 = 66;

struct Plan {
    agents: usize,
    seconds: u64,
    every: f64,
}

/// One of the two runs.
struct Run {
    traffic: Traffic,
    polls: u64,
    answered: u64,
    late: u64,
    seen_after: Duration,
    meter: Option<Value>,
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn ports(agent: usize) -> (usize, usize) {
    (FIRST_PORT + 2 * agent, FIRST_PORT + 2 * agent + 1)
}

/// Groups of agents, and the one that will hang in a process of its own.
fn start_agents(host: &Host, agents: usize, sidecar: Option<&Sidecar>) -> (Vec<Agent>, Agent) {
    let start = |numbers: std::ops::Range<usize>| {
        let members: Vec<Value> = numbers
            .map(|number| {
                let (port, health_port) = ports(number);
                json!({"name": format!("Agent-{number}"), "port": port, "health_port": health_port})
            })
            .collect();
        let mut script =
            Agent::script("rep_agent").arg("--fleet", json!(members)).arg("--delay", 0.1).arg("--bind-host", "0.0.0.0").on(host);
        if let Some(sidecar) = sidecar {
            script = script.arg("--register", sidecar.discovery_endpoint());
        }
        let agent = script.start();
        if sidecar.is_some() {
            agent.event_within("all_registered", START);
        }
        agent
    };
    let groups = (1..agents).step_by(GROUP).map(|first| start(first..(first + GROUP).min(agents))).collect();
    (groups, start(0..1))
}

fn start_pollers(host: &Host, endpoints: &[String], every: f64) -> Vec<Agent> {
    let share = ((POLLS_PER_SECOND as f64 * every) as usize).max(1);
    let start = |endpoints: &[String]| {
        let script = Agent::script("poller").arg("--endpoints", json!(endpoints)).arg("--every", every);
        script.arg("--timeout-ms", PATIENCE.as_millis()).on(host).start()
    };
    endpoints.chunks(share).map(start).collect()
}

/// What the pollers counted since the last time.
fn counted(pollers: &mut [Agent]) -> [u64; 3] {
    let mut sums = [0; 3];
    for poller in pollers {
        let counted = poller.ask(&json!({}), "counted");
        for (sum, key) in sums.iter_mut().zip(["polls", "answered", "late"]) {
            *sum += counted[key].as_u64().expect("a number");
        }
    }
    sums
}

/// Polls for the time of the plan; the victim hangs in the middle of it.
fn measure(
    plan: &Plan,
    cable: &Cable,
    pollers: &mut [Agent],
    victim: &mut Agent,
    victim_at: &str,
    meter: impl Fn() -> Option<Value>,
) -> Run {
    std::thread::sleep(WARM);
    counted(pollers);
    let (before, meter_before, began) = (cable.traffic(), meter(), Instant::now());
    let half = Duration::from_secs(plan.seconds) / 2;
    std::thread::sleep(half);
    victim.freeze();
    let froze = Instant::now();
    // The first poller has the first agents.
    let silent = pollers[0].event_within("silent", BOUND * 10);
    let seen_after = froze.elapsed();
    assert_eq!(silent["endpoint"], victim_at, "another agent fell silent");
    victim.thaw();
    std::thread::sleep((half * 2).saturating_sub(began.elapsed()));
    let (traffic, meter_after) = (cable.traffic() - before, meter());
    let [polls, answered, late] = counted(pollers);
    let meter = meter_before.zip(meter_after).map(|(before, after)| {
        let since = |key: &str| after["total"][key].as_u64().unwrap_or(0) - before["total"][key].as_u64().unwrap_or(0);
        let derived = |value: &Value| value["total"]["derived"]["wire_bytes"].as_u64().unwrap_or(0);
        json!({
            "polls": since("polls_answered"),
            "connections": since("connections"),
            "bytes": since("bytes_not_sent"),
            "wire": derived(&after) - derived(&before),
        })
    });
    Run { traffic, polls, answered, late, seen_after, meter }
}

fn direct(plan: &Plan) -> Run {
    let hosts = Hosts::two().expect("network namespaces: run it as root on Linux");
    let (_groups, mut victim) = start_agents(&hosts[0], plan.agents, None);
    let endpoints: Vec<String> = (0..plan.agents).map(|agent| hosts[0].endpoint(u16::try_from(ports(agent).1).expect("a port"))).collect();
    let mut pollers = start_pollers(&hosts[1], &endpoints, plan.every);
    measure(plan, hosts[1].cable(), &mut pollers, &mut victim, &endpoints[0], || None)
}

fn through_sidecars(plan: &Plan) -> Run {
    let hosts = Hosts::two().expect("network namespaces: run it as root on Linux");
    let nats = NatsServer::start_on(&hosts[0]);
    let sidecars = [0, 1].map(|number| {
        Sidecar::builder()
            .on(&hosts[number])
            .section("bus", "engine = \"nats\"")
            .section("nats", &format!("servers = [{:?}]", nats.url()))
            .env("MYELIN_DISCOVERY_PORT_RANGE", "17000-21999")
            .start()
    });
    let (_groups, mut victim) = start_agents(&hosts[0], plan.agents, Some(&sidecars[0]));
    let endpoints: Vec<String> = hosts[1].enter(|| {
        let registry = Registry::at(sidecars[1].discovery());
        let place = |agent: usize| {
            let name = format!("Agent-{agent}");
            let question = json!({"action": "get_agent_endpoint", "agent_name": name});
            eventually("the agent is found", START, || (registry.ask(&question)["status"] == "success").then_some(()));
            format!("tcp://{}", registry.health_endpoint(&name))
        };
        (0..plan.agents).map(place).collect()
    });
    let mut pollers = start_pollers(&hosts[1], &endpoints, plan.every);
    let meter = || {
        let output = hosts[1].enter(|| sidecars[1].command(&["traffic", "--json"]).output()).expect("the command runs");
        Some(serde_json::from_slice(&output.stdout).expect("JSON"))
    };
    measure(plan, hosts[1].cable(), &mut pollers, &mut victim, &endpoints[0], meter)
}

fn bytes(traffic: Traffic) -> u64 {
    traffic.bytes_in + traffic.bytes_out
}

fn packets(traffic: Traffic) -> u64 {
    traffic.packets_in + traffic.packets_out
}

#[test]
#[ignore = "a proof: half an hour, with a report"]
fn an_idle_fleet_costs_one_percent() {
    let fleets = std::env::var("MYELIN_IDLE_AGENTS").unwrap_or_else(|_| "77,1000".to_owned());
    let (seconds, every) = (number("MYELIN_IDLE_SECONDS", 300), number("MYELIN_IDLE_EVERY", 3.0));
    let mut faults = String::new();
    for agents in fleets.split(',').map(|agents| agents.trim().parse().expect("numbers of agents")) {
        let plan = Plan { agents, seconds, every };
        println!("{agents} agents, each polled every {every} s for {seconds} s, every poll with a socket of its own:");
        let direct = direct(&plan);
        let through = through_sidecars(&plan);
        for (name, run) in [("direct", &direct), ("through sidecars", &through)] {
            println!(
                "  {name:<17} {:>12} B {:>9} packets on the cable; {:>6} polls, {:>6} answered; the agent that hung was seen after {:.1} s{}",
                bytes(run.traffic),
                packets(run.traffic),
                run.polls,
                run.answered,
                run.seen_after.as_secs_f64(),
                if run.late > 0 { "; LATE: this machine did not keep up" } else { "" },
            );
        }
        let per_poll = |run: &Run, count: u64| count as f64 / run.polls as f64;
        // As many polls of both, whatever the clock did.
        let saved = 1.0 - per_poll(&through, bytes(through.traffic)) / per_poll(&direct, bytes(direct.traffic));
        let saved_packets = 1.0 - per_poll(&through, packets(through.traffic)) / per_poll(&direct, packets(direct.traffic));
        println!("  fewer bytes: {:.2} %, fewer packets: {:.2} %", 100.0 * saved, 100.0 * saved_packets);

        // The meter counted some of the polls. For as many, the direct run paid this.
        let meter = through.meter.as_ref().expect("there is a meter");
        let metered = meter["polls"].as_u64().unwrap_or(0);
        let paid = per_poll(&direct, bytes(direct.traffic)) * metered as f64;
        // Without the headers of packets and the options of the first two of each connection: what ZMTP sent, greetings included.
        let frames = per_poll(&direct, bytes(direct.traffic) - HEADER * packets(direct.traffic)) - 16.0;
        let counted = meter["bytes"].as_f64().unwrap_or(0.0) + 195.0 * meter["connections"].as_f64().unwrap_or(0.0);
        let (counted_off, derived_off) = (counted / (frames * metered as f64) - 1.0, meter["wire"].as_f64().unwrap_or(0.0) / paid - 1.0);
        println!(
            "  the meter: {metered} of {} polls answered here; its bytes with the greetings of connections are {:+.2} % off the interface without headers, what it derives {:+.2} % off the interface",
            through.polls,
            100.0 * counted_off,
            100.0 * derived_off,
        );
        let bound = BOUND + Duration::from_secs_f64(every) + PATIENCE;
        for (holds, what) in [
            (saved >= 0.99, "at least 99 % fewer bytes"),
            (counted_off.abs() <= 0.02, "the meter within 2 % of the interface"),
            (derived_off.abs() <= 0.02, "what the meter derives within 2 % of the interface"),
            (through.seen_after <= bound, "the agent that hung is seen after the bound and one poll"),
            (direct.late + through.late == 0, "the machine keeps up"),
        ] {
            if !holds {
                writeln!(faults, "{agents} agents: not {what}").expect("a text takes everything");
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
