//! A worker that nothing is lost with: `cargo run -p myelin-bus --example worker`.
#![allow(clippy::print_stdout, reason = "an example for the terminal")]

use std::time::Duration;

use myelin_bus::streams::{ConsumerConfig, Name, PublishOptions, Retention, StoreConfig, StreamConfig};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::temp_dir().join(format!("myelin-worker-{}", std::process::id()));
    let (bus, _report) = Bus::embedded_with_store(EmbeddedConfig::default(), &StoreConfig { directory: directory.clone() })?;
    let mut orders = StreamConfig::new(Name::new("orders")?, vec![Filter::new("orders.>")?]);
    orders.retention = Retention::WorkQueue;
    bus.ensure_stream(&orders).await?;
    for number in 1..=3 {
        let order = Message::new(Subject::new("orders.new")?, format!("order {number}"));
        let receipt = bus.publish_durable(&order, &PublishOptions::default()).await?;
        println!("stored as {}", receipt.sequence);
    }

    let worker = bus.ensure_consumer(&orders.name, &ConsumerConfig::new(Name::new("workers")?)).await?;
    for job in worker.fetch(10, Duration::from_secs(1)).await? {
        match handle(job.body()) {
            Ok(()) => job.ack().await?,
            Err(problem) => job.nak(None, problem).await?,
        }
    }
    println!("{} left", bus.stream_info(&orders.name).await?.messages);
    bus.drain(Duration::from_secs(1)).await;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn handle(order: &Body) -> Result<(), &'static str> {
    println!("working on {order:?}");
    Ok(())
}
