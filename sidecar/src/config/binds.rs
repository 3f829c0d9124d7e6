//! Every place where a configuration listens and every place it connects to, with the setting that says so.

use super::endpoint::Endpoint;
use super::origin::Origin;
use super::route::Role;
use super::typed::Config;

/// An endpoint and the setting it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    /// `serve.listen`, or `route "tts".callers`.
    pub(crate) setting: String,
    pub(crate) origin: Origin,
    pub(crate) endpoint: Endpoint,
    /// The route and the side, when it belongs to one.
    pub(crate) route: Option<(String, Role)>,
}

impl Use {
    /// The endpoint as its setting is written: what speaks no ZMTP has no scheme.
    pub(crate) fn shown(&self) -> String {
        let endpoint = self.endpoint.to_string();
        match endpoint.strip_prefix("tcp://") {
            Some(address) if self.setting.starts_with("serve.") => address.to_owned(),
            _ => endpoint,
        }
    }
}

impl Config {
    /// Where we listen, in the order in which `serve` binds.
    pub(crate) fn binds(&self) -> Vec<Use> {
        let mut binds = Vec::new();
        let mut own = |setting: &str, endpoint: Endpoint| binds.push(self.own_use(setting, endpoint));
        own("serve.listen", self.serve.listen.into());
        own("serve.http", self.serve.http.into());
        if self.discovery.enabled {
            own("discovery.listen", self.discovery.listen.clone());
        }
        if self.hub.enabled {
            own("hub.publishers", self.hub.publishers.clone());
            own("hub.subscribers", self.hub.subscribers.clone());
        }
        binds.extend(self.route_uses(|side| &side.bind));
        binds
    }

    /// An endpoint of ours that belongs to no route, by the key that names it.
    pub(crate) fn own_use(&self, key: &str, endpoint: Endpoint) -> Use {
        Use { setting: key.to_owned(), origin: self.settings.origin(key).clone(), endpoint, route: None }
    }

    /// Where we connect to.
    pub(crate) fn connects(&self) -> Vec<Use> {
        self.route_uses(|side| &side.connect).collect()
    }

    fn route_uses<'a>(&'a self, pick: impl Fn(&'a super::route::Side) -> &'a Vec<Endpoint> + 'a) -> impl Iterator<Item = Use> + 'a {
        let sides = self.routes.iter().flat_map(|route| route.kind.sides().map(|(role, side)| (route, role, side)));
        sides.flat_map(move |(route, role, side)| {
            pick(side).iter().map(move |endpoint| Use {
                setting: format!("route {:?}.{role}", route.name),
                origin: side.origin.clone().unwrap_or_else(|| route.origin.clone()),
                endpoint: endpoint.clone(),
                route: Some((route.name.clone(), role)),
            })
        })
    }
}
