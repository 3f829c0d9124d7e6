//! A plan as blocks of the configuration file.

use std::fmt::Write as _;

use super::plan::Plan;

impl Plan {
    /// The routes as TOML, under a comment that says where they come from.
    pub(crate) fn to_toml(&self, source: &str, offset: i32) -> String {
        let count = self.routes.len();
        let mut text = format!("# {count} routes for {} agents, made by `myelin import` from {}.\n", self.agents, comment(source));
        if offset != 0 {
            let sign = if offset < 0 { '-' } else { '+' };
            writeln!(text, "# Callers connect to the port of the agent {sign} {}.", offset.unsigned_abs()).expect(WRITES);
        }
        let mut group = None;
        for route in &self.routes {
            if group != Some(&route.group) {
                group = Some(&route.group);
                if let Some(name) = &route.group {
                    write!(text, "\n# {}\n", comment(name)).expect(WRITES);
                }
            }
            let (name, connect) = (quote(&route.name), quote(&route.connect.to_string()));
            write!(text, "\n[[route]]\nname = {name}\nkind = \"service\"\n").expect(WRITES);
            writeln!(text, "callers = {{ bind = [{}] }}", quote(&route.bind.to_string())).expect(WRITES);
            writeln!(text, "agents = {{ connect = [{connect}] }}").expect(WRITES);
        }
        text
    }
}

const WRITES: &str = "a String takes everything";

/// Most characters of a foreign text in a comment.
const COMMENT_MAX: usize = 80;

fn comment(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(COMMENT_MAX).collect()
}

fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
