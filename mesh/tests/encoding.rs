//! What encoding and compression save, on bodies as agents send them: about 500 bytes of JSON, as Python prints it, with content that differs.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use fastrand::Rng;
use myelin_mesh::{EmbeddedConfig, Key, Mesh, MeshConfig, Namespace, Ttl, Value, Window};

const AGENTS: [&str; 8] =
    ["PlanningAgent", "StreamingTTSAgent", "STTService", "VisionCapture", "MemoryOrchestrator", "CodeGenerator", "NLUAgent", "GoalManager"];

/// Prose that the vocabulary was not made from: sentences about gardens.
const PROSE: [&str; 12] = [
    "Tomatoes want six hours of sunlight and a wall behind them that keeps warm until midnight.",
    "Prune the apple tree in late winter, before its buds swell, and never more than a quarter of it.",
    "A handful of crushed eggshells around each lettuce discourages slugs for about a week.",
    "Water deeply twice a week instead of sprinkling daily; roots follow moisture downwards.",
    "Compost heats up best with three parts brown leaves to one part fresh grass.",
    "Rosemary dies of wet feet more often than of frost, so drain its pot well.",
    "Marigolds between the beans confuse whitefly, though nobody agrees how much.",
    "Dahlias must be lifted once foliage blackens, dried upside down and kept dark.",
    "Hedgehogs need a gap of thirteen centimetres beneath your fence.",
    "Sow carrots thinly, cover with fine sand, keep them damp for twenty days.",
    "Old roses bloom once, gloriously; modern hybrids flower until November.",
    "Moss in lawns means shade, compaction or acid soil, usually a bit of everything.",
];

/// Makes a body.
type Body = fn(&mut Rng) -> String;

fn prose(random: &mut Rng, bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(random.choice(PROSE).unwrap());
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

fn agent(random: &mut Rng) -> &'static str {
    random.choice(AGENTS).unwrap()
}

