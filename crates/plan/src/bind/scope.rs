//! What a name can mean at one place of a query: the columns of its sources, with where they came from.
//!
//! Promise: column `i` of a scope is column `i` of the plan beside it.

use super::json::JsonPaths;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Schema};
use std::sync::Arc;

/// How a source is called.
#[derive(Clone, Debug, Default)]
pub(super) struct TableName {
    pub alias: Option<Arc<str>>,
    pub name: Option<Arc<str>>,
    pub database: Option<Arc<str>>,
}

impl TableName {
    /// How well a qualifier names this source; 0: not at all. An alias beats a name, and the name of a source without an
    /// alias beats that of one with.
    fn fit(&self, qualifier: &[String]) -> u8 {
        let same = |have: &Option<Arc<str>>, want: &str| have.as_deref() == Some(want);
        match qualifier {
            [one] if same(&self.alias, one) => 3,
            [one] if same(&self.name, one) => 1 + u8::from(self.alias.is_none()),
            [database, one] if same(&self.database, database) && same(&self.name, one) => {
                1 + u8::from(self.alias.is_none())
            }
            _ => 0,
        }
    }

    /// The name that qualifies columns of this source.
    pub fn shown(&self) -> Option<&Arc<str>> {
        self.alias.as_ref().or(self.name.as_ref())
    }
}

/// Whether `*` includes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Yes,
    /// Only with `asterisk_include_reserved_columns`.
    Reserved,
    /// Only with the name of its source, `t.*`: the right side's column of USING.
    ByTable,
    /// By name only: virtual, alias and materialized columns.
    ByName,
    /// No name reaches it: made for the plan.
    Hidden,
}

#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    pub name: Arc<str>,
    pub ty: LogicalType,
    /// Index into `Scope::tables`.
    pub table: usize,
    pub show: Show,
    /// A column of USING: found by its plain name although both sides have it.
    pub merged: bool,
    /// Where the source's own column is, if this is one of USING that may come from the other source: its qualified name and
    /// `t.*` mean that one.
    pub own: Option<usize>,
    /// Of a json column that comes from a stream as it is: what is known of its paths.
    pub json: Option<Arc<JsonPaths>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub tables: Vec<TableName>,
    pub columns: Vec<ScopeColumn>,
}

/// A column and the path inside it that is left of the name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub index: usize,
    pub path: &'a [String],
}

impl Scope {
    /// One source whose columns are all shown.
    pub fn of_schema(table: TableName, schema: &Schema) -> Scope {
        let columns = schema
            .fields
            .iter()
            .map(|f| ScopeColumn {
                name: Arc::clone(&f.name),
                ty: f.ty.clone(),
                table: 0,
                show: Show::Yes,
                merged: false,
                own: None,
                json: None,
            })
            .collect();
        Scope { tables: vec![table], columns }
    }

    /// An asterisk gives a name that a subquery selects twice once.
    pub fn show_names_once(&mut self) {
        for at in 1..self.columns.len() {
            let (before, rest) = self.columns.split_at_mut(at);
            if before.iter().any(|c| c.name == rest[0].name) {
                rest[0].show = Show::ByName;
            }
        }
    }

    /// Adds a column that no name reaches and returns its position.
    pub fn push_hidden(&mut self, ty: LogicalType) -> usize {
        self.push("", ty, Show::Hidden)
    }

    /// Adds a column to the last source.
    pub fn push(&mut self, name: &str, ty: LogicalType, show: Show) -> usize {
        let table = self.tables.len().saturating_sub(1);
        self.columns.push(ScopeColumn { name: Arc::from(name), ty, table, show, merged: false, own: None, json: None });
        self.columns.len() - 1
    }

    /// The column that a dotted name means. `strict`: a name that two sources have is an error even for two sources, where
    /// otherwise the left one wins.
    ///
    /// Errors: AMBIGUOUS_COLUMN_NAME (352).
    pub fn find<'a>(&self, parts: &'a [String], strict: bool) -> Result<Option<Found<'a>>> {
        // The longest name first, so that the nested column `n.a` comes before the element `a` of a tuple `n`.
        for taken in (1..=parts.len()).rev() {
            let name = parts[..taken].join(".");
            if let Some(index) = self.by_name(&name, strict)? {
                return Ok(Some(Found { index, path: &parts[taken..] }));
            }
            for qualifier in 1..taken.min(3) {
                let name = parts[qualifier..taken].join(".");
                if let Some(index) = self.qualified(&parts[..qualifier], &name)? {
                    return Ok(Some(Found { index, path: &parts[taken..] }));
                }
            }
        }
        Ok(None)
    }

    fn by_name(&self, name: &str, strict: bool) -> Result<Option<usize>> {
        let mut found: Option<usize> = None;
        for (i, c) in self.columns.iter().enumerate() {
            if c.show == Show::Hidden || &*c.name != name {
                continue;
            }
            if c.merged {
                return Ok(Some(i));
            }
            match found {
                None => found = Some(i),
                Some(first) if self.columns[first].table != c.table && (strict || self.tables.len() > 2) => {
                    return Err(ambiguous(name));
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn qualified(&self, qualifier: &[String], name: &str) -> Result<Option<usize>> {
        let mut found: Option<(u8, usize)> = None;
        for (i, c) in self.columns.iter().enumerate() {
            if c.show == Show::Hidden || &*c.name != name {
                continue;
            }
            let fit = self.tables[c.table].fit(qualifier);
            match found {
                Some((best, first)) if best == fit && fit > 0 && self.columns[first].table != c.table => {
                    return Err(ambiguous(&format!("{}.{name}", qualifier.join("."))));
                }
                Some((best, _)) if best >= fit => {}
                _ if fit > 0 => found = Some((fit, i)),
                _ => {}
            }
        }
        // By the name of a stream that has an alias a column of USING is the one of both sides.
        Ok(found.map(|(fit, i)| self.columns[i].own.filter(|_| fit > 1).unwrap_or(i)))
    }

    /// Positions of the tables that a qualifier names.
    pub fn tables_named(&self, qualifier: &[String]) -> Vec<usize> {
        let fits: Vec<u8> = self.tables.iter().map(|t| t.fit(qualifier)).collect();
        let best = fits.iter().copied().max().unwrap_or(0);
        (0..fits.len()).filter(|t| best > 0 && fits[*t] == best).collect()
    }

    /// The sources of `self`, then those of `right`.
    pub fn join(mut self, right: Scope) -> Scope {
        let (tables, columns) = (self.tables.len(), self.columns.len());
        self.tables.extend(right.tables);
        let shifted = |c: ScopeColumn| ScopeColumn { table: c.table + tables, own: c.own.map(|i| i + columns), ..c };
        self.columns.extend(right.columns.into_iter().map(shifted));
        self
    }

    /// Up to three names that are close to `name`.
    pub fn near(&self, name: &str) -> Vec<String> {
        let lower = name.to_lowercase();
        let mut near: Vec<(usize, String)> = self
            .columns
            .iter()
            .filter(|c| c.show != Show::Hidden)
            .map(|c| (slips(&lower, &c.name.to_lowercase()), c.name.to_string()))
            .filter(|(d, _)| *d <= 2.min(name.len().saturating_sub(1)))
            .collect();
        near.sort();
        near.dedup();
        near.into_iter().take(3).map(|(_, n)| n).collect()
    }
}

fn ambiguous(name: &str) -> Error {
    Error::new(Code::AMBIGUOUS_COLUMN_NAME, format!("column \"{name}\" is in several sources"))
        .hint("put the alias of one source before it")
}

/// Insertions, deletions and replacements that turn `a` into `b`.
pub(super) fn slips(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
