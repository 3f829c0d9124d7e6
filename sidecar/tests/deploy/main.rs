//! `docker-compose.yml` and what stands in `deploy/`: every file that is mounted is there, the limits add up to what a small machine has,
//! nothing is published to the world, nothing is left to chance (tags, restarts, health checks), and what is watched exists.

#[path = "../support/mod.rs"]
mod support;
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use myelin_testkit::http;
use serde_json::Value as Json;
use support::{PATIENCE, Scratch};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Json {
    yaml::read(&read("docker-compose.yml"))
}

/// Name and settings of every service.
fn services(compose: &Json) -> Vec<(&str, &Json)> {
    let services = compose["services"].as_object().expect("a map");
    services.iter().map(|(name, service)| (name.as_str(), service)).collect()
}

fn texts(list: &Json) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().expect("a text")).collect()
}

fn mebibytes(service: &Json) -> u32 {
    let limit = service["mem_limit"].as_str().and_then(|limit| limit.strip_suffix('m')?.parse().ok());
    limit.unwrap_or_else(|| panic!("a limit in MiB: {service}"))
}

#[test]
fn what_is_mounted_is_there() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for mount in texts(&service["volumes"]) {
            let [source, _target, ref options @ ..] = mount.split(':').collect::<Vec<_>>()[..] else { panic!("{name}: {mount}") };
            if source.starts_with("./") {
                assert!(root().join(source).exists(), "{name}: {source}");
                assert_eq!(options, ["ro"], "{name}: what comes from the repository is not written to");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source}");
            }
        }
        for secret in texts(&service["secrets"]) {
            assert!(compose["secrets"].get(secret).is_some(), "{name}: no secret {secret}");
        }
    }
    let made = read("deploy/make-secrets.sh");
    for (name, secret) in compose["secrets"].as_object().expect("a map") {
        assert_eq!(secret["file"], format!("./deploy/secrets/{name}"));
        assert!(made.contains(name), "make-secrets.sh makes no {name}");
    }
}

#[test]
fn every_service_is_bounded_watched_and_pinned() {
    let compose = compose();
    for (name, service) in services(&compose) {
        assert!(mebibytes(service) > 0);
        assert_eq!(service["read_only"], "true", "{name}: its files cannot be written");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        let image = service["image"].as_str().expect("an image");
        let (_, tag) = image.split_once(':').expect("a tag");
        assert!(image == "myelin:local" || tag.chars().filter(|character| *character == '.').count() >= 2, "{name}: {image} may change");
        if name == "redis-form" {
            assert_eq!(service["restart"], "on-failure");
            continue;
        }
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        // Ours has one in its image.
        assert!(service["build"].is_object() || service["healthcheck"]["test"].is_array(), "{name}: no health check");
    }
    let dockerfile = read("deploy/Dockerfile");
    assert!(dockerfile.contains("HEALTHCHECK") && dockerfile.contains("\"health\"]") && dockerfile.contains("\nUSER 65532"));
    let nats: u32 = services(&compose).iter().filter(|(name, _)| name.starts_with("nats-")).map(|(_, service)| mebibytes(service)).sum();
    let redis: u32 = services(&compose).iter().filter(|(name, _)| name.starts_with("redis-")).map(|(_, service)| mebibytes(service)).sum();
    assert_eq!((nats, redis), (384, 512));
}

#[test]
fn agents_of_a_machine_reach_their_sidecar_and_nothing_else_is_published() {
    let compose = compose();
    for (name, service) in services(&compose) {
        let is_for_agents = name.starts_with("machine-");
        let is_for_the_operator = service["profiles"].is_array();
        for port in texts(&service["ports"]) {
            assert!(is_for_agents || is_for_the_operator, "{name} publishes {port}");
            assert!(port.starts_with("127.0.0."), "{name} publishes {port} to the world");
        }
        let networks = match &service["networks"] {
            Json::Array(_) => texts(&service["networks"]),
            map => map.as_object().expect("a list or a map").keys().map(String::as_str).collect(),
        };
        for network in &networks {
            assert!(compose["networks"].get(network).is_some(), "{name}: no network {network}");
        }
        if is_for_agents {
            assert_eq!(networks, [name, "backbone"]);
        } else {
            assert!(networks.iter().all(|network| !network.starts_with("machine-")), "{name} is on an agents' network");
        }
    }
    assert_eq!(compose["networks"]["backbone"]["internal"], "true");
}

