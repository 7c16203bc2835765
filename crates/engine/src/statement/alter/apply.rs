//! What the commands of an ALTER make of a CREATE statement.
//!
//! In: the CREATE statement of a stream and the commands. Out: the CREATE statement that the stream has from now on, and which of
//! its columns keep the values of which old one. Promise: all commands are applied or none; a column that places rows (key,
//! partition, shard, version, event time) is neither dropped, renamed nor given another type.

use hydron_base::{Code, Error, Result};
use hydron_plan::StreamInfo;
use hydron_sql::ast::{
    AlterCommand, ColumnDef, ColumnPlace, CreateStream, DefaultKind, Expr, ExprKind, Identifier, Setting, TableElements,
};
use hydron_types::parse::parse_type;
use std::collections::{BTreeMap, BTreeSet};

/// Settings that say how rows are stored; they hold for the life of a stream.
const FIXED_SETTINGS: &[&str] = &[
    "mode",
    "shards",
    "replicas",
    "sharding_expr",
    "event_time_column",
    "version_column",
    "storage_type",
    "logstore",
    "subtype",
    "index_granularity",
    "index_granularity_bytes",
];

pub struct Applied {
    pub create: CreateStream,
    /// By the name of a column now, the name under which it has its values; others begin with their default.
    pub before: BTreeMap<String, String>,
    /// Columns that got another type.
    pub retyped: Vec<String>,
    /// Old rows are to be rewritten now.
    pub rewrites: bool,
    /// Rows whose time is up are to go now.
    pub expires: bool,
    /// The sorting or sampling key is another one.
    pub new_keys: bool,
    /// There are indexes or projections that were not there.
    pub new_indexes: bool,
    /// Constraints that are new.
    pub checks: Vec<Expr>,
}

/// Errors: NOT_FOUND_COLUMN_IN_BLOCK (10), DUPLICATE_COLUMN (15), NO_SUCH_COLUMN_IN_STREAM (16), BAD_ARGUMENTS (36),
/// ILLEGAL_COLUMN (44), NOT_IMPLEMENTED (48), READONLY_SETTING (472), ALTER_OF_COLUMN_IS_FORBIDDEN (524),
/// NO_SUCH_PROJECTION_IN_STREAM (582).
pub fn apply(create: CreateStream, info: &StreamInfo, commands: &[AlterCommand]) -> Result<Applied> {
    let elements = create.elements.clone().unwrap_or_default();
    let fixed = fixed_columns(info, &elements)?;
    let before = elements.columns.iter().map(|c| (c.name.clone(), c.name.clone())).collect();
    let mut work = Work {
        create,
        elements,
        before,
        fixed,
        stream: info.name.to_string(),
        renamed: BTreeSet::new(),
        new_names: BTreeSet::new(),
        modified: BTreeSet::new(),
        retyped: Vec::new(),
        rewrites: false,
        expires: false,
        checks: Vec::new(),
    };
    for command in commands {
        work.command(command)?;
    }
    use AlterCommand as A;
    let any = |test: fn(&AlterCommand) -> bool| commands.iter().any(test);
    let new_keys = any(|c| matches!(c, A::ModifyOrderBy(_) | A::ModifySampleBy(_) | A::RemoveSampleBy));
    let new_indexes = any(|c| matches!(c, A::AddIndex { .. } | A::AddProjection { .. }));
    work.create.elements = Some(work.elements);
    Ok(Applied {
        create: work.create,
        before: work.before,
        retyped: work.retyped,
        rewrites: work.rewrites,
        expires: work.expires,
        new_keys,
        new_indexes,
        checks: work.checks,
    })
}

struct Work {
    create: CreateStream,
    elements: TableElements,
    before: BTreeMap<String, String>,
    /// Columns that place rows, and as what.
    fixed: BTreeMap<String, &'static str>,
    stream: String,
    /// Old names of columns that this statement renames, and their new ones.
    renamed: BTreeSet<String>,
    new_names: BTreeSet<String>,
    modified: BTreeSet<String>,
    retyped: Vec<String>,
    rewrites: bool,
    expires: bool,
    checks: Vec<Expr>,
}

