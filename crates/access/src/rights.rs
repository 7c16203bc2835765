//! Who may do what on which thing: a tree of databases, streams and columns with a set of privileges at each node.
//!
//! In: grants and revokes in their order. Out: whether a privilege is held on a thing, and the shortest list of grants and
//! revokes that says the same. Promise: a node that is not in the tree has what the node above it has.

use crate::privilege::{Level, Privilege, Privileges};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A thing that privileges are granted on. An absent name is a star; a stream without its database does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Object {
    pub database: Option<String>,
    pub stream: Option<String>,
    pub column: Option<String>,
}

impl Object {
    /// `*.*`
    pub const ANY: Object = Object { database: None, stream: None, column: None };

    /// `database.*`
    pub fn database(name: &str) -> Object {
        Object { database: Some(name.to_owned()), ..Object::ANY }
    }

    /// `database.stream`
    pub fn stream(database: &str, name: &str) -> Object {
        Object { stream: Some(name.to_owned()), ..Object::database(database) }
    }

    pub fn column(&self, name: &str) -> Object {
        Object { column: Some(name.to_owned()), ..self.clone() }
    }

    pub fn level(&self) -> Level {
        match (&self.database, &self.stream, &self.column) {
            (None, ..) => Level::Global,
            (Some(_), None, _) => Level::Database,
            (Some(_), Some(_), None) => Level::Stream,
            (Some(_), Some(_), Some(_)) => Level::Column,
        }
    }

    fn path(&self) -> Vec<&str> {
        [&self.database, &self.stream, &self.column].into_iter().map_while(|n| n.as_deref()).collect()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    held: Privileges,
    below: BTreeMap<String, Node>,
}

impl Node {
    /// The node of `path`, made like the one above it where there is none.
    fn reach(&mut self, path: &[&str], change: &impl Fn(Privileges, Level) -> Privileges, level: Level) {
        match path.split_first() {
            None => self.change(change, level),
            Some((first, rest)) => {
                let (held, next) = (self.held, deeper(level));
                let like = || Node { held: held & Privileges::grantable_on(next), below: BTreeMap::new() };
                self.below.entry((*first).to_owned()).or_insert_with(like).reach(rest, change, next);
                self.tidy(level);
            }
        }
    }

    fn change(&mut self, change: &impl Fn(Privileges, Level) -> Privileges, level: Level) {
        self.held = change(self.held, level) & Privileges::grantable_on(level);
        self.below.values_mut().for_each(|node| node.change(change, deeper(level)));
        self.tidy(level);
    }

    /// Drops nodes that say nothing of their own.
    fn tidy(&mut self, level: Level) {
        let inherited = self.held & Privileges::grantable_on(deeper(level));
        self.below.retain(|_, node| node.held != inherited || !node.below.is_empty());
    }

    fn find(&self, path: &[&str]) -> (&Node, Level) {
        let (mut node, mut level) = (self, Level::Global);
        for name in path {
            let Some(next) = node.below.get(*name) else { break };
            (node, level) = (next, deeper(level));
        }
        (node, level)
    }

    /// Held by it and by all below it.
    fn least(&self, level: Level) -> Privileges {
        let next = deeper(level);
        let beyond = Privileges::all() - Privileges::grantable_on(next);
        self.below.values().fold(self.held, |held, node| held & (node.least(next) | beyond))
    }

    /// Held by it or by anything below it.
    fn most(&self) -> Privileges {
        self.below.values().fold(self.held, |held, node| held | node.most())
    }

    fn union(&self, other: &Node, level: Level) -> Node {
        let next = deeper(level);
        let names = self.below.keys().chain(other.below.keys());
        let inherited = |node: &Node| Node { held: node.held & Privileges::grantable_on(next), below: BTreeMap::new() };
        let side = |node: &Node, name: &str| node.below.get(name).cloned().unwrap_or_else(|| inherited(node));
        let below = names.map(|n| (n.clone(), side(self, n).union(&side(other, n), next))).collect();
        let mut node = Node { held: self.held | other.held, below };
        node.tidy(level);
        node
    }
}

fn deeper(level: Level) -> Level {
    match level {
        Level::Global => Level::Database,
        Level::Database => Level::Stream,
        Level::Stream | Level::Column => Level::Column,
    }
}

/// What a user or role may do, and what of it may be granted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Line>", into = "Vec<Line>")]
pub struct Rights {
    held: Node,
    /// Held WITH GRANT OPTION.
    option: Node,
}

/// One grant or revoke of a list that says what rights are; columns of one stream stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub revoke: bool,
    pub grant_option: bool,
    /// Names of privileges and groups.
    pub privileges: Vec<String>,
    pub on: Object,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
}

impl Rights {
    pub fn everything() -> Rights {
        let mut rights = Rights::default();
        rights.grant(Privileges::all(), &Object::ANY, true);
        rights
    }

    pub fn is_empty(&self) -> bool {
        self.held.most().is_empty()
    }

    /// Privileges that cannot be granted on such a thing are passed over.
    pub fn grant(&mut self, set: Privileges, on: &Object, with_option: bool) {
        self.held.reach(&on.path(), &|held, _| held | set, Level::Global);
        if with_option {
            self.option.reach(&on.path(), &|held, _| held | set, Level::Global);
        }
    }

