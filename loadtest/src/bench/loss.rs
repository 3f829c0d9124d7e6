//! P3: a publisher on an open-loop schedule; every message is accounted for, hop by hop.

use std::collections::BTreeMap;

use super::BenchArgs;
use super::report::{Goal, Report};
use super::topic::{Carrier, Load, Published, publish};
use crate::failure::Outcome;
use crate::neighbours::Neighbours;
use crate::peer::Wire;
use crate::sidecar::{Settings, Sidecar};

const RATE: u64 = 200_000;
const PAYLOAD_BYTES: usize = 64;

pub(super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let seconds = args.seconds(60.0);
    let publisher = args.peers.unwrap_or(Wire::Raw);
    let subscriber = args.peers.unwrap_or(Wire::Libzmq);
    let setup = format!(
        "1 PUB ({}) -> path -> 1 SUB ({}), {RATE}/s x {PAYLOAD_BYTES} B open loop for {seconds} s, \
         the sidecar's default overflow policy, high-water marks {}",
        publisher.name(),
        subscriber.name(),
        args.high_water
    );
    let mut report = Report::new("P3", setup);
    let load =
        Load { publisher, subscriber, payload: PAYLOAD_BYTES, subscribers: 1, seconds, rate: Some(RATE), high_water: args.high_water };
    let carrier = Carrier::proxy(args.high_water)?;
    record(&mut report, carrier.name(), &neighbours.run(|| publish(&carrier, &load))?);
    drop(carrier);
    if !args.without_sidecar {
        let settings = Settings { overflow: "drop_newest", high_water: args.high_water };
        let carrier = Carrier::Sidecar(Box::new(Sidecar::start(&args.binary(), None, settings)?));
        let before = counters(&carrier)?;
        let done = neighbours.run(|| publish(&carrier, &load))?;
        record(&mut report, carrier.name(), &done);
        for (name, value) in counters(&carrier)? {
            let grown = value - before.get(&name).copied().unwrap_or(0.0);
            if grown > 0.0 {
                report.note(format!("sidecar counter {name} +{grown}"));
            }
        }
        report.figure("P3", "messages lost in the sidecar".to_owned(), done.lost() as f64, (Goal::AtMost, 0.0));
        let kept = done.sent as f64 / done.seconds / RATE as f64;
        report.figure("P3", "share of the schedule's rate that was sent".to_owned(), kept, (Goal::AtLeast, 0.99));
    }
    report.note(
        "hop by hop: a raw publisher cannot drop (its socket blocks) and a subscriber past its mark stops reading, \
         so what was sent and not received was lost by the path; warm-up and end marks are in the counters too",
    );
    Ok(report)
}

fn record(report: &mut Report, path: &str, done: &Published) {
    let load = "200 k/s, 64 B";
    report.add(path, load, "sent", done.sent as f64);
    for receiver in &done.receivers {
        report.add(path, load, "received", receiver.received as f64);
        report.add(path, load, "missing", receiver.missing as f64);
        report.add(path, load, "late", receiver.late as f64);
        report.add(path, load, "p50 µs", receiver.latency.p50_us);
        report.add(path, load, "p99 µs", receiver.latency.p99_us);
        report.add(path, load, "p99.9 µs", receiver.latency.p999_us);
    }
    report.add(path, load, "CPU µs/msg", done.cpu.as_secs_f64() * 1e6 / done.sent.max(1) as f64);
}

/// Counters of the bridge that count messages; the rest of the page is not about loss.
fn counters(carrier: &Carrier) -> Outcome<BTreeMap<String, f64>> {
    let Carrier::Sidecar(sidecar) = carrier else { return Ok(BTreeMap::new()) };
    let mut samples = sidecar.metrics()?;
    samples.retain(|name, _| name.contains("_total") && ["message", "drop"].iter().any(|word| name.contains(word)));
    Ok(samples)
}
