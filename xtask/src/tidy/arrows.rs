//! Which crate may name which: `sidecar → bridge-zmq → bus → wire`, `sidecar → mesh`; nothing else that ships.

use serde_json::Value;

/// What each crate may name in its normal and build dependencies. A crate that is not here may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("myelin-wire", &[]),
    ("myelin-store", &["myelin-wire"]),
    ("myelin-bus", &["myelin-store", "myelin-wire"]),
    // The memory mesh never names the bus, nor the bus the mesh.
    ("myelin-mesh", &[]),
    ("myelin-bridge-zmq", &["myelin-bus", "myelin-wire"]),
    // One call into the C library, kept away from everything that must hold without `unsafe`.
    ("myelin-malloc", &[]),
    ("myelin", &["myelin-bridge-zmq", "myelin-bus", "myelin-malloc", "myelin-mesh", "myelin-wire"]),
    // Knows peers from outside only, so that a test cannot agree with the code it tests by sharing it.
    ("myelin-testkit", &[]),
    ("myelin-benches", &["myelin-bridge-zmq", "myelin-bus", "myelin-mesh", "myelin-wire"]),
    ("myelin-loadtest", &["myelin-bus", "myelin-wire"]),
    ("xtask", &[]),
];

/// One dependency between two crates of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edge {
    from: String,
    /// `None`: the crate names none of ours.
    to: Option<String>,
    dev: bool,
}

/// Reads the edges out of `packages` of `cargo metadata`.
pub(super) fn edges(packages: &[Value]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        edges.push(Edge { from: from.to_owned(), to: None, dev: false });
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Only crates of the workspace are given by path.
            if dependency["path"].is_string() {
                let to = dependency["name"].as_str().map(str::to_owned);
                edges.push(Edge { from: from.to_owned(), to, dev: dependency["kind"] == "dev" });
            }
        }
    }
    edges
}

/// One line per edge that points the wrong way.
pub(super) fn check(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(finding).collect()
}

fn finding(Edge { from, to, dev }: &Edge) -> Option<String> {
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == from) else {
        return Some(format!("crate {from} has no line in xtask/src/tidy/arrows.rs: what may it name?"));
    };
    let to = to.as_deref()?;
    // Tests may start peers, but what testkit itself may name stays nothing, for tests too.
    // A crate whose tests need one of its own features names itself.
    let fine = allowed.contains(&to) || (*dev && (to == from || (to == "myelin-testkit" && from != "myelin-testkit")));
    (!fine).then(|| format!("crate {from} may not depend on {to}{}", if *dev { " (in tests)" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, dev: bool) -> Edge {
        Edge { from: from.to_owned(), to: Some(to.to_owned()), dev }
    }

    #[test]
    fn arrows_against_the_design_are_found() {
        for (from, to) in [
            ("myelin-bus", "myelin-mesh"),
            ("myelin-mesh", "myelin-bus"),
            ("myelin-wire", "myelin-bus"),
            ("myelin-bus", "myelin-bridge-zmq"),
            ("myelin-bridge-zmq", "myelin"),
            ("myelin-testkit", "myelin-bus"),
            ("myelin", "myelin-testkit"),
        ] {
            assert_eq!(check(&[edge(from, to, false)]).len(), 1, "{from} -> {to}");
        }
        assert_eq!(check(&[edge("myelin-testkit", "myelin-wire", true)]).len(), 1);
    }

    #[test]
    fn arrows_of_the_design_pass() {
        for (from, to) in [("myelin", "myelin-mesh"), ("myelin-bridge-zmq", "myelin-bus"), ("myelin-bus", "myelin-wire")] {
            assert!(check(&[edge(from, to, false)]).is_empty(), "{from} -> {to}");
        }
        assert!(check(&[edge("myelin", "myelin-testkit", true)]).is_empty());
        assert!(check(&[edge("myelin-bus", "myelin-bus", true)]).is_empty());
    }

    #[test]
    fn a_crate_nobody_has_placed_is_found() {
        let packages = [serde_json::json!({ "name": "myelin-more", "dependencies": [] })];
        assert_eq!(check(&edges(&packages)).len(), 1);
    }

    #[test]
    fn dependencies_from_a_registry_are_nobodys_arrow() {
        let packages = [serde_json::json!({ "name": "myelin-bus", "dependencies": [
            { "name": "tokio", "kind": null },
            { "name": "myelin-mesh", "kind": null, "path": "mesh" },
        ] })];
        assert_eq!(check(&edges(&packages)), ["crate myelin-bus may not depend on myelin-mesh"]);
    }
}
