//! A YAML document as a tree that remembers its lines, read within bounds.
//!
//! The file comes from elsewhere, so nothing in it may cost more than its size suggests: values are counted with every expansion of an
//! alias, nesting is limited, and an alias shares what it stands for.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle};

/// Largest file. A fleet of a thousand agents is about 300 KiB.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 20;

/// Most values, each expansion of an alias included: about ten thousand agents.
const VALUES_MAX: usize = 200_000;

/// Deepest nesting. Agents stand four levels deep, their own settings a few more.
const DEPTH_MAX: usize = 64;

/// Why a text is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum YamlError {
    #[error("the file is larger than {} MiB", TEXT_BYTES_MAX >> 20)]
    TooLarge,
    #[error("not valid YAML: {message}")]
    Syntax { line: usize, message: String },
    #[error("more than {VALUES_MAX} values, counting what aliases stand for")]
    TooManyValues { line: usize },
    #[error("nested more than {DEPTH_MAX} levels deep")]
    TooDeep { line: usize },
    #[error("an alias stands for something that contains it")]
    Endless { line: usize },
    #[error("a key must be a text")]
    KeyNotText { line: usize },
    #[error("a second document begins here, expected one")]
    SecondDocument { line: usize },
}

impl YamlError {
    /// The line, counted from 1; `None` for the file as a whole.
    pub(crate) const fn line(&self) -> Option<usize> {
        match self {
            Self::TooLarge => None,
            Self::Syntax { line, .. }
            | Self::TooManyValues { line }
            | Self::TooDeep { line }
            | Self::Endless { line }
            | Self::KeyNotText { line }
            | Self::SecondDocument { line } => Some(*line),
        }
    }
}

/// One value. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct Node(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    line: usize,
    /// Levels below this one.
    depth: usize,
    /// Values in it, itself included, with every alias expanded.
    values: usize,
    value: Value,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value. Keys may come twice: who reads decides what that means.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn line(&self) -> usize {
        self.0.line
    }

    pub(super) fn value(&self) -> &Value {
        &self.0.value
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = self.value() { entries } else { &[] }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = self.value() { items } else { &[] }
    }

    /// What a map holds under `key`; the last one counts, as in the loaders that fleets use. A null is as good as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().rev().find(|entry| entry.key == key)?;
        (!matches!(found.node.value(), Value::Null)).then_some(&found.node)
    }
}

/// Reads the one document of `text`; `None` when there is nothing in it.
///
/// # Errors
/// When it is no YAML, or more than the bounds allow.
pub(super) fn read(text: &str) -> Result<Option<Node>, YamlError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(YamlError::TooLarge);
    }
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError::Syntax { line: error.marker().line(), message: one_line(&error.info()) })?;
        builder.take(event, span.start.line().max(1))?;
    }
    Ok(builder.root)
}

/// A list or map whose end has not come yet.
struct Open {
    line: usize,
    anchor: usize,
    is_map: bool,
    /// Of a map: keys and values in turn.
    children: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    /// By their number; 0 is no anchor.
    anchors: HashMap<usize, Node>,
    values: usize,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(YamlError::SecondDocument { line });
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(1, line)?;
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null { Value::Null } else { Value::Text(text.into_owned()) };
                self.place(Node(Rc::new(Inner { line, depth: 0, values: 1, value })), anchor, line)?;
            }
            Event::SequenceStart(_, anchor, _) => self.begin(line, anchor, false)?,
            Event::MappingStart(_, anchor, _) => self.begin(line, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => self.end(line)?,
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or(YamlError::Endless { line })?;
                self.count(node.0.values, line)?;
                self.place(node, 0, line)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, values: usize, line: usize) -> Result<(), YamlError> {
        self.values += values;
        if self.values > VALUES_MAX { Err(YamlError::TooManyValues { line }) } else { Ok(()) }
    }

    fn begin(&mut self, line: usize, anchor: usize, is_map: bool) -> Result<(), YamlError> {
        self.count(1, line)?;
        if self.open.len() == DEPTH_MAX {
            return Err(YamlError::TooDeep { line });
        }
        self.open.push(Open { line, anchor, is_map, children: Vec::new() });
        Ok(())
    }

    fn end(&mut self, line: usize) -> Result<(), YamlError> {
        // The parser ends what it began; an end too many would be its mistake and is no reason to fall over.
        let Some(Open { line: begun, anchor, is_map, children }) = self.open.pop() else { return Ok(()) };
        let depth = 1 + children.iter().map(|child| child.0.depth).max().unwrap_or(0);
        let values = 1 + children.iter().map(|child| child.0.values).sum::<usize>();
        let value = if is_map { Value::Map(entries(&children)?) } else { Value::List(children) };
        self.place(Node(Rc::new(Inner { line: begun, depth, values, value })), anchor, line)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, anchor: usize, line: usize) -> Result<(), YamlError> {
        // An alias may hang something deep below something deep.
        if self.open.len() + node.0.depth > DEPTH_MAX {
            return Err(YamlError::TooDeep { line });
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }
}

