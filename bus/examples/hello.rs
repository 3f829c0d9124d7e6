//! A service and its client in one process: `cargo run -p myelin-bus --example hello`.

use std::time::Duration;

use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let responder = bus.clone();
    let _service = bus.subscribe_inline(&Filter::new("greet.*")?, None, move |request: Delivery<'_>| {
        if let Some(reply) = request.reply {
            reply.respond(&responder, format!("hello from {}", request.subject).into());
        }
    })?;
    let answer = bus.request(&Subject::new("greet.world")?, "hi".into(), Duration::from_secs(1)).await?;
    assert_eq!(answer.body, "hello from greet.world".to_owned().into());
    Ok(())
}