/// The columns that say where a row stands.
fn fixed_columns(info: &StreamInfo, elements: &TableElements) -> Result<BTreeMap<String, &'static str>> {
    let mut fixed = BTreeMap::new();
    let mut add = |expr: &Expr, what: &'static str| {
        expr.walk(&mut |e| {
            if let Some(name) = e.as_identifier() {
                fixed.entry(name.full()).or_insert(what);
            }
        });
    };
    for (text, what) in [
        (&info.order_by, "the sorting key"),
        (&info.partition_by, "the partition key"),
        (&info.sharding_expr, "the shard"),
    ] {
        if !text.is_empty() {
            add(&hydron_sql::parse_expression(text)?, what);
        }
    }
    for arg in &info.engine_args {
        add(&hydron_sql::parse_expression(arg)?, "an argument of the engine");
    }
    for index in &elements.indexes {
        add(&index.expr, "an index");
    }
    if let Some(key) = &elements.primary_key {
        add(key, "the primary key");
    }
    fixed.extend(info.primary_key.iter().map(|k| (k.to_string(), "the primary key")));
    fixed.extend(info.version_column.iter().map(|v| (v.to_string(), "the version")));
    if info.kind != hydron_plan::StreamKind::Table {
        fixed.insert("_tp_time".to_string(), "event time");
        fixed.insert("_tp_delta".to_string(), "the sign of a change");
    }
    Ok(fixed)
}

/// Whether `expr` reads column `name` or an element of it.
fn reads(expr: &Expr, name: &str) -> bool {
    expr.any(&mut |e| e.as_identifier().is_some_and(|i| i.full() == name || i.parts.first().is_some_and(|p| p == name)))
}

fn renamed(expr: Expr, from: &str, to: &str) -> Expr {
    expr.map(&mut |mut e| {
        if let ExprKind::Identifier(name) = &mut e.kind {
            if name.full() == from {
                *name = Identifier::new(to);
            } else if name.parts.first().is_some_and(|p| p == from) {
                name.parts[0] = to.to_string();
            }
        }
        e
    })
}

