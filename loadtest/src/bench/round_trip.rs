//! P1: what a path adds to a 64-byte round trip when every process shares one core, so that no wake-up of a sleeping
//! CPU hides it.

use std::time::Duration;

use super::report::{Goal, Report};
use super::{BenchArgs, interleave, words};
use crate::child::{Core, Process};
use crate::failure::{Doing, Outcome};
use crate::latency::Summary;
use crate::neighbours::Neighbours;
use crate::peer::Wire;
use crate::sidecar::{Settings, Sidecar};

const PAYLOAD_BYTES: usize = 64;
const COUNT: u64 = 20_000;
const RESULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A way from callers to one agent, and the process whose CPU it costs.
struct Path<'a> {
    name: &'static str,
    wire: Wire,
    endpoint: String,
    carrier: Option<&'a dyn Carrier>,
}

trait Carrier {
    fn cpu(&self) -> Duration;
}

impl Carrier for Process {
    fn cpu(&self) -> Duration {
        self.cpu()
    }
}

impl Carrier for Sidecar {
    fn cpu(&self) -> Duration {
        self.cpu()
    }
}

pub(super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let core = args.last_core();
    let count = if args.quick { COUNT / 10 } else { COUNT };
    let setup = format!(
        "REQ -> path -> REP, {PAYLOAD_BYTES} B, closed loop, {count} round trips x {} rounds interleaved, all on core {core}",
        args.rounds
    );
    let mut report = Report::new("P1", setup);
    let wires = args.peers.map_or_else(|| vec![Wire::Libzmq, Wire::Raw], |wire| vec![wire]);
    let core = Some(core);
    let settings = Settings { overflow: "drop_newest", high_water: args.high_water };
    let sidecar = (!args.without_sidecar).then(|| Sidecar::start(&args.binary(), core, settings)).transpose()?;
    // Agents and proxies live through all rounds; each path has an agent of its own.
    let mut agents = Vec::new();
    let mut proxies = Vec::new();
    for &wire in &wires {
        for name in ["direct", "zmq_proxy", "sidecar"] {
            let agent = Process::start("rep", core, &words(&["peer", "rep", "--wire", wire.name()]))?;
            agents.push((name, wire, agent.endpoint()?, agent));
        }
    }
    for (name, wire, endpoint, _) in &agents {
        if *name == "zmq_proxy" {
            let proxy = Process::start("proxy-rpc", core, &words(&["proxy-rpc", "--connect", endpoint]))?;
            proxies.push((*wire, proxy.endpoint()?, proxy));
        }
    }
    let mut paths = Vec::new();
    for (name, wire, endpoint, _) in &agents {
        let path = |endpoint: String, carrier| Path { name, wire: *wire, endpoint, carrier };
        match (*name, &sidecar) {
            ("sidecar", Some(sidecar)) => {
                let front = sidecar.attach(&format!("load-{}", wire.name()), endpoint)?;
                paths.push(path(front, Some(sidecar as &dyn Carrier)));
            }
            ("sidecar", None) => {}
            ("zmq_proxy", _) => {
                let proxy = proxies.iter().find(|(of, _, _)| of == wire).expect("started above");
                paths.push(path(proxy.1.clone(), Some(&proxy.2)));
            }
            _ => paths.push(path(endpoint.clone(), None)),
        }
    }
    interleave(args.rounds, neighbours, &paths, |path| round(path, core, count, &mut report))?;
    for wire in wires {
        let load = load(wire);
        // The goal is stated for libzmq peers; with raw ones the same ratio is printed for orientation.
        let goal = |bound| (if wire == Wire::Libzmq { Goal::AtMost } else { Goal::None }, bound);
        report.ratio("P1", ("sidecar", "zmq_proxy"), &load, "p50 µs", goal(0.70));
        report.ratio("P1", ("sidecar", "zmq_proxy"), &load, "p99 µs", goal(0.65));
        report.ratio("P1", ("sidecar", "direct"), &load, "p50 µs", (Goal::None, 0.0));
        report.ratio("P1", ("sidecar", "zmq_proxy"), &load, "CPU µs/RT", (Goal::None, 0.0));
    }
    Ok(report)
}

fn load(wire: Wire) -> String {
    format!("{} peers", wire.name())
}

fn round(path: &Path<'_>, core: Core, count: u64, report: &mut Report) -> Outcome<()> {
    let arguments = ["peer", "req", "--wire", path.wire.name(), "--endpoint", &path.endpoint];
    let mut arguments = words(&arguments);
    arguments.extend(["--payload".to_owned(), PAYLOAD_BYTES.to_string(), "--count".to_owned(), count.to_string()]);
    let warm_up = count / 10;
    arguments.extend(["--warm-up".to_owned(), warm_up.to_string()]);
    let mut caller = Process::start("req", core, &arguments)?;
    caller.wait("ready", RESULT_TIMEOUT)?;
    let cpu = || path.carrier.map(Carrier::cpu);
    let before = cpu();
    caller.order("go")?;
    let result = caller.wait("result", RESULT_TIMEOUT)?;
    let latency: Summary = serde_json::from_value(result["latency"].clone()).doing(|| "reading a result".to_owned())?;
    let load = load(path.wire);
    report.add(path.name, &load, "p50 µs", latency.p50_us);
    report.add(path.name, &load, "p99 µs", latency.p99_us);
    if let (Some(before), Some(after)) = (before, cpu()) {
        let micros = after.saturating_sub(before).as_secs_f64() * 1e6;
        report.add(path.name, &load, "CPU µs/RT", micros / (count + warm_up) as f64);
    }
    Ok(())
}
