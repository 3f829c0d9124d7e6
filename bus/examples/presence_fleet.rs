//! What 10,000 agents cost two sidecars that know of them: memory and CPU, idle, and with 1 % of them changing per minute.
//!
//! Ten thousand agents are announced on one bus and known on another; both are in this process, so the figures are those of two, of which one speaks and
//! one listens. `cargo run --release -p myelin-bus --example presence_fleet -- [agents] [seconds]`; 10000 and 60 by default.

#![allow(clippy::print_stdout, reason = "it prints")]

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use myelin_bus::presence::{AgentCard, Announced, PresenceConfig};
use myelin_bus::wire::{AgentId, Filter};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, InlineSubscription};
use tokio::time::sleep;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let agents: usize = args.next().map_or(Ok(10_000), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(60), |text| text.parse())?;
    let (here, there) = (Bus::embedded(EmbeddedConfig::default()), Bus::embedded(EmbeddedConfig::default()));
    let before = resident_kib()?;
    let config = PresenceConfig::default();
    let (speaks, listens) = (here.presence_with(&config)?, there.presence()?);
    let _passing = [pass(&here, &there)?, pass(&there, &here)?];
    let announced = (0..agents).map(|number| Ok(speaks.announce(card(number)?)?)).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let began = Instant::now();
    while listens.list().len() < agents {
        sleep(Duration::from_millis(20)).await;
    }
    println!("{agents} agents known to the other bus after {:?}", began.elapsed());
    println!("memory: {} KiB for both tables, {:.0} bytes per agent and table", resident_kib()? - before, {
        (resident_kib()? - before) as f64 * 1024.0 / agents as f64 / 2.0
    });
    measure("idle", seconds, &config, async || {}).await?;
    let mut turn = 0;
    let every = Duration::from_secs(60).div_f64(agents as f64 / 100.0);
    measure("1 % changing per minute", seconds, &config, async || {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            change(&announced, &mut turn);
            sleep(every).await;
        }
    })
    .await?;
    Ok(())
}

fn card(number: usize) -> Result<AgentCard, Box<dyn Error>> {
    let card = AgentCard::new(AgentId::new(&format!("agent-{number:05}"))?).kind("worker");
    Ok(card.capability("plan").capability("tool:kubectl").metadata("version", "1.4").metadata("host_type", "gpu"))
}

fn change(announced: &[Announced], turn: &mut usize) {
    announced[*turn % announced.len()].update(|axes| axes.healthy = Some(axes.healthy != Some(true)));
    *turn += 1;
}

/// What is said of presence on one bus is heard on the other.
fn pass(from: &Bus, to: &Bus) -> Result<InlineSubscription, Box<dyn Error>> {
    let (all, mine) = (Filter::new("$MYELIN.PRESENCE.>")?, to.clone());
    let runtime = tokio::runtime::Handle::current();
    Ok(from.subscribe_inline(&all, None, move |delivery: Delivery<'_>| {
        // A task, so that what goes round does not call itself. What came from there comes back once and is nobody's news.
        for body in delivery.bodies {
            let message = delivery.to_message(body);
            if message.meta.is_some() {
                continue;
            }
            let (bus, mut message) = (mine.clone(), message);
            message.meta = Some(Box::default());
            runtime.spawn(async move { bus.publish_message(message).await });
        }
    })?)
}

async fn measure(what: &str, seconds: u64, config: &PresenceConfig, work: impl AsyncFnOnce()) -> Result<(), Box<dyn Error>> {
    let (cpu, (messages, bytes), began) = (cpu_ticks()?, config.metrics.sent(), Instant::now());
    work().await;
    sleep(Duration::from_secs(seconds).saturating_sub(began.elapsed())).await;
    let (after, bytes_after) = config.metrics.sent();
    // A tick of the system is a hundredth of a second.
    let ms = (cpu_ticks()? - cpu) * 10;
    let (said, said_bytes) = (after - messages, bytes_after - bytes);
    println!(
        "{what}, {seconds} s: {ms} ms of CPU ({:.3} % of one processor), {said} messages, {said_bytes} bytes said, {} KiB resident",
        ms as f64 / 10.0 / seconds as f64,
        resident_kib()?
    );
    Ok(())
}

fn resident_kib() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn cpu_ticks() -> Result<u64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no fields")?.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
