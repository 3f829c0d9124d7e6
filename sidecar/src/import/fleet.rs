//! The agents of a startup file, as it is written: nothing is evaluated or judged yet.
//!
//! Two shapes, also mixed: `agent_groups: {group: {Name: {port, ..}}}`, and lists of `{name, port, ..}` at the top or under any top-level key.

use super::yaml::{Entry, Node, Value};

/// Top-level keys that may hold agents by name, without groups.
const KEYS_BY_NAME: [&str; 2] = ["agents", "services"];

const GROUPS: &str = "agent_groups";
const PORT: &str = "port";
const HEALTH_PORT: &str = "health_check_port";

/// One agent as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    /// `None` for an item of a list that says no name.
    pub(super) name: Option<String>,
    /// Where it begins, counted from 1.
    pub(super) line: usize,
    /// Its group, or the key of its list.
    pub(super) group: Option<String>,
    pub(super) host: Option<Field>,
    pub(super) port: Option<Field>,
    pub(super) health_port: Option<Field>,
    pub(super) dependencies: Vec<Field>,
}

/// A value and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) text: String,
    pub(super) line: usize,
}

/// All agents, in the order of the file.
pub(super) fn agents(root: &Node) -> Vec<Agent> {
    if !root.items().is_empty() {
        return listed(None, root.items());
    }
    let mut agents = Vec::new();
    for Entry { key, node, .. } in root.entries() {
        if key == GROUPS {
            for group in node.entries() {
                agents.extend(members(&group.key, &group.node));
            }
        } else if KEYS_BY_NAME.contains(&key.as_str()) || node.items().iter().any(is_agent) {
            agents.extend(members(key, node));
        }
    }
    agents
}

/// The agents of one group: by name, or a list.
fn members(group: &str, node: &Node) -> Vec<Agent> {
    let named = node.entries().iter().map(|entry| Agent { line: entry.line, ..agent(Some(group), Some(entry.key.clone()), &entry.node) });
    named.chain(listed(Some(group), node.items())).collect()
}

fn listed(group: Option<&str>, items: &[Node]) -> Vec<Agent> {
    items.iter().map(|item| agent(group, field(item, "name").map(|name| name.text), item)).collect()
}

/// Lists of other things stand in such files as well.
fn is_agent(item: &Node) -> bool {
    item.get("name").is_some() && [PORT, HEALTH_PORT].iter().any(|key| item.get(key).is_some())
}

fn agent(group: Option<&str>, name: Option<String>, node: &Node) -> Agent {
    Agent {
        name: name.filter(|name| !name.is_empty()),
        line: node.line(),
        group: group.map(str::to_owned),
        host: field(node, "host"),
        port: field(node, PORT),
        health_port: field(node, HEALTH_PORT),
        dependencies: node.get("dependencies").map(texts).unwrap_or_default(),
    }
}

fn field(node: &Node, key: &str) -> Option<Field> {
    node.get(key).map(as_field)
}

/// One text or a list of them.
fn texts(node: &Node) -> Vec<Field> {
    match node.value() {
        Value::List(items) => items.iter().map(as_field).collect(),
        Value::Null => Vec::new(),
        Value::Text(_) | Value::Map(_) => vec![as_field(node)],
    }
}

/// What should be a text and is not shows as what it is.
fn as_field(node: &Node) -> Field {
    let text = match node.value() {
        Value::Text(text) => text.clone(),
        Value::Null => "null".to_owned(),
        Value::List(_) => "[..]".to_owned(),
        Value::Map(_) => "{..}".to_owned(),
    };
    Field { text, line: node.line() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::yaml;

    fn read(text: &str) -> Vec<Agent> {
        agents(&yaml::read(text).expect("valid").expect("a document"))
    }

    fn names(agents: &[Agent]) -> Vec<(Option<&str>, Option<&str>, usize)> {
        agents.iter().map(|agent| (agent.group.as_deref(), agent.name.as_deref(), agent.line)).collect()
    }

    #[test]
    fn groups_of_agents_by_name() {
        let yaml = "global_settings:\n  x: 1\nagent_groups:\n  core:\n    Hub:\n      port: ${PORT_OFFSET}+7200\n      \
                    health_check_port: '8200'\n      dependencies: []\n  speech:\n    Tts: { port: 5562, dependencies: [Hub, Gpu] }\n    Bare:\n";
        let agents = read(yaml);
        assert_eq!(names(&agents), [(Some("core"), Some("Hub"), 5), (Some("speech"), Some("Tts"), 10), (Some("speech"), Some("Bare"), 11)]);
        assert_eq!(agents[0].port, Some(Field { text: "${PORT_OFFSET}+7200".to_owned(), line: 6 }));
        assert_eq!(agents[0].health_port.as_ref().map(|port| port.text.as_str()), Some("8200"));
        assert_eq!(agents[1].dependencies.iter().map(|field| field.text.as_str()).collect::<Vec<_>>(), ["Hub", "Gpu"]);
        assert_eq!((&agents[2].port, agents[2].dependencies.len()), (&None, 0));
    }

    #[test]
    fn lists_at_the_top_and_under_any_key() {
        let list = "- name: A\n  host: 10.0.0.7\n  port: 1\n- port: 2\n";
        assert_eq!(names(&read(list)), [(None, Some("A"), 1), (None, None, 4)]);
        let under = "version: 1\npaths: [a, b]\nvolumes:\n  - name: data\ncore_services:\n  - name: A\n    port: 1\n  - {name: B, health_check_port: 2}\n";
        assert_eq!(names(&read(under)), [(Some("core_services"), Some("A"), 6), (Some("core_services"), Some("B"), 8)]);
        assert_eq!(names(&read("agents:\n  A: {port: 1}\n")), [(Some("agents"), Some("A"), 2)]);
        assert_eq!(names(&read("services:\n  - name: A\n")), [(Some("services"), Some("A"), 2)]);
    }

    #[test]
    fn other_documents_hold_no_agents() {
        for text in ["just a text", "[]", "{}", "agent_groups: 5", "agent_groups: {core: }", "a: {port: 1}", "- 5\n"] {
            assert!(read(text).iter().all(|agent| agent.name.is_none()), "{text}");
        }
    }

    #[test]
    fn a_port_that_is_a_list_shows_as_one() {
        let agents = read("agents:\n  A: {port: [1, 2], host: {x: y}}\n");
        assert_eq!(agents[0].port.as_ref().map(|port| port.text.as_str()), Some("[..]"));
    }
}
