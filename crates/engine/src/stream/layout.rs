//! How the rows of a stream lie in its records and parts, version by version.
//!
//! In: the columns of a stream, and what ALTER made of them. Out: for two versions, where each column of the one comes from in
//! the other. Promise: a column is known by its number, not by its name: a renamed one keeps its values, and one that was
//! dropped and added again does not get the old ones back.

use hydron_base::{Error, Result};
use hydron_plan::{ColumnInfo, StreamInfo};
use hydron_types::{Field, LogicalType, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The version of a stream that was never altered.
pub const FIRST_VERSION: u16 = 1;

/// Versions that a stream may have, all of which its catalog entry holds.
const VERSIONS_MAX: usize = 1_000;

/// A column as a version stores it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredColumn {
    /// The same in every version; never used for another column of the stream.
    pub id: u32,
    pub name: Arc<str>,
    pub ty: LogicalType,
}

/// One version: the stored columns in the order of the stream's.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub version: u16,
    pub columns: Vec<StoredColumn>,
}

/// All versions of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Layouts {
    pub versions: BTreeMap<u16, Arc<Layout>>,
    /// The number of the next column that is added.
    pub next_id: u32,
}

/// Where a column comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// The column at this position, as it is.
    Same(usize),
    /// The column at this position, cast from this type.
    Cast(usize, LogicalType),
    /// Nowhere: it takes its default.
    Missing,
}

impl Layout {
    pub fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect())
    }

    /// For each column of this layout its origin in rows of `other`.
    pub fn origins(&self, other: &Layout) -> Vec<Origin> {
        let origin = |column: &StoredColumn| match other.columns.iter().position(|c| c.id == column.id) {
            Some(at) if other.columns[at].ty == column.ty => Origin::Same(at),
            Some(at) => Origin::Cast(at, other.columns[at].ty.clone()),
            None => Origin::Missing,
        };
        self.columns.iter().map(origin).collect()
    }

    /// Whether rows of this layout can be read as rows of the other without a change.
    fn is_same(&self, other: &[StoredColumn]) -> bool {
        self.columns == other
    }
}

impl Layouts {
    /// Of a stream that was never altered.
    pub fn first(info: &StreamInfo) -> Layouts {
        let stored = info.columns.iter().filter(|c| c.is_stored());
        let column = |(at, c): (usize, &ColumnInfo)| StoredColumn {
            id: at as u32 + 1,
            name: Arc::clone(&c.name),
            ty: c.ty.clone(),
        };
        let columns: Vec<_> = stored.enumerate().map(column).collect();
        let next_id = columns.len() as u32 + 1;
        let layout = Arc::new(Layout { version: FIRST_VERSION, columns });
        Layouts { versions: BTreeMap::from([(FIRST_VERSION, layout)]), next_id }
    }

    /// The version that new rows get.
    pub fn current(&self) -> Arc<Layout> {
        match self.versions.last_key_value() {
            Some((_, layout)) => Arc::clone(layout),
            None => Arc::new(Layout { version: FIRST_VERSION, columns: Vec::new() }),
        }
    }

    /// With a version for `columns` after `current`, unless rows lie the same in both. `before` gives the name that a column
    /// had in `current`; `None` for one that is new, or that is to lose its values.
    ///
    /// Errors: BAD_ARGUMENTS past [`VERSIONS_MAX`].
    pub fn altered<'a>(
        &self,
        current: &Layout,
        columns: &'a [ColumnInfo],
        before: impl Fn(&'a ColumnInfo) -> Option<&'a str>,
    ) -> Result<Layouts> {
        let mut next_id = self.next_id;
        let mut stored = Vec::with_capacity(columns.len());
        for column in columns.iter().filter(|c| c.is_stored()) {
            let old = before(column).and_then(|name| current.columns.iter().find(|c| &*c.name == name));
            let id = old.map_or(next_id, |c| c.id);
            next_id += u32::from(old.is_none());
            stored.push(StoredColumn { id, name: Arc::clone(&column.name), ty: column.ty.clone() });
        }
        let mut next = Layouts { versions: self.versions.clone(), next_id };
        if current.is_same(&stored) {
            return Ok(next);
        }
        if self.versions.len() >= VERSIONS_MAX {
            let message = format!("a stream may be altered {VERSIONS_MAX} times in its columns");
            return Err(Error::bad_arguments(message).hint("copy the rows into a new stream"));
        }
        let version = current.version + 1;
        next.versions.insert(version, Arc::new(Layout { version, columns: stored }));
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, LogicalType)]) -> Vec<ColumnInfo> {
        list.iter().map(|(name, ty)| ColumnInfo::new(*name, ty.clone())).collect()
    }

    fn first(list: &[(&str, LogicalType)]) -> Layouts {
        let columns = list.iter().enumerate().map(|(i, (name, ty))| StoredColumn {
            id: i as u32 + 1,
            name: Arc::from(*name),
            ty: ty.clone(),
        });
        let layout = Layout { version: FIRST_VERSION, columns: columns.collect() };
        Layouts { versions: BTreeMap::from([(FIRST_VERSION, Arc::new(layout))]), next_id: list.len() as u32 + 1 }
    }

    const INT: LogicalType = LogicalType::Int32;

    #[test]
    fn a_renamed_column_keeps_its_values_and_a_new_one_has_none() {
        let old = first(&[("a", INT), ("b", INT)]);
        let now = columns(&[("a", LogicalType::Int64), ("n", INT), ("c", INT)]);
        let next = old.altered(&old.current(), &now, |c| match &*c.name {
            "c" => Some("b"),
            "a" => Some("a"),
            _ => None,
        });
        let next = next.unwrap().current();
        assert_eq!(next.version, 2);
        assert_eq!(next.origins(&old.current()), [Origin::Cast(0, INT), Origin::Missing, Origin::Same(1)]);
        // And back, for a query that began before.
        assert_eq!(old.current().origins(&next), [Origin::Cast(0, LogicalType::Int64), Origin::Same(2)]);
    }

    #[test]
    fn a_column_that_was_dropped_does_not_come_back_with_its_values() {
        let old = first(&[("a", INT), ("b", INT)]);
        let dropped = old.altered(&old.current(), &columns(&[("a", INT)]), |c| Some(&*c.name)).unwrap();
        let again = columns(&[("a", INT), ("b", INT)]);
        let added = dropped.altered(&dropped.current(), &again, |c| (&*c.name == "a").then_some("a")).unwrap();
        assert_eq!(added.current().version, 3);
        assert_eq!(added.current().origins(&old.current()), [Origin::Same(0), Origin::Missing]);
    }

    #[test]
    fn what_does_not_touch_the_rows_makes_no_version() {
        let old = first(&[("a", INT)]);
        let mut now = columns(&[("a", INT)]);
        now[0].comment = "a comment".to_string();
        assert_eq!(old.altered(&old.current(), &now, |c| Some(&*c.name)).unwrap(), old);
    }
}