impl Work {
    fn command(&mut self, command: &AlterCommand) -> Result<()> {
        use AlterCommand as A;
        match command {
            A::AddColumn { if_not_exists, column, place } => self.add(*if_not_exists, column, place.as_ref()),
            A::DropColumn { if_exists, name } => self.drop(*if_exists, name),
            A::ClearColumn { if_exists, name, partition: None } => self.clear(*if_exists, name),
            A::ModifyColumn { if_exists, column, place } => self.modify(*if_exists, column, place.as_ref()),
            A::RemoveColumnProperty { if_exists, name, property } => self.remove_property(*if_exists, name, property),
            A::RenameColumn { if_exists, from, to } => self.rename(*if_exists, from, to),
            A::CommentColumn { if_exists, name, comment } => {
                let Some(at) = self.find(*if_exists, name)? else { return Ok(()) };
                self.elements.columns[at].comment = Some(comment.clone()).filter(|c| !c.is_empty());
                Ok(())
            }
            // Parts of other partitions are brought up to date too, now instead of in the background.
            A::MaterializeColumn { name, partition: _ } => {
                self.find(false, name)?;
                self.rewrites = true;
                Ok(())
            }
            A::ModifyComment(comment) => {
                self.create.comment = Some(comment.clone()).filter(|c| !c.is_empty());
                Ok(())
            }
            A::AddIndex { if_not_exists, index, place } => {
                let names = self.elements.indexes.iter().map(|i| i.name.as_str());
                let Some(at) = place_of(names, &index.name, "index", *if_not_exists, place.as_ref())? else {
                    return Ok(());
                };
                self.elements.indexes.insert(at, index.clone());
                Ok(())
            }
            A::DropIndex { if_exists, name } => {
                let unknown = Code::BAD_ARGUMENTS;
                let names = self.elements.indexes.iter().map(|i| i.name.as_str());
                if let Some(at) = position(names, name, "index", *if_exists, unknown)? {
                    self.elements.indexes.remove(at);
                }
                Ok(())
            }
            A::ClearIndex { if_exists, name, .. } | A::MaterializeIndex { if_exists, name, .. } => {
                let names = self.elements.indexes.iter().map(|i| i.name.as_str());
                position(names, name, "index", *if_exists, Code::BAD_ARGUMENTS).map(drop)
            }
            A::AddProjection { if_not_exists, projection, place } => {
                let names = self.elements.projections.iter().map(|p| p.name.as_str());
                let Some(at) = place_of(names, &projection.name, "projection", *if_not_exists, place.as_ref())? else {
                    return Ok(());
                };
                self.elements.projections.insert(at, projection.clone());
                Ok(())
            }
            A::DropProjection { if_exists, name } => {
                let names = self.elements.projections.iter().map(|p| p.name.as_str());
                let unknown = Code::NO_SUCH_PROJECTION_IN_STREAM;
                if let Some(at) = position(names, name, "projection", *if_exists, unknown)? {
                    self.elements.projections.remove(at);
                }
                Ok(())
            }
            A::ClearProjection { if_exists, name, .. } | A::MaterializeProjection { if_exists, name, .. } => {
                let names = self.elements.projections.iter().map(|p| p.name.as_str());
                position(names, name, "projection", *if_exists, Code::NO_SUCH_PROJECTION_IN_STREAM).map(drop)
            }
            A::AddConstraint { if_not_exists, constraint } => {
                let names = self.elements.constraints.iter().map(|c| c.name.as_str());
                if place_of(names, &constraint.name, "constraint", *if_not_exists, None)?.is_some() {
                    self.elements.constraints.push(constraint.clone());
                    self.checks.push(constraint.expr.clone());
                }
                Ok(())
            }
            A::DropConstraint { if_exists, name } => {
                let names = self.elements.constraints.iter().map(|c| c.name.as_str());
                if let Some(at) = position(names, name, "constraint", *if_exists, Code::BAD_ARGUMENTS)? {
                    self.elements.constraints.remove(at);
                }
                Ok(())
            }
            A::ModifyTtl(ttl) => {
                self.create.storage.ttl = ttl.clone();
                Ok(())
            }
            A::RemoveTtl if self.create.storage.ttl.is_empty() => {
                Err(Error::bad_arguments(format!("stream {} has no TTL", self.stream)))
            }
            A::RemoveTtl => {
                self.create.storage.ttl.clear();
                Ok(())
            }
            A::ModifySetting(settings) => {
                crate::statement::storage_check::check_modify_setting(&self.create)?;
                settings.iter().try_for_each(|s| self.set(s))
            }
            A::ResetSetting(names) => names.iter().try_for_each(|name| {
                self.check_setting(name)?;
                let settings = &self.create.storage.settings;
                if !crate::statement::create::is_setting(name) && !settings.iter().any(|s| s.name == *name) {
                    return Err(Error::bad_arguments(format!("there is no setting '{name}' to reset")));
                }
                self.create.storage.settings.retain(|s| s.name != *name);
                Ok(())
            }),
            A::ModifyOrderBy(key) => self.order_by(key),
            A::ModifySampleBy(key) => {
                self.create.storage.sample_by = Some(key.clone());
                Ok(())
            }
            A::RemoveSampleBy => match self.create.storage.sample_by.take() {
                Some(_) => Ok(()),
                None => Err(Error::bad_arguments(format!("stream {} has no SAMPLE BY to remove", self.stream))),
            },
            A::MaterializeTtl { .. } => {
                let columns = &self.elements.columns;
                if self.create.storage.ttl.is_empty() && columns.iter().all(|c| c.ttl.is_none()) {
                    let message = format!("stream {} has no TTL to materialize", self.stream);
                    return Err(Error::new(Code::INCORRECT_QUERY, message));
                }
                self.expires = true;
                Ok(())
            }
            other => Err(Error::not_implemented(format!("ALTER STREAM … {}", name_of(other)))),
        }
    }

