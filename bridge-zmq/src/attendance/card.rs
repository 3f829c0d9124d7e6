//! The card of an agent, from what it registered with.

use myelin_bus::presence::{
    AgentCard, CARD_BYTES_MAX, CARD_CAPABILITIES_MAX, CARD_METADATA_MAX, CARD_NAME_BYTES_MAX, CARD_VALUE_BYTES_MAX,
};
use myelin_bus::wire::AgentId;

use crate::discovery::agent::Agent;
use crate::discovery::json::{Json, read_str, render};
use crate::routes::service;

/// `None` for a name that presence cannot carry: one with control characters.
///
/// What does not fit on a card is left out: it is for people and for choosing, and discovery hands the whole out.
pub(super) fn card(agent: &Agent) -> Option<AgentCard> {
    let subject = service::subject(agent.name.as_str()).ok()?;
    let mut card = AgentCard::new(AgentId::new(agent.name.as_str()).ok()?).subject(subject);
    // The name, the subject, and room for the kind.
    let mut left = CARD_BYTES_MAX - 3 * CARD_NAME_BYTES_MAX;
    if let Some(kind) = read_str(&agent.card.agent_type).ok().and_then(|kind| text(&kind)).filter(|kind| is_name(kind)) {
        card = card.kind(&kind);
    }
    if let Ok(Json::List(capabilities)) = read_str(&agent.card.capabilities) {
        let names = capabilities.iter().filter_map(text).filter(|name| is_name(name));
        for name in names.take(CARD_CAPABILITIES_MAX).take_while(|name| take(&mut left, name.len())) {
            card = card.capability(&name);
        }
    }
    if let Ok(Json::Object(metadata)) = read_str(&agent.card.metadata) {
        let pairs = metadata.iter().filter_map(|(name, value)| Some((name.decode()?, text(value).unwrap_or_else(|| render(value)))));
        let pairs = pairs.filter(|(name, value)| is_name(name) && value.len() <= CARD_VALUE_BYTES_MAX);
        for (name, value) in pairs.take(CARD_METADATA_MAX).take_while(|(name, value)| take(&mut left, name.len() + value.len())) {
            card = card.metadata(&name, &value);
        }
    }
    Some(card)
}

fn text(value: &Json) -> Option<String> {
    value.as_text()?.decode()
}

fn is_name(name: &str) -> bool {
    (1..=CARD_NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn take(left: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= *left;
    *left = left.saturating_sub(bytes);
    fits
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::discovery::agent::{AgentName, Card};

    fn agent(capabilities: &str, metadata: &str) -> Agent {
        Agent {
            name: AgentName::new("TTS Agent").expect("a name"),
            card: Card {
                agent_type: "\"tts\"".into(),
                capabilities: capabilities.into(),
                dependencies: "[]".into(),
                metadata: metadata.into(),
            },
            last_registered: SystemTime::UNIX_EPOCH,
            replicas: Vec::new(),
            ports: None,
            attached: true,
        }
    }

    #[test]
    fn what_an_agent_registered_with_is_on_its_card() {
        let card = card(&agent(r#"["speak", "sing"]"#, r#"{"version": "1.4", "gpu": {"memory": 24}}"#)).expect("a card");
        assert_eq!((card.id().as_str(), card.kind_of()), ("TTS Agent", "tts"));
        assert_eq!(card.requests_at().as_str(), "zmq.service.TTS%20Agent");
        assert_eq!(card.capabilities().collect::<Vec<_>>(), ["speak", "sing"]);
        assert_eq!(card.metadata_of().collect::<Vec<_>>(), [("version", "1.4"), ("gpu", r#"{"memory": 24}"#)]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let many: Vec<_> = (0..200).map(|number| format!("\"c{number}\"")).collect();
        let large: Vec<_> = (0..10).map(|number| format!("\"m{number}\": \"{}\"", "x".repeat(4_000))).collect();
        let odd = r#"["", 7, null, "a\nb"]"#;
        let card = |capabilities: &str, metadata: &str| card(&agent(capabilities, metadata)).expect("a card");
        assert_eq!(card(&format!("[{}]", many.join(", ")), "{}").capabilities().count(), CARD_CAPABILITIES_MAX);
        assert_eq!(card("[]", &format!("{{{}}}", large.join(", "))).metadata_of().count(), 3);
        assert_eq!(card(odd, "[]").capabilities().count(), 0);
    }
}
