//! CURVE: how much one publisher gets through a path to one subscriber when both hops are encrypted.

use tempfile::TempDir;

use super::report::{Goal, Report};
use super::topic::{Carrier, LINK_TIMEOUT, Load, publish_with};
use super::{BenchArgs, interleave, words};
use crate::child::Process;
use crate::failure::{Doing, Failure, Outcome};
use crate::neighbours::Neighbours;
use crate::peer::Wire;
use crate::peer::curve::{self as keys, CLIENTS, SERVER_SECRET};
use crate::sidecar::{Settings, Sidecar};

/// Payload sizes, each with the high-water mark of its peers: 64 KiB in 65,536 messages would be 4 GiB.
const LOADS: [(usize, Option<i32>); 4] = [(64, None), (256, None), (1_024, None), (65_536, Some(1_024))];

pub(super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    if args.peers == Some(Wire::Raw) {
        return Err(Failure::new("raw peers speak no CURVE"));
    }
    let seconds = args.seconds(1.5);
    let setup = format!(
        "1 PUB -> path -> 1 SUB, CURVE on both hops, libzmq peers, unpinned, {seconds} s x {} rounds interleaved, high-water marks {} \
         (64 KiB: 1024), publisher held back by end-to-end credit of 3/8 of it",
        args.rounds, args.high_water,
    );
    let mut report = Report::new("CURVE", setup);
    let keys = tempfile::tempdir().doing(|| "making a directory for keys".to_owned())?;
    keys::make(keys.path())?;
    let curve = words(&["--curve", &keys.path().display().to_string()]);
    let mut carriers = vec![proxy(args.high_water, &curve)?];
    if !args.without_sidecar {
        carriers.push(sidecar(args, &keys)?);
    }
    let mut lost = 0;
    for (payload, high_water) in LOADS {
        let high_water = high_water.map_or(args.high_water, |own| own.min(args.high_water));
        let wire = Wire::Libzmq;
        let load = Load { publisher: wire, subscriber: wire, payload, subscribers: 1, seconds, rate: None, high_water };
        let label = format!("{payload} B");
        interleave(args.rounds, neighbours, &carriers, |carrier| {
            let done = publish_with(carrier, &load, &curve)?;
            lost += done.lost();
            report.add(carrier.name(), &label, "msgs/s", done.per_second());
            let per_message = done.cpu.as_secs_f64() * 1e6 / done.sent.max(1) as f64;
            report.add(carrier.name(), &label, "CPU µs/msg", per_message);
            Ok(())
        })?;
        let paths = ("sidecar", "zmq_proxy");
        report.ratio("CURVE", paths, &label, "msgs/s", (Goal::AtLeast, 1.0));
        report.ratio("CURVE", paths, &label, "CPU µs/msg", (Goal::AtMost, 1.0));
    }
    report.note(format!("messages lost in all cells together: {lost}"));
    report.note("zmq_proxy and all peers have the same libzmq; `ldd` on the harness tells which one and with which libsodium");
    Ok(report)
}

fn proxy(high_water: i32, curve: &[String]) -> Outcome<Carrier> {
    let mut arguments = words(&["proxy-topic", "--hwm", &high_water.to_string()]);
    arguments.extend_from_slice(curve);
    let process = Process::start("proxy-topic", None, &arguments)?;
    let ready = process.wait("ready", LINK_TIMEOUT)?;
    match (ready["endpoint"].as_str(), ready["out"].as_str()) {
        (Some(front), Some(back)) => Ok(Carrier::Proxy(process, front.to_owned(), back.to_owned())),
        _ => Err(Failure::new("the proxy bound no endpoints")),
    }
}

fn sidecar(args: &BenchArgs, keys: &TempDir) -> Outcome<Carrier> {
    let settings = Settings { overflow: "block", high_water: args.high_water };
    let [key, clients] = [SERVER_SECRET, CLIENTS].map(|name| keys.path().join(name));
    let security = format!("[security]\nmechanism = \"curve\"\nkey = {key:?}\nclients = {clients:?}\n");
    Ok(Carrier::Sidecar(Box::new(Sidecar::start_with(&args.binary(), None, settings, &security)?)))
}