    /// Appends to the sorting key, or shortens it down to the primary key. Rows that are there stay where they are: what is new
    /// is of columns that this statement adds, so that it is the same in all of them.
    ///
    /// Errors: BAD_ARGUMENTS (36), NOT_IMPLEMENTED (48) for a keyed stream.
    fn order_by(&mut self, key: &Expr) -> Result<()> {
        if crate::statement::create::setting(&self.create, "mode").is_some_and(|mode| mode != "append") {
            return Err(Error::not_implemented("ALTER STREAM … MODIFY ORDER BY of a stream that is not append-only"));
        }
        let storage = &mut self.create.storage;
        let Some(old) = storage.order_by.clone().or_else(|| storage.primary_key.clone()) else {
            return Err(Error::bad_arguments(format!("stream {} has no ORDER BY to modify", self.stream)));
        };
        let elements = |e: &Expr| crate::stream::merging::list_of(&e.to_string());
        let primary = storage.primary_key.clone().unwrap_or_else(|| old.clone());
        let (before, now) = (elements(&old)?, elements(key)?);
        if !now.starts_with(&elements(&primary)?) {
            let message = format!("ORDER BY {key} does not begin with the primary key {primary}");
            return Err(Error::bad_arguments(message));
        }
        let mut kept = before.iter().peekable();
        for element in &now {
            if kept.next_if_eq(&element).is_some() {
                continue;
            }
            let expr = hydron_sql::parse_expression(element)?;
            let is_new = |name: &str| {
                let found = self.elements.columns.iter().find(|c| c.name == name);
                found.is_some_and(|c| c.default.is_none() && !self.before.contains_key(name))
            };
            let mut old_column = None;
            expr.walk(&mut |e| {
                if let Some(name) = e.as_identifier().map(Identifier::full).filter(|n| !is_new(n)) {
                    old_column.get_or_insert(name);
                }
            });
            if let Some(name) = old_column {
                let message =
                    format!("'{element}' cannot be added to ORDER BY: column '{name}' is not new, or has a default");
                return Err(Error::bad_arguments(message).hint("ADD COLUMN … in the same ALTER"));
            }
        }
        storage.primary_key = Some(primary);
        storage.order_by = Some(key.clone());
        Ok(())
    }

    /// The columns of `n` in `n.a, n.b`, if there is no column `n`.
    fn nested(&self, name: &str) -> Vec<String> {
        let columns = &self.elements.columns;
        if columns.iter().any(|c| c.name == name) {
            return Vec::new();
        }
        let inside = |c: &&ColumnDef| c.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        columns.iter().filter(inside).map(|c| c.name.clone()).collect()
    }

    /// The position of a column. `None`: there is none, and `if_exists` allows that.
    fn find(&self, if_exists: bool, name: &str) -> Result<Option<usize>> {
        let found = self.elements.columns.iter().position(|c| c.name == name);
        if found.is_some() || if_exists {
            return Ok(found);
        }
        let message = format!("stream {} has no column '{name}'", self.stream);
        let error = Error::new(Code::NOT_FOUND_COLUMN_IN_BLOCK, message);
        let names = self.elements.columns.iter().map(|c| c.name.as_str());
        Err(match crate::catalog::state::nearest(name, names) {
            Some(near) => error.hint(format!("column '{near}'")),
            None => error,
        })
    }

    fn check_free(&self, name: &str, verb: &str) -> Result<()> {
        let Some(what) = self.fixed.get(name) else { return Ok(()) };
        let message = format!("column '{name}' of stream {} is part of {what} and cannot be {verb}", self.stream);
        Err(Error::new(Code::ALTER_OF_COLUMN_IS_FORBIDDEN, message))
    }

    fn add(&mut self, if_not_exists: bool, column: &ColumnDef, place: Option<&ColumnPlace>) -> Result<()> {
        check_codec(column)?;
        if self.elements.columns.iter().any(|c| c.name == column.name) {
            if if_not_exists {
                return Ok(());
            }
            let message = format!("stream {} has a column '{}' already", self.stream, column.name);
            return Err(Error::new(Code::DUPLICATE_COLUMN, message));
        }
        let at = self.place(place)?;
        self.elements.columns.insert(at, column.clone());
        self.before.remove(&column.name);
        Ok(())
    }

