//! The ports that agents listen on: hosts and ports as numbers, with every variable put in.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::fleet::{Agent, Field};
use super::problem::{Fault, Problem, short};
use super::variables::{Unclear, Variables};
use crate::config::Endpoint;

/// A port that an agent listens on.
#[derive(Debug)]
pub(super) struct Socket<'a> {
    pub(super) agent: &'a str,
    pub(super) group: Option<&'a str>,
    /// The name of its route: that of the agent, or with `.health` behind it.
    pub(super) name: String,
    pub(super) line: usize,
    /// Where one connects to it.
    pub(super) at: Endpoint,
    /// Whether a problem is about it.
    pub(super) is_faulty: bool,
}

/// Evaluates hosts and ports; what cannot be evaluated is a problem.
pub(super) fn sockets<'a>(agents: &'a [Agent], variables: &Variables, problems: &mut Vec<Problem>) -> Vec<Socket<'a>> {
    let mut reader = Reader { variables, problems, unset: Unset::default() };
    let sockets = agents.iter().flat_map(|agent| reader.agent(agent)).collect();
    let Reader { unset, problems, .. } = reader;
    problems.extend(unset.found.into_iter().map(|(name, line, agents)| {
        let fault = Fault::UnsetVariable { name, users: agents.clone() };
        Problem { line, agents, fault }
    }));
    sockets
}

struct Reader<'a> {
    variables: &'a Variables,
    problems: &'a mut Vec<Problem>,
    unset: Unset,
}

impl Reader<'_> {
    fn agent<'a>(&mut self, agent: &'a Agent) -> Vec<Socket<'a>> {
        let Some(name) = agent.name.as_deref() else {
            self.problems.push(Problem { line: agent.line, agents: Vec::new(), fault: Fault::MissingName });
            return Vec::new();
        };
        if agent.port.is_none() {
            self.report(agent.line, name, Fault::MissingPort { agent: name.to_owned() });
        }
        let host = self.host(agent, name);
        let mut sockets = Vec::new();
        for (field, suffix) in [(&agent.port, ""), (&agent.health_port, ".health")] {
            let Some(field) = field else { continue };
            let user = format!("{name}{suffix}");
            let port = self.variables.port(&field.text).map_err(|unclear| self.unclear(field, name, &user, unclear));
            let at = port.ok().and_then(|port| endpoint(host.as_deref()?, port));
            sockets.extend(at.map(|at| Socket {
                agent: name,
                group: agent.group.as_deref(),
                name: user,
                line: field.line,
                at,
                is_faulty: false,
            }));
        }
        sockets
    }

    /// The host as one connects to it; `None` when it has been reported.
    fn host(&mut self, agent: &Agent, name: &str) -> Option<String> {
        let local = || Ipv4Addr::LOCALHOST.to_string();
        let Some(field) = &agent.host else { return Some(local()) };
        let host = match self.variables.text(&field.text) {
            Ok(host) => host.trim().to_owned(),
            Err(Unclear::Unset(variables)) => {
                self.unset.add(variables, field.line, name);
                return None;
            }
            Err(Unclear::NotANumber(_) | Unclear::NotAPort(_)) => field.text.clone(),
        };
        // Such agents name the interface they bind, and run on this machine. The name is spelled out because it may also
        // stand for ::1, where few agents listen.
        if ["", "*", "0.0.0.0", "::", "localhost"].contains(&host.as_str()) {
            return Some(local());
        }
        if endpoint(&host, 1).is_none() {
            self.report(field.line, name, Fault::BadHost { agent: name.to_owned(), text: short(&host) });
            return None;
        }
        Some(host)
    }

    fn unclear(&mut self, field: &Field, agent: &str, user: &str, unclear: Unclear) {
        let user = user.to_owned();
        let fault = match unclear {
            Unclear::Unset(variables) => return self.unset.add(variables, field.line, agent),
            Unclear::NotANumber(text) => Fault::NotANumber { user, text: short(&text) },
            Unclear::NotAPort(number) => Fault::NotAPort { user, number },
        };
        self.report(field.line, agent, fault);
    }

    fn report(&mut self, line: usize, agent: &str, fault: Fault) {
        self.problems.push(Problem { line, agents: vec![agent.to_owned()], fault });
    }
}

/// Variables without a value, each with the first line and all agents that need it.
#[derive(Default)]
struct Unset {
    found: Vec<(String, usize, Vec<String>)>,
    index_of: HashMap<String, usize>,
}

impl Unset {
    fn add(&mut self, variables: Vec<String>, line: usize, agent: &str) {
        for variable in variables {
            let index = *self.index_of.entry(variable.clone()).or_insert_with(|| {
                self.found.push((variable, line, Vec::new()));
                self.found.len() - 1
            });
            let users = &mut self.found[index].2;
            // Host, port and health port of one agent come one after the other.
            if users.last().is_none_or(|last| last != agent) {
                users.push(agent.to_owned());
            }
        }
    }
}

/// Host and port as an endpoint, if the host can be part of one.
pub(super) fn endpoint(host: &str, port: u16) -> Option<Endpoint> {
    let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    format!("tcp://{bracketed}:{port}").parse().ok()
}
