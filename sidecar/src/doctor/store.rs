//! What the sidecar found missing in its store.

use super::finding::{Finding, Severity};
use crate::app;
use crate::config::Config;

/// `store-damage`
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    if !config.store.enabled {
        return Vec::new();
    }
    let finding = |entry: app::DamageEntry| Finding {
        id: "store-damage",
        severity: Severity::Warning,
        place: config.settings.origin("store.directory").to_string(),
        what: format!("stream {}: {}", entry.stream, entry.what),
        why: "these messages were stored and will not be delivered; everything else of the stream is there".to_owned(),
        fix: "check the disk and have what is missing published again; a stream that is deleted and made again is whole".to_owned(),
    };
    app::damage(&config.store.directory).into_iter().map(finding).collect()
}