    /// `option_only`: GRANT OPTION FOR, the privileges themselves stay.
    pub fn revoke(&mut self, set: Privileges, on: &Object, option_only: bool) {
        self.option.reach(&on.path(), &|held, _| held - set, Level::Global);
        if !option_only {
            self.held.reach(&on.path(), &|held, _| held - set, Level::Global);
        }
    }

    /// Whether all of `set` are held on all of `on`.
    pub fn has(&self, set: Privileges, on: &Object) -> bool {
        holds(&self.held, set, on)
    }

    /// As [`Rights::has`], WITH GRANT OPTION.
    pub fn may_grant(&self, set: Privileges, on: &Object) -> bool {
        holds(&self.option, set, on)
    }

    /// Whether anything of `set` is held on `on` or on something in it.
    pub fn has_any(&self, set: Privileges, on: &Object) -> bool {
        !(self.most_on(on) & set).is_empty()
    }

    /// Whether the thing may be known to exist: by a privilege that says so, or by any other on it or in it.
    pub fn may_see(&self, show: Privilege, on: &Object) -> bool {
        !(self.most_on(on) & (Privileges::grantable_on(on.level()) | show.into())).is_empty()
    }

    fn most_on(&self, on: &Object) -> Privileges {
        let path = on.path();
        let (node, level) = self.held.find(&path);
        if (level as usize) == path.len() { node.most() } else { node.held }
    }

    pub fn union(&self, other: &Rights) -> Rights {
        Rights {
            held: self.held.union(&other.held, Level::Global),
            option: self.option.union(&other.option, Level::Global),
        }
    }

    /// Grants and revokes that make these rights from nothing, in their order.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let at = At { path: Vec::new(), level: Level::Global };
        let nothing = Node::default();
        write_lines(Some(&self.held), Some(&self.option), (&nothing, &nothing), &at, &mut lines);
        merge_columns(lines)
    }
}

fn holds(root: &Node, set: Privileges, on: &Object) -> bool {
    let path = on.path();
    let (node, level) = root.find(&path);
    let held = if (level as usize) == path.len() { node.least(level) } else { node.held };
    held.contains(set)
}

#[derive(Clone)]
struct At {
    path: Vec<String>,
    level: Level,
}

fn write_lines(held: Option<&Node>, option: Option<&Node>, above: (&Node, &Node), at: &At, lines: &mut Vec<Line>) {
    let here = Privileges::grantable_on(at.level);
    let inherited = |node: &Node| Node { held: node.held & here, below: BTreeMap::new() };
    let (held_like, option_like) = (inherited(above.0), inherited(above.1));
    let (held, option) = (held.unwrap_or(&held_like), option.unwrap_or(&option_like));
    let mut line = |set: Privileges, revoke: bool, grant_option: bool| {
        if !set.is_empty() {
            let mut names = at.path.iter().cloned();
            let on = Object { database: names.next(), stream: names.next(), column: names.next() };
            let privileges = set.names(at.level).into_iter().map(str::to_owned).collect();
            lines.push(Line { revoke, grant_option, privileges, on, columns: Vec::new() });
        }
    };
    let gone = held_like.held - held.held;
    line(gone, true, false);
    line((option_like.held - option.held) - gone, true, true);
    let new_option = option.held - option_like.held;
    line(held.held - held_like.held - new_option, false, false);
    line(new_option, false, true);
    let names: std::collections::BTreeSet<&String> = held.below.keys().chain(option.below.keys()).collect();
    for name in names {
        let path = at.path.iter().chain([name]).cloned().collect();
        let below = At { path, level: deeper(at.level) };
        write_lines(held.below.get(name), option.below.get(name), (held, option), &below, lines);
    }
}

/// Columns of one stream with the same privileges become one line.
fn merge_columns(lines: Vec<Line>) -> Vec<Line> {
    let mut merged: Vec<Line> = Vec::new();
    for mut line in lines {
        let Some(column) = line.on.column.take() else {
            merged.push(line);
            continue;
        };
        let same = |m: &&mut Line| {
            !m.columns.is_empty()
                && m.on == line.on
                && m.privileges == line.privileges
                && (m.revoke, m.grant_option) == (line.revoke, line.grant_option)
        };
        match merged.iter_mut().find(same) {
            Some(found) => found.columns.push(column),
            None => merged.push(Line { columns: vec![column], ..line }),
        }
    }
    merged
}

impl From<Rights> for Vec<Line> {
    fn from(rights: Rights) -> Vec<Line> {
        rights.lines()
    }
}

impl From<Vec<Line>> for Rights {
    fn from(lines: Vec<Line>) -> Rights {
        let mut rights = Rights::default();
        for line in lines {
            // A privilege of a later version is not known here and not given.
            let known = line.privileges.iter().filter_map(|n| Privileges::named(n).ok());
            let set = known.fold(Privileges::default(), |a, b| a | b);
            let things = match line.columns.as_slice() {
                [] => vec![line.on.clone()],
                columns => columns.iter().map(|c| line.on.column(c)).collect(),
            };
            for on in things {
                match line.revoke {
                    true => rights.revoke(set, &on, line.grant_option),
                    false => rights.grant(set, &on, line.grant_option),
                }
            }
        }
        rights
    }
}

#[cfg(test)]
mod tests;
