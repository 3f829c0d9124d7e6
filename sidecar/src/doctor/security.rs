//! `[security]`: what a mechanism lacks, what is set and protects nothing, and files that cannot be read.

use super::finding::{Finding, Severity};
use crate::app;
use crate::config::{Config, FILES, MechanismName, Origin, Route, Security, Settings, Use, bind_addr};

/// One set of values, and whose sockets have it: nobody's in particular, or a route's.
struct Scope<'a> {
    settings: Settings,
    security: Security,
    route: Option<&'a Route>,
}

impl Scope<'_> {
    fn of(config: &Config) -> Vec<Scope<'_>> {
        let general = Scope { settings: config.settings.clone(), security: config.security.clone(), route: None };
        let of_route = |route| Scope { settings: config.settings_of(route), security: config.security_of(route), route: Some(route) };
        let routes = config.routes.iter().filter(|route| !route.security.is_empty());
        std::iter::once(general).chain(routes.map(of_route)).collect()
    }

    fn needs(&self, key: &str) -> bool {
        self.security.files_needed().contains(&key)
    }

    fn overrides(&self, key: &str) -> bool {
        self.route.is_some_and(|route| route.security.has(key))
    }

    fn label(&self, key: &str) -> String {
        match self.route {
            Some(route) if route.security.has(key) => format!("route {:?}.{key}", route.name),
            _ => key.to_owned(),
        }
    }
}

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let scopes = Scope::of(config);
    let mut findings: Vec<Finding> = scopes.iter().flat_map(missing).collect();
    findings.extend(unused(&scopes));
    findings.extend(config.binds().iter().filter_map(|bind| exposed(config, bind)));
    findings
}

/// `security-file-missing`
fn missing(scope: &Scope<'_>) -> Vec<Finding> {
    let lacks = scope.security.files_needed().into_iter().filter(|key| scope.settings.file(key).is_none());
    let finding = |key: &'static str| {
        let choice = if key.contains(".connect_") { "security.connect_mechanism" } else { "security.mechanism" };
        // Our secret key serves both directions.
        let choice =
            if key == "security.key" && scope.security.mechanism != MechanismName::Curve { "security.connect_mechanism" } else { choice };
        Finding {
            id: "security-file-missing",
            severity: Severity::Error,
            place: scope.settings.origin(choice).to_string(),
            what: format!("{} is {:?} and needs a file in {key}", scope.label(choice), scope.settings.choice(choice)),
            why: "the sidecar would not start".to_owned(),
            fix: format!("write {key} = \"FILE\"; myelin.example.toml says what is in it"),
        }
    };
    lacks.map(finding).collect()
}

/// `security-unused`
fn unused(scopes: &[Scope<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for scope in scopes {
        for key in FILES.into_iter().filter(|key| scope.settings.file(key).is_some()) {
            let is_own = if scope.route.is_some() { scope.overrides(key) } else { *scope.settings.origin(key) != Origin::Default };
            // What is general is used where a route has not set it itself.
            let is_used =
                || scope.needs(key) || (scope.route.is_none() && scopes.iter().any(|other| !other.overrides(key) && other.needs(key)));
            if !is_own || is_used() {
                continue;
            }
            findings.push(Finding {
                id: "security-unused",
                severity: Severity::Warning,
                place: scope.settings.origin(key).to_string(),
                what: format!("{} is set, and no mechanism reads it", scope.label(key)),
                why: "it protects nothing: sockets ask for and prove what their mechanism says, and no more".to_owned(),
                fix: "choose the mechanism (security.mechanism where we bind, security.connect_mechanism where we connect), or remove it"
                    .to_owned(),
            });
        }
    }
    findings
}

/// `bind-insecure`, `bind-not-loopback`
fn exposed(config: &Config, bind: &Use) -> Option<Finding> {
    let address = bind_addr(&bind.endpoint).filter(|address| !address.ip().is_loopback())?;
    let reach = if address.ip().is_unspecified() { "every interface" } else { "an interface that others can reach" };
    let security = config.security_at(bind.route.as_ref().map(|(name, _)| name.as_str()));
    let speaks_zmtp = !bind.setting.starts_with("serve.");
    let (id, severity, why) = match security.mechanism {
        MechanismName::Curve if speaks_zmtp => return None,
        MechanismName::Plain if speaks_zmtp => {
            ("bind-not-loopback", Severity::Warning, "whoever is on the way can read the passwords and every message")
        }
        MechanismName::Null if speaks_zmtp && !security.insecure => {
            ("bind-insecure", Severity::Error, "nobody would have to prove anything, so the sidecar refuses to start")
        }
        _ => (
            "bind-not-loopback",
            Severity::Warning,
            "nothing authenticates a peer, so whoever reaches this port can read and send messages",
        ),
    };
    let fix = match id {
        "bind-insecure" => format!(
            "set security.mechanism = \"curve\", bind 127.0.0.1:{}, or set security.insecure = true on a network that you trust",
            address.port()
        ),
        _ => format!("bind 127.0.0.1:{}, or keep it and accept the risk with --allow {id}", address.port()),
    };
    Some(Finding {
        id,
        severity,
        place: bind.origin.to_string(),
        what: format!("{} listens on {reach} ({})", bind.setting, bind.shown()),
        why: why.to_owned(),
        fix,
    })
}

/// `security-file`
pub(super) fn examine_files(config: &Config) -> Vec<Finding> {
    if Scope::of(config).iter().any(|scope| !missing(scope).is_empty()) {
        return Vec::new();
    }
    let finding = |fault: app::SettingFault| Finding {
        id: "security-file",
        severity: Severity::Error,
        place: fault.place,
        what: format!("{}: {}", fault.setting, fault.reason),
        why: "the sidecar would not start".to_owned(),
        fix: "correct the path or the file; myelin.example.toml says what is in it".to_owned(),
    };
    app::unreadable(config).into_iter().map(finding).collect()
}