fn uuid(random: &mut Rng) -> String {
    let hex = format!("{:032x}", random.u128(..));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn time(random: &mut Rng) -> String {
    let mut below = |max: u32| random.u32(..max);
    format!("2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}", below(12) + 1, below(28) + 1, below(24), below(60), below(60), below(1_000_000))
}

fn health(random: &mut Rng) -> String {
    let (name, ready) = (agent(random), random.bool());
    format!(
        r#"{{"status": "ok", "ready": {ready}, "initialized": true, "message": "{name} is healthy and running", "timestamp": {}, "uptime": {}, "active_threads": {}, "health_checks": {{"zmq": true, "redis": {}, "threads_alive": true, "initialization": true}}, "health_details": {{"cpu_percent": {:.1}, "memory_mb": {:.2}, "requests_processed": {}, "errors": {}, "last_error": null}}, "health_status": "HEALTHY"}}"#,
        1.7e9 + random.f64() * 1e8,
        random.f64() * 1e5,
        random.u8(3..20),
        random.bool(),
        random.f64() * 100.0,
        random.f64() * 900.0,
        random.u32(..99_999),
        random.u8(..9),
    )
}

fn registration(random: &mut Rng) -> String {
    let (name, port) = (agent(random), random.u16(5000..7900));
    format!(
        r#"{{"action": "register_agent", "agent_name": "{name}", "status": "HEALTHY", "location": "MainPC", "registration_data": {{"agent_id": "{name}", "agent_type": "service", "host": "192.168.100.{}", "port": {port}, "health_check_port": {}, "capabilities": ["{}", "{}"], "dependencies": ["{}"], "metadata": {{"version": "1.{}.0", "pid": {}}}}}, "source_agent": "{name}", "request_id": "{}", "timestamp": "{}"}}"#,
        random.u8(..),
        port + 1000,
        random.choice(["stt", "tts", "vision", "batch_processing"]).unwrap(),
        random.choice(["memory", "translate", "multilingual"]).unwrap(),
        agent(random),
        random.u8(..9),
        random.u16(..),
        uuid(random),
        time(random),
    )
}

fn message(random: &mut Rng) -> String {
    let bytes = random.usize(180..300);
    format!(
        r#"{{"id": "{}", "from": "{}", "to": "{}", "type": "request", "role": "{}", "content": "{}", "timestamp": "{}", "metadata": {{"model": "gpt-4o", "tokens": {}, "conversation_id": "{}"}}}}"#,
        uuid(random),
        agent(random),
        agent(random),
        random.choice(["user", "assistant", "system"]).unwrap(),
        prose(random, bytes),
        time(random),
        random.u16(10..900),
        uuid(random),
    )
}

fn memory(random: &mut Rng) -> String {
    let bytes = random.usize(120..260);
    format!(
        r#"{{"action": "add_memory", "data": {{"content": "{}", "memory_type": "knowledge_fact", "memory_tier": "{}", "importance": {:.2}, "created_by": "{}", "tags": ["{}", "plan"], "memory_id": "mem-{}", "created_at": "{}", "access_count": {}}}}}"#,
        prose(random, bytes),
        random.choice(["short", "medium", "long"]).unwrap(),
        random.f64(),
        agent(random),
        random.choice(["a", "user", "fact"]).unwrap(),
        uuid(random),
        time(random),
        random.u8(..),
    )
}

/// Of another fleet, with words that nobody here has heard of.
fn foreign(random: &mut Rng) -> String {
    let mut line = || {
        let (sku, quantity, price) = (random.u32(..), random.u8(1..40), random.f64() * 300.0);
        format!(r#"{{"sku": "{sku:08X}", "qty": {quantity}, "unitPrice": {price:.2}, "currency": "EUR"}}"#)
    };
    let lines = [line(), line(), line(), line()].join(", ");
    format!(
        r#"{{"orderNumber": {}, "customerRef": "{}", "warehouse": "HAM-{}", "lines": [{lines}], "dispatchBy": "{}", "carrier": "dhl", "giftWrap": false, "note": "{}"}}"#,
        random.u32(..),
        uuid(random),
        random.u8(..9),
        time(random),
        prose(random, 60),
    )
}

#[tokio::test]
async fn bodies_of_agents_are_stored_in_less_than_sixty_percent() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Rng::with_seed(6);
    let kinds: [(&str, Body); 5] =
        [("health", health), ("registration", registration), ("message", message), ("memory", memory), ("another fleet's", foreign)];
    for (name, body) in kinds {
        let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await.unwrap();
        let space = mesh.space(Namespace::new("a").unwrap());
        let bodies: Vec<_> = std::iter::repeat_with(|| Value::json(body(&mut random))).take(256).collect();
        space.append_many(&Window::new(Key::new("w").unwrap()), &bodies).await.unwrap();
        let counts = mesh.metrics().counts();
        let saved = 100.0 - 100.0 * counts.bytes_stored as f64 / counts.bytes_given as f64;
        println!("{name}: {} bytes each, {saved:.0} % saved", counts.bytes_given / 256);
        assert!(saved >= 40.0, "{name}: {saved:.1} %");
        mesh.close().await;
    }
}

/// Typed values have no quotes and no colons to save; the names of their fields are still words.
#[tokio::test]
async fn typed_values_are_compressed_too() {
    #[derive(serde::Serialize)]
    struct Message {
        role: &'static str,
        content: String,
        timestamp: f64,
        metadata: (u32, &'static str),
    }
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await.unwrap();
    let mut random = Rng::with_seed(6);
    let content = prose(&mut random, 400);
    let message = Message { role: "assistant", content, timestamp: 1.7e9, metadata: (100, "gpt-4o") };
    mesh.space(Namespace::new("a").unwrap()).set_as(&Key::new("k").unwrap(), &message, Ttl::DEFAULT).await.unwrap();
    let counts = mesh.metrics().counts();
    assert!(counts.bytes_stored * 10 < counts.bytes_given * 8, "{counts:?}");
    mesh.close().await;
}
