//! From the sockets of agents to routes that can be opened, and what stands in the way.
//!
//! Invariant: what a problem is about gets no route, except that a dependency nobody knows does no harm to its agent.

use std::collections::{HashMap, HashSet};
use std::error::Error as _;

use super::fleet::Agent;
use super::problem::{Fault, Problem, quoted, short};
use super::sockets::{Socket, endpoint, sockets};
use super::variables::Variables;
use crate::app::HUB;
use crate::config::{Endpoint, Use, known_address, nearest};
use crate::doctor::leads_to;

/// What an import has to fit into.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) variables: &'a Variables,
    /// Our port for callers is that of the agent plus this.
    pub(crate) offset: i32,
    /// Where the sidecar listens already.
    pub(crate) binds: &'a [Use],
    /// Whether the name of the hub is taken.
    pub(crate) has_hub: bool,
}

/// What an import comes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Agents that were found.
    pub(crate) agents: usize,
    pub(crate) routes: Vec<ImportedRoute>,
    /// In the order of the lines.
    pub(crate) problems: Vec<Problem>,
}

/// One service route.
#[derive(Debug, Clone)]
pub(crate) struct ImportedRoute {
    /// The agent's name, or that with `.health` behind it.
    pub(crate) name: String,
    pub(crate) agent: String,
    pub(crate) group: Option<String>,
    /// Where callers connect to.
    pub(crate) bind: Endpoint,
    /// Where the agent listens.
    pub(crate) connect: Endpoint,
}

/// Most suggestions of names, and most names that each compares with.
const SUGGESTIONS_MAX: usize = 100;
const CANDIDATES_MAX: usize = 1_000;

/// Plans the routes of `agents`.
pub(super) fn plan(agents: &[Agent], surroundings: &Surroundings<'_>) -> Plan {
    let mut problems = Vec::new();
    let mut sockets = sockets(agents, surroundings.variables, &mut problems);
    let mut planner = Planner { surroundings, problems };
    planner.duplicate_names(agents, &mut sockets);
    planner.bad_names(&mut sockets);
    planner.duplicate_ports(&mut sockets);
    planner.own_listeners(&mut sockets);
    planner.dependencies(agents);
    let routes = planner.routes(&sockets);
    let mut problems = planner.problems;
    problems.sort_by_key(|problem| problem.line);
    Plan { agents: agents.len(), routes, problems }
}

