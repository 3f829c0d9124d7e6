//! The table of agents.

use std::time::SystemTime;

use super::output;
use crate::app::{AgentEntry, AgentTraffic, unix_ms};

const HEADER: [&str; 11] =
    ["AGENT", "STATE", "PLACE", "SINCE", "WHY", "CAPABILITIES", "DOCUMENT", "TRAFFIC", "SUBJECT", "ENDPOINT", "LOCAL PORT"];

/// More of a document or a list of capabilities than this is for `show`.
const CELL_CHARACTERS_MAX: usize = 40;

pub(super) fn table(agents: &[AgentEntry]) -> String {
    let now = unix_ms(SystemTime::now());
    let rows: Vec<_> = agents.iter().map(|agent| row(agent, now)).collect();
    output::table(&HEADER, &rows)
}

fn row(agent: &AgentEntry, now_ms: u64) -> Vec<String> {
    let presence = agent.presence.as_ref();
    // An agent that presence has not seen yet is as its connection is.
    let state = presence.map_or_else(|| agent.state.clone(), |presence| presence.state.clone());
    vec![
        agent.name.clone(),
        state,
        or_dash(&agent.place),
        presence.map_or_else(dash, |presence| ago(presence.since_ms, now_ms)),
        presence.map_or_else(dash, |presence| presence.reason.clone()),
        presence.map_or_else(dash, |presence| cell(&presence.capabilities.join(" "))),
        agent.document.as_deref().map_or_else(dash, cell),
        agent.traffic.map_or_else(dash, traffic),
        or_dash(&agent.subject),
        or_dash(&agent.endpoints.join(", ")),
        agent.local_port.map_or_else(dash, |port| port.to_string()),
    ]
}

pub(super) fn traffic(AgentTraffic { sent, received }: AgentTraffic) -> String {
    format!("{} out ({} B), {} in ({} B)", sent.messages, sent.bytes, received.messages, received.bytes)
}

fn cell(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => or_dash(text),
    }
}

fn dash() -> String {
    "-".to_owned()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { dash() } else { text.to_owned() }
}

/// A time as its distance, in whole seconds, minutes, hours or days.
pub(super) fn ago(then_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) / 1_000 {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_are_cut_between_characters() {
        assert_eq!(cell(""), "-");
        assert_eq!(cell("plan"), "plan");
        let long = cell(&"é".repeat(60));
        assert_eq!(long.chars().count(), CELL_CHARACTERS_MAX + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn distances_are_short() {
        for (seconds, text) in [(0, "0s"), (125, "2m"), (7_200, "2h"), (200_000, "2d")] {
            assert_eq!(ago(1_000, 1_000 + seconds * 1_000), text);
        }
    }
}