/// Pairs keys with values; what `<<` names is merged in behind the map's own keys.
fn entries(children: &[Node]) -> Result<Vec<Entry>, YamlError> {
    let (mut own, mut merged) = (Vec::new(), Vec::new());
    for pair in children.chunks_exact(2) {
        let (key, node) = (&pair[0], &pair[1]);
        let text = match key.value() {
            Value::Text(text) => text.clone(),
            Value::Null => String::new(),
            Value::List(_) | Value::Map(_) => return Err(YamlError::KeyNotText { line: key.line() }),
        };
        match node.value() {
            Value::Map(entries) if text == "<<" => merged.extend(entries),
            Value::List(maps) if text == "<<" => merged.extend(maps.iter().flat_map(Node::entries)),
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                own.push(Entry { key: text, line: key.line(), node: node.clone() });
            }
        }
    }
    if !merged.is_empty() {
        let mut known: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
        let new = merged.into_iter().filter(|entry| known.insert(entry.key.clone()));
        let mut all: Vec<Entry> = new.cloned().collect();
        // Last, so that a map's own keys count.
        all.append(&mut own);
        return Ok(all);
    }
    Ok(own)
}

/// Parsers quote the text they read: no control character of it reaches a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(node: &Node) -> &str {
        if let Value::Text(text) = node.value() { text } else { panic!("{node:?}") }
    }

    #[test]
    fn lines_duplicates_nulls_and_merged_maps_are_kept() {
        let yaml = "base: &base\n  host: h\n  port: 1\na:\n  <<: *base\n  port: 2\n  x: ~\na: &l [1, '~']\nb: *l\n";
        let root = read(yaml).expect("valid").expect("a document");
        let keys: Vec<_> = root.entries().iter().map(|entry| (entry.key.as_str(), entry.line)).collect();
        assert_eq!(keys, [("base", 1), ("a", 4), ("a", 8), ("b", 9)]);
        let first = &root.entries()[1].node;
        assert_eq!((text(first.get("host").expect("merged")), text(first.get("port").expect("own"))), ("h", "2"));
        assert!(first.get("x").is_none(), "null is nothing");
        assert_eq!(root.get("b").expect("an alias").items().iter().map(text).collect::<Vec<_>>(), ["1", "~"]);
        assert!(read("").expect("valid").is_none());
        assert!(read("# nothing\n").expect("valid").is_none());
    }

    #[test]
    fn aliases_cost_what_they_stand_for() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(matches!(read(&bomb), Err(YamlError::TooManyValues { .. })));
        assert_eq!(read("a: &a [*a]\n").expect_err("endless"), YamlError::Endless { line: 1 });
        let mut chain = "- &a0 []\n".to_owned();
        for level in 1..100 {
            chain.push_str(&format!("- &a{level} [*a{}]\n", level - 1));
        }
        assert!(matches!(read(&chain), Err(YamlError::TooDeep { .. })));
    }

    #[test]
    fn hostile_texts_end_soon() {
        let started = std::time::Instant::now();
        let seeds = [
            "[", "{", "- ", "? ", "a: ", "&a ", "*a ", "!!x ", "'", "\"", "|\n ", ">", "---\n", "%A\n", "[a,", "{a: ", "\t", "<<: ",
            "\u{feff}", "\0",
        ];
        for seed in seeds {
            let hostile = seed.repeat(64 * 1024 / seed.len());
            drop(read(&hostile));
        }
        assert_eq!(read(&"a".repeat(TEXT_BYTES_MAX + 1)).expect_err("too large"), YamlError::TooLarge);
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    /// Pieces of which YAML is made, so that random texts come far into the parser.
    fn soup() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a",
            "b",
            "port",
            ": ",
            ":",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "&a ",
            "*a",
            "<<",
            "? ",
            "!!str ",
            "!x ",
            "'",
            "\"",
            "|",
            ">",
            "|-\n",
            "#",
            " ",
            "\t",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "~",
            "\\",
            "\u{e9}",
            "\u{2028}",
            "\0",
            "\r",
        ]);
        prop::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*", soup in soup()) {
            drop(read(&text));
            drop(read(&soup));
        }
    }
}