    /// Where a new column goes; without a word, before those that a stream has by itself.
    fn place(&self, place: Option<&ColumnPlace>) -> Result<usize> {
        let columns = &self.elements.columns;
        match place {
            Some(ColumnPlace::First) => Ok(0),
            Some(ColumnPlace::After(name)) => match columns.iter().position(|c| c.name == *name) {
                Some(at) => Ok(at + 1),
                None => {
                    let message = format!("stream {} has no column '{name}' to stand after", self.stream);
                    Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message))
                }
            },
            None => {
                let own = columns.iter().rev().take_while(|c| matches!(c.name.as_str(), "_tp_time" | "_tp_delta"));
                Ok(columns.len() - own.count())
            }
        }
    }

    fn drop(&mut self, if_exists: bool, name: &str) -> Result<()> {
        let inside = self.nested(name);
        if !inside.is_empty() {
            return inside.iter().try_for_each(|name| self.drop(false, name));
        }
        let Some(at) = self.find(if_exists, name)? else { return Ok(()) };
        self.check_free(name, "dropped")?;
        let default_reads =
            |c: &&ColumnDef| c.default.as_ref().and_then(|d| d.expr.as_ref()).is_some_and(|e| reads(e, name));
        let ttl_reads = |c: &&ColumnDef| c.ttl.as_ref().is_some_and(|e| reads(e, name));
        let mut others = self.elements.columns.iter().filter(|c| c.name != name);
        if let Some(reader) = others.find(|c| default_reads(c) || ttl_reads(c)) {
            let message = format!("column '{name}' of stream {} is read by column '{}'", self.stream, reader.name);
            return Err(
                Error::new(Code::ILLEGAL_COLUMN, message).hint(format!("drop or modify '{}' first", reader.name))
            );
        }
        self.elements.columns.remove(at);
        self.before.remove(name);
        Ok(())
    }

    fn clear(&mut self, if_exists: bool, name: &str) -> Result<()> {
        let inside = self.nested(name);
        if !inside.is_empty() {
            return inside.iter().try_for_each(|name| self.clear(false, name));
        }
        if self.find(if_exists, name)?.is_some() {
            self.check_free(name, "cleared")?;
            self.before.remove(name);
        }
        Ok(())
    }

    fn modify(&mut self, if_exists: bool, change: &ColumnDef, place: Option<&ColumnPlace>) -> Result<()> {
        if self.renamed.contains(&change.name) {
            return Err(Error::not_implemented("RENAME and MODIFY of one column in one ALTER"));
        }
        let Some(at) = self.find(if_exists, &change.name)? else { return Ok(()) };
        if self.new_names.contains(&change.name) {
            return Err(Error::not_implemented("RENAME and MODIFY of one column in one ALTER"));
        }
        if let Some(ty) = &change.ty {
            let old = self.elements.columns[at].ty.as_ref().map(ToString::to_string).unwrap_or_default();
            let is_other = parse_type(&ty.to_string())? != parse_type(&old)? || change.nullable == Some(true);
            if is_other {
                self.check_free(&change.name, "given another type")?;
                self.retyped.push(change.name.clone());
            }
        }
        let column = &mut self.elements.columns[at];
        if change.ty.is_some() {
            column.ty = change.ty.clone();
            column.nullable = change.nullable;
        }
        let taken = |new: &Option<_>, old: &mut Option<_>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        taken(&change.default, &mut column.default);
        if change.comment.is_some() {
            column.comment.clone_from(&change.comment);
        }
        if change.ttl.is_some() {
            column.ttl.clone_from(&change.ttl);
        }
        if !change.codec.is_empty() {
            column.codec.clone_from(&change.codec);
        }
        check_codec(column)?;
        self.modified.insert(change.name.clone());
        if let Some(place) = place {
            let column = self.elements.columns.remove(at);
            let at = self.place(Some(place))?;
            self.elements.columns.insert(at, column);
        }
        Ok(())
    }

    fn remove_property(&mut self, if_exists: bool, name: &str, property: &str) -> Result<()> {
        let Some(at) = self.find(if_exists, name)? else { return Ok(()) };
        let column = &mut self.elements.columns[at];
        let kind = column.default.as_ref().map(|d| d.kind);
        let removed = match property {
            "DEFAULT" if kind == Some(DefaultKind::Default) => column.default.take().is_some(),
            "MATERIALIZED" if kind == Some(DefaultKind::Materialized) => column.default.take().is_some(),
            "ALIAS" if kind == Some(DefaultKind::Alias) => column.default.take().is_some(),
            "COMMENT" => column.comment.take().is_some(),
            "TTL" => column.ttl.take().is_some(),
            "CODEC" => !std::mem::take(&mut column.codec).is_empty(),
            _ => false,
        };
        if removed {
            return Ok(());
        }
        Err(Error::bad_arguments(format!("column '{name}' of stream {} has no {property} to remove", self.stream)))
    }

    fn rename(&mut self, if_exists: bool, from: &str, to: &str) -> Result<()> {
        if self.renamed.contains(from) {
            return Err(Error::bad_arguments(format!("column '{from}' is renamed twice")));
        }
        if self.new_names.contains(from) || self.modified.contains(from) {
            return Err(Error::not_implemented(format!(
                "RENAME of column '{from}' after another change of it in one ALTER"
            )));
        }
        let Some(at) = self.find(if_exists, from)? else { return Ok(()) };
        self.check_free(from, "renamed")?;
        if self.elements.columns.iter().any(|c| c.name == to) {
            let message = format!("stream {} has a column '{to}' already", self.stream);
            return Err(Error::new(Code::DUPLICATE_COLUMN, message));
        }
        self.elements.columns[at].name = to.to_string();
        let change = |e: &mut Expr| *e = renamed(e.clone(), from, to);
        for column in &mut self.elements.columns {
            column.default.iter_mut().filter_map(|d| d.expr.as_mut()).for_each(change);
            column.ttl.iter_mut().for_each(change);
        }
        self.elements.constraints.iter_mut().for_each(|c| change(&mut c.expr));
        self.create.storage.ttl.iter_mut().for_each(|t| change(&mut t.expr));
        if let Some(old) = self.before.remove(from) {
            self.before.insert(to.to_string(), old);
        }
        self.renamed.insert(from.to_string());
        self.new_names.insert(to.to_string());
        Ok(())
    }

    fn check_setting(&self, name: &str) -> Result<()> {
        if !FIXED_SETTINGS.contains(&name) {
            return Ok(());
        }
        let message = format!("setting {name} of stream {} cannot be changed", self.stream);
        Err(Error::new(Code::READONLY_SETTING, message).hint("copy the rows into a new stream"))
    }

    fn set(&mut self, setting: &Setting) -> Result<()> {
        self.check_setting(&setting.name)?;
        let settings = &mut self.create.storage.settings;
        settings.retain(|s| s.name != setting.name);
        settings.push(setting.clone());
        Ok(())
    }
}