struct Planner<'a> {
    surroundings: &'a Surroundings<'a>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    fn report(&mut self, line: usize, agents: Vec<String>, fault: Fault) {
        self.problems.push(Problem { line, agents, fault });
    }

    /// The subject is made of the name: two of one name would receive each other's requests.
    fn duplicate_names(&mut self, agents: &[Agent], sockets: &mut [Socket<'_>]) {
        let mut lines_of: HashMap<&str, Vec<usize>> = HashMap::new();
        for (name, agent) in agents.iter().filter_map(|agent| Some((agent.name.as_deref()?, agent))) {
            lines_of.entry(name).or_default().push(agent.line);
        }
        // An agent may have the name that another one's health socket gets.
        for socket in sockets.iter().filter(|socket| socket.name != socket.agent) {
            if let Some(lines) = lines_of.get_mut(socket.name.as_str()) {
                lines.push(socket.line);
            }
        }
        lines_of.retain(|_, lines| lines.len() > 1);
        let found: Vec<(String, Vec<usize>)> = lines_of.into_iter().map(|(name, lines)| (name.to_owned(), lines)).collect();
        let names: HashSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        for socket in sockets {
            socket.is_faulty |= names.contains(socket.name.as_str()) || names.contains(socket.agent);
        }
        for (name, mut lines) in found {
            lines.sort_unstable();
            self.report(lines[lines.len() - 1], vec![name.clone()], Fault::DuplicateName { name, lines });
        }
    }

    fn bad_names(&mut self, sockets: &mut [Socket<'_>]) {
        for socket in sockets {
            let reason = if socket.name == HUB && self.surroundings.has_hub {
                "the built-in hub has it".to_owned()
            } else if let Err(error) = myelin_bridge_zmq::routes::service::subject(&socket.name) {
                error.source().map_or_else(|| error.to_string(), ToString::to_string)
            } else {
                continue;
            };
            socket.is_faulty = true;
            self.report(socket.line, vec![socket.agent.to_owned()], Fault::BadName { name: short(&socket.name), reason });
        }
    }

    /// Two sockets on one port: one of the agents will not start, and nobody knows which.
    fn duplicate_ports(&mut self, sockets: &mut [Socket<'_>]) {
        let mut users: HashMap<&Endpoint, Vec<usize>> = HashMap::new();
        for (index, socket) in sockets.iter().enumerate() {
            users.entry(&socket.at).or_default().push(index);
        }
        let mut shared: Vec<Vec<usize>> = users.into_values().filter(|users| users.len() > 1).collect();
        shared.sort_unstable();
        for indexes in shared {
            let mut users: Vec<String> = indexes.iter().map(|index| sockets[*index].name.clone()).collect();
            users.dedup();
            // The same agent twice is a matter of its name, and has been told.
            if users.len() > 1 {
                let mut agents: Vec<String> = indexes.iter().map(|index| sockets[*index].agent.to_owned()).collect();
                agents.dedup();
                let last = &sockets[indexes[indexes.len() - 1]];
                let (line, at) = (last.line, last.at.to_string());
                self.report(line, agents, Fault::DuplicatePort { at, users });
            }
            for index in indexes {
                sockets[index].is_faulty = true;
            }
        }
    }

    /// An agent cannot listen where we do.
    fn own_listeners(&mut self, sockets: &mut [Socket<'_>]) {
        for socket in sockets {
            let Some(own) = self.surroundings.binds.iter().find(|bind| leads_to(&socket.at, &bind.endpoint)) else { continue };
            socket.is_faulty = true;
            let fault = Fault::OwnListener { user: socket.name.clone(), port: socket.at.port(), setting: own.setting.clone() };
            self.report(socket.line, vec![socket.agent.to_owned()], fault);
        }
    }

    fn dependencies(&mut self, agents: &[Agent]) {
        let named: Vec<&str> = agents.iter().filter_map(|agent| agent.name.as_deref()).collect();
        let names: HashSet<&str> = named.iter().copied().collect();
        let mut suggestions = 0;
        for agent in agents {
            let Some(name) = agent.name.as_deref() else { continue };
            for dependency in agent.dependencies.iter().filter(|dependency| !names.contains(dependency.text.as_str())) {
                suggestions += 1;
                let candidates = if suggestions > SUGGESTIONS_MAX { 0 } else { CANDIDATES_MAX };
                let candidates = named.iter().take(candidates).copied().filter(|candidate| short(candidate) == **candidate);
                let wanted = short(&dependency.text);
                let suggestion = nearest(&wanted, candidates).map(str::to_owned);
                let fault = Fault::UnknownDependency { agent: name.to_owned(), name: wanted, suggestion };
                self.report(dependency.line, vec![name.to_owned()], fault);
            }
        }
    }

    /// Gives every sound socket a port of ours.
    fn routes(&mut self, sockets: &[Socket<'_>]) -> Vec<ImportedRoute> {
        let mut taken: HashMap<u16, String> = HashMap::new();
        for socket in sockets {
            if known_address(socket.at.host()).is_some_and(|address| address.is_loopback()) {
                taken.entry(socket.at.port()).or_insert_with(|| format!("the port of {}", quoted(&socket.name)));
            }
        }
        let mut routes = Vec::new();
        for socket in sockets.iter().filter(|socket| !socket.is_faulty) {
            let (user, agents) = (socket.name.clone(), vec![socket.agent.to_owned()]);
            let number = i64::from(socket.at.port()) + i64::from(self.surroundings.offset);
            let port = u16::try_from(number).ok().filter(|port| *port != 0);
            let Some((port, bind)) = port.and_then(|port| Some((port, endpoint("127.0.0.1", port)?))) else {
                self.report(socket.line, agents, Fault::OffsetTooFar { user, number });
                continue;
            };
            // What an earlier import gave to this very route is no obstacle to doing it again.
            let is_other = |used: &&Use| used.route.as_ref().is_none_or(|(name, _)| *name != socket.name);
            let own = self.surroundings.binds.iter().filter(is_other).find(|used| leads_to(&bind, &used.endpoint));
            let taken_by = own.map(|used| format!("our own {}", used.setting)).or_else(|| taken.get(&port).cloned());
            if let Some(taken_by) = taken_by {
                self.report(socket.line, agents, Fault::PortTaken { user, port, taken_by });
                continue;
            }
            taken.insert(port, format!("given to {}", quoted(&socket.name)));
            let (agent, group) = (socket.agent.to_owned(), socket.group.map(str::to_owned));
            routes.push(ImportedRoute { name: user, agent, group, bind, connect: socket.at.clone() });
        }
        routes
    }
}