/// The nodes of Redis are formed by address, so an address that is listed has to be a node's.
#[test]
fn the_nodes_that_are_formed_are_the_nodes_there_are() {
    let compose = compose();
    let listed: BTreeSet<_> =
        compose["services"]["redis-form"]["environment"]["REDIS_NODES"].as_str().expect("a list").split(' ').collect();
    let nodes = services(&compose).into_iter().filter_map(|(_, service)| service["networks"]["backbone"]["ipv4_address"].as_str());
    let nodes: Vec<_> = nodes.map(|address| format!("{address}:6379")).collect();
    assert_eq!(listed, nodes.iter().map(String::as_str).collect());
    assert_eq!(nodes.len(), 6);
}

/// Names in an alert that nothing has any more are an alert that never comes.
#[test]
fn metrics_that_are_watched_exist() {
    let scratch = Scratch::with_free_ports("");
    let (_process, ready) = scratch.serve();
    let address = ready["http"].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok()).expect("an address");
    let page = http::get(address, "/metrics", PATIENCE).expect("a page").body;
    let exist: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        .collect();
    for file in ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts.test.yml", "deploy/grafana/dashboards/myelin.json"] {
        let text = read(file);
        let words = text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
        let watched: BTreeSet<_> = words.filter(|word| word.starts_with("myelin_") || word.starts_with("process_")).collect();
        assert!(watched.len() > 2, "{file}");
        for name in watched {
            assert!(exist.contains(name), "{file}: there is no metric {name}");
        }
    }
}

#[test]
fn what_prometheus_and_grafana_read_is_well_formed_and_meets() {
    let compose = compose();
    let prometheus = yaml::read(&read("deploy/prometheus/prometheus.yml"));
    let targets = texts(&prometheus["scrape_configs"][0]["static_configs"][0]["targets"]);
    for target in &targets {
        let (host, port) = target.split_once(':').expect("host:port");
        assert_eq!(port, "7300");
        assert!(compose["services"].get(host).is_some(), "no service {host}");
    }
    assert_eq!(targets.len(), services(&compose).iter().filter(|(name, _)| name.starts_with("machine-")).count());
    for group in yaml::read(&read("deploy/prometheus/alerts.yml"))["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            for (section, key) in [("labels", "severity"), ("annotations", "summary"), ("annotations", "description")] {
                assert!(rule[section][key].is_string(), "{rule}");
            }
        }
    }
    let dashboard: Json = serde_json::from_str(&read("deploy/grafana/dashboards/myelin.json")).expect("JSON");
    let source = yaml::read(&read("deploy/grafana/provisioning/datasources/prometheus.yml"));
    for panel in dashboard["panels"].as_array().expect("panels") {
        assert_eq!(panel["datasource"]["uid"], source["datasources"][0]["uid"], "{}", panel["title"]);
        assert!(panel["description"].is_string(), "{}", panel["title"]);
    }
    assert_eq!(
        yaml::read(&read("deploy/grafana/provisioning/dashboards/myelin.yml"))["providers"][0]["options"]["path"],
        "/var/lib/dashboards"
    );
}

/// What the builder is not sent, it cannot build; what it is sent needlessly, it builds again.
#[test]
fn the_builder_is_sent_every_member_of_the_workspace() {
    let ignored = read(".dockerignore");
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).expect("members");
    for member in members.split('"').skip(1).step_by(2) {
        let top = member.split('/').next().expect("a path");
        assert!(ignored.lines().any(|line| line == format!("!{top}")), "{top} is not sent to the builder");
    }
}

#[test]
fn the_sidecars_of_both_machines_accept_their_files() {
    for machine in ["machine-1", "machine-2"] {
        let file = root().join(format!("deploy/sidecar/{machine}.toml"));
        let checked = std::process::Command::new(env!("CARGO_BIN_EXE_myelin")).args(["config", "check"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{machine}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}