fn check_codec(column: &ColumnDef) -> Result<()> {
    let is_alias = column.default.as_ref().is_some_and(|d| d.kind == DefaultKind::Alias);
    if is_alias && !column.codec.is_empty() {
        return Err(Error::bad_arguments(format!("column '{}' is an ALIAS, so it has no codec", column.name)));
    }
    Ok(())
}

/// Where `name` goes among `names`. `None`: it is there, and `if_not_exists` allows that.
fn place_of<'a>(
    names: impl Iterator<Item = &'a str>,
    name: &str,
    what: &str,
    if_not_exists: bool,
    place: Option<&ColumnPlace>,
) -> Result<Option<usize>> {
    let names: Vec<&str> = names.collect();
    if names.contains(&name) {
        let error = Error::new(Code::ILLEGAL_COLUMN, format!("there is {what} '{name}' already"));
        return if if_not_exists { Ok(None) } else { Err(error) };
    }
    match place {
        None => Ok(Some(names.len())),
        Some(ColumnPlace::First) => Ok(Some(0)),
        Some(ColumnPlace::After(other)) => {
            Ok(position(names.into_iter(), other, what, false, Code::BAD_ARGUMENTS)?.map(|at| at + 1))
        }
    }
}

/// The place of `name` among `names`. Errors: `unknown`, unless `if_exists` allows it.
fn position<'a>(
    mut names: impl Iterator<Item = &'a str>,
    name: &str,
    what: &str,
    if_exists: bool,
    unknown: Code,
) -> Result<Option<usize>> {
    match names.position(|n| n == name) {
        None if !if_exists => Err(Error::new(unknown, format!("there is no {what} '{name}'"))),
        found => Ok(found),
    }
}

