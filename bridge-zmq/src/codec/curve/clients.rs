//! Whom a CURVE server serves: a list of public keys, each with a name and the routes it may use.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;

use super::PublicKey;
use super::keys::key_lines;
use crate::codec::SecretError;

/// Most keys of one list.
const CLIENTS_MAX: usize = 65_536;

/// The keys that are served; nobody else is.
#[derive(Default)]
pub struct Clients(HashMap<PublicKey, Grant>);

#[derive(Debug)]
struct Grant {
    name: Arc<str>,
    routes: Routes,
}

#[derive(Debug)]
enum Routes {
    All,
    Only(Box<[Box<str>]>),
}

impl Clients {
    /// Reads one client per line: its public key, the name that logs and lists show, and the routes it may use, with commas or spaces between
    /// them, or `*` for all of them. Empty lines and comments, which start with `#`, are skipped. An empty list serves nobody.
    ///
    /// # Errors
    /// Names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let mut clients = HashMap::new();
        for (line, content) in key_lines(text) {
            let wrong = |what| SecretError { line, what };
            let mut words = content.split_whitespace();
            let key = words.next().and_then(PublicKey::parse).ok_or_else(|| wrong("does not start with a public key of 40 characters"))?;
            let name = Arc::from(words.next().ok_or_else(|| wrong("no name behind the key"))?);
            let routes: Vec<&str> = words.flat_map(|word| word.split(',')).filter(|route| !route.is_empty()).collect();
            let routes = match routes[..] {
                [] => return Err(wrong("no routes behind the name; * is all of them")),
                ["*"] => Routes::All,
                _ if routes.contains(&"*") => return Err(wrong("* stands alone")),
                _ => Routes::Only(routes.into_iter().map(Into::into).collect()),
            };
            if clients.insert(key, Grant { name, routes }).is_some() {
                return Err(wrong("key listed twice"));
            }
            if clients.len() > CLIENTS_MAX {
                return Err(wrong("more than 65536 clients"));
            }
        }
        Ok(Self(clients))
    }

    /// The client's name, if it may use the route.
    #[must_use]
    pub fn admit(&self, key: &PublicKey, route: &str) -> Option<Arc<str>> {
        let grant = self.0.get(key)?;
        let may = match &grant.routes {
            Routes::All => true,
            Routes::Only(routes) => routes.iter().any(|granted| **granted == *route),
        };
        may.then(|| Arc::clone(&grant.name))
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("count", &self.0.len()).finish_non_exhaustive()
    }
}