/// A command as its first words.
pub fn name_of(command: &AlterCommand) -> &'static str {
    use AlterCommand as A;
    match command {
        A::ClearColumn { .. } => "CLEAR COLUMN … IN PARTITION",
        A::MaterializeColumn { .. } => "MATERIALIZE COLUMN … IN PARTITION",
        A::ModifyOrderBy(_) => "MODIFY ORDER BY",
        A::ModifySampleBy(_) => "MODIFY SAMPLE BY",
        A::RemoveSampleBy => "REMOVE SAMPLE BY",
        A::MaterializeTtl { .. } => "MATERIALIZE TTL",
        A::ModifyQuerySetting(_) => "MODIFY QUERY SETTING",
        A::ResetQuerySetting(_) => "RESET QUERY SETTING",
        A::ModifyQuery(_) => "MODIFY QUERY",
        A::Delete { .. } => "DELETE",
        A::Update { .. } => "UPDATE",
        A::DropPartition { .. } => "DROP PARTITION",
        A::DetachPartition { .. } => "DETACH PARTITION",
        A::AttachPartition { .. } => "ATTACH PARTITION",
        A::ReplacePartition { .. } => "REPLACE PARTITION",
        A::MovePartition { .. } => "MOVE PARTITION",
        A::FetchPartition { .. } => "FETCH PARTITION",
        A::Freeze { .. } => "FREEZE",
        A::Unfreeze { .. } => "UNFREEZE",
        _ => "command",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_plan::{ColumnInfo, StreamKind, StreamMode};
    use hydron_sql::ast::StatementKind;
    use hydron_types::LogicalType;
    use std::sync::Arc;

    fn create(text: &str) -> (CreateStream, StreamInfo) {
        let StatementKind::CreateStream(create) = hydron_sql::parse_statement(text).unwrap().statement.kind else {
            panic!("not a CREATE STREAM: {text}");
        };
        let info = StreamInfo {
            database: Arc::from("default"),
            name: Arc::from("s"),
            uuid: uuid::Uuid::nil(),
            kind: StreamKind::Stream,
            mode: StreamMode::Append,
            columns: vec![ColumnInfo::new("k", LogicalType::Int32)],
            primary_key: vec![],
            order_by: create.storage.order_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            partition_by: String::new(),
            version_column: None,
            shards: 1,
            sharding_expr: String::new(),
            engine: Arc::from("Stream"),
            engine_args: Vec::new(),
            sample_by: String::new(),
            settings: vec![],
            comment: String::new(),
        };
        (*create, info)
    }

    fn alter(text: &str) -> Result<Applied> {
        let (create, info) = create(
            "CREATE STREAM s (k int32, a string, b string DEFAULT upper(a), _tp_time datetime64(3)) ORDER BY k SETTINGS mode='append'",
        );
        let StatementKind::Alter(alter) = hydron_sql::parse_statement(text).unwrap().statement.kind else {
            panic!("not an ALTER: {text}");
        };
        apply(create, &info, &alter.commands)
    }

    fn columns(applied: &Applied) -> Vec<String> {
        applied.create.elements.iter().flat_map(|e| &e.columns).map(|c| c.name.clone()).collect()
    }

    #[test]
    fn a_new_column_stands_before_event_time_or_where_it_is_told() {
        let applied =
            alter("ALTER STREAM s ADD COLUMN c int, ADD COLUMN d int FIRST, ADD COLUMN e int AFTER k").unwrap();
        assert_eq!(columns(&applied), ["d", "k", "e", "a", "b", "c", "_tp_time"]);
        assert!(!applied.before.contains_key("c"));
    }

    #[test]
    fn a_renamed_column_is_renamed_where_it_is_read() {
        let applied = alter("ALTER STREAM s RENAME COLUMN a TO z").unwrap();
        assert_eq!(applied.before.get("z").map(String::as_str), Some("a"));
        let elements = applied.create.elements.unwrap();
        assert_eq!(elements.columns[2].default.as_ref().unwrap().expr.as_ref().unwrap().to_string(), "upper(z)");
    }

    #[test]
    fn a_column_that_is_dropped_and_added_begins_anew() {
        let applied = alter("ALTER STREAM s DROP COLUMN b, ADD COLUMN b int").unwrap();
        assert!(!applied.before.contains_key("b"));
    }

    #[test]
    fn errors_have_the_codes_of_the_specification() {
        let code = |text: &str| alter(text).map(drop).unwrap_err().code;
        assert_eq!(code("ALTER STREAM s ADD COLUMN a int"), Code::DUPLICATE_COLUMN);
        assert_eq!(code("ALTER STREAM s ADD COLUMN c int AFTER nobody"), Code::NO_SUCH_COLUMN_IN_STREAM);
        assert_eq!(code("ALTER STREAM s DROP COLUMN nobody"), Code::NOT_FOUND_COLUMN_IN_BLOCK);
        assert_eq!(code("ALTER STREAM s DROP COLUMN k"), Code::ALTER_OF_COLUMN_IS_FORBIDDEN);
        assert_eq!(code("ALTER STREAM s DROP COLUMN _tp_time"), Code::ALTER_OF_COLUMN_IS_FORBIDDEN);
        assert_eq!(code("ALTER STREAM s DROP COLUMN a"), Code::ILLEGAL_COLUMN);
        assert_eq!(code("ALTER STREAM s MODIFY COLUMN k string"), Code::ALTER_OF_COLUMN_IS_FORBIDDEN);
        assert_eq!(code("ALTER STREAM s RENAME COLUMN a TO b"), Code::DUPLICATE_COLUMN);
        assert_eq!(code("ALTER STREAM s RENAME COLUMN a TO x, RENAME COLUMN a TO y"), Code::BAD_ARGUMENTS);
        assert_eq!(code("ALTER STREAM s RENAME COLUMN a TO x, RENAME COLUMN x TO y"), Code::NOT_IMPLEMENTED);
        assert_eq!(code("ALTER STREAM s MODIFY SETTING shards = 3"), Code::READONLY_SETTING);
        assert_eq!(code("ALTER STREAM s DROP PROJECTION p"), Code::NO_SUCH_PROJECTION_IN_STREAM);
        assert_eq!(code("ALTER STREAM s REMOVE TTL"), Code::BAD_ARGUMENTS);
        assert!(alter("ALTER STREAM s DROP COLUMN IF EXISTS nobody").is_ok());
        assert_eq!(code("ALTER STREAM s RENAME COLUMN a TO x, MODIFY COLUMN a string"), Code::NOT_IMPLEMENTED);
        assert_eq!(code("ALTER STREAM s RESET SETTING nobody"), Code::BAD_ARGUMENTS);
        assert_eq!(code("ALTER STREAM s MATERIALIZE TTL"), Code::INCORRECT_QUERY);
        assert_eq!(code("ALTER STREAM s MODIFY ORDER BY (k, a)"), Code::BAD_ARGUMENTS);
        assert_eq!(code("ALTER STREAM s ADD COLUMN n int, MODIFY ORDER BY (n, k)"), Code::BAD_ARGUMENTS);
        assert_eq!(code("ALTER STREAM s ADD COLUMN n int DEFAULT 1, MODIFY ORDER BY (k, n)"), Code::BAD_ARGUMENTS);
    }

    #[test]
    fn a_sorting_key_grows_by_columns_that_are_new() {
        let applied = alter("ALTER STREAM s ADD COLUMN n int, MODIFY ORDER BY (k, n)").unwrap();
        let storage = &applied.create.storage;
        assert_eq!(storage.order_by.as_ref().unwrap().to_string(), "(k, n)");
        assert_eq!(storage.primary_key.as_ref().unwrap().to_string(), "k");
    }
}
