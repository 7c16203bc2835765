//! All objects at one moment, and how one moment becomes the next.
//!
//! In: changes by DDL statements, one at a time. Out: snapshots that never change. Promise: an object is stored durably
//! before any reader sees it, and a reader never sees half a change.

use super::functions::registry;
use super::object::{FormatSchema, Function, MaterializedView, Object};
use crate::stream::Stream;
use hydron_base::{Code, Error, Result};
use hydron_func::Registry;
use hydron_plan::StreamInfo;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone)]
pub struct Database {
    pub name: Arc<str>,
    pub uuid: Uuid,
    pub engine: Arc<str>,
    pub comment: String,
    pub objects: BTreeMap<Arc<str>, Object>,
}

#[derive(Clone, Default)]
pub struct CatalogState {
    pub databases: BTreeMap<Arc<str>, Database>,
    pub functions: BTreeMap<Arc<str>, Function>,
    /// Those of them whose code is not SQL, for the binder.
    pub user_functions: Arc<Registry>,
    /// In the order in which they were made.
    pub format_schemas: Vec<Arc<FormatSchema>>,
}

impl CatalogState {
    /// Changes the functions. `scripts`: the directory `user_scripts`.
    pub fn edit_functions(&mut self, scripts: Option<&Path>, edit: impl FnOnce(&mut BTreeMap<Arc<str>, Function>)) {
        edit(&mut self.functions);
        self.user_functions = Arc::new(registry(self.functions.values(), scripts));
    }

    pub fn object(&self, database: &str, name: &str) -> Option<&Object> {
        self.databases.get(database)?.objects.get(name)
    }

    /// Errors: UNKNOWN_DATABASE.
    pub fn database(&self, name: &str) -> Result<&Database> {
        self.databases.get(name).ok_or_else(|| {
            let error = Error::new(Code::UNKNOWN_DATABASE, format!("database {name} does not exist"));
            match nearest(name, self.databases.keys().map(|n| &**n)) {
                Some(near) => error.hint(format!("database {near}")),
                None => error,
            }
        })
    }

    /// Errors: UNKNOWN_DATABASE, UNKNOWN_STREAM with the nearest name as a hint.
    pub fn existing(&self, database: &str, name: &str) -> Result<&Object> {
        let db = self.database(database)?;
        db.objects.get(name).ok_or_else(|| {
            let error = Error::new(Code::UNKNOWN_STREAM, format!("stream {database}.{name} does not exist"));
            match nearest(name, db.objects.keys().map(|n| &**n)) {
                Some(near) => error.hint(format!("stream {near}")),
                None => error,
            }
        })
    }

    /// The stream whose rows `info` names: of that name, or of the view of that name.
    ///
    /// Errors: STREAM_IS_DROPPED when it is another one by now.
    pub fn stream_of(&self, info: &StreamInfo) -> Result<Arc<Stream>> {
        let dropped = || Error::new(Code::STREAM_IS_DROPPED, format!("stream {} was dropped", info.name));
        match self.existing(&info.database, &info.name)? {
            Object::Stream(stream) if stream.info.uuid == info.uuid => Ok(Arc::clone(stream)),
            Object::MaterializedView(view) => {
                let target = self.target(view).map_err(|_| dropped())?;
                if target.info.uuid == info.uuid { Ok(target) } else { Err(dropped()) }
            }
            _ => Err(dropped()),
        }
    }

    /// Where a view's rows are. Errors: UNKNOWN_STREAM when its target was dropped in spite of it.
    pub fn target(&self, view: &MaterializedView) -> Result<Arc<Stream>> {
        let (database, name) = &view.target;
        match self.existing(database, name)? {
            Object::Stream(stream) => Ok(Arc::clone(stream)),
            _ => Err(Error::new(Code::UNKNOWN_STREAM, format!("target {database}.{name} is no stream any more"))),
        }
    }

    /// A view as its readers see it: the stream that has its rows, under the name of the view.
    pub fn view_stream(&self, view: &MaterializedView) -> Option<Arc<StreamInfo>> {
        let target = self.target(view).ok()?;
        Some(Arc::new(StreamInfo {
            database: Arc::clone(&view.info.database),
            name: Arc::clone(&view.info.name),
            engine: Arc::from("MaterializedView"),
            comment: view.info.comment.clone(),
            ..(*target.info).clone()
        }))
    }

    /// All materialized views.
    pub fn views(&self) -> impl Iterator<Item = &Arc<MaterializedView>> {
        self.databases.values().flat_map(|db| db.objects.values()).filter_map(|o| match o {
            Object::MaterializedView(view) => Some(view),
            _ => None,
        })
    }

    /// Names of the views that read `database.name` or write to it.
    pub fn dependents(&self, database: &str, name: &str) -> Vec<String> {
        let is = |(d, n): &(Arc<str>, Arc<str>)| &**d == database && &**n == name;
        let reads = |all: &[(Arc<str>, Arc<str>)]| all.iter().any(is);
        let all = self.databases.values().flat_map(|db| db.objects.iter().map(move |(n, o)| (db, n, o)));
        all.filter_map(|(db, n, o)| match o {
            Object::View(v) if reads(&v.reads) => Some(format!("{}.{n}", db.name)),
            Object::MaterializedView(v) if reads(&v.reads) || is(&v.target) => Some(format!("{}.{n}", db.name)),
            _ => None,
        })
        .collect()
    }
}

/// The name that differs from `wanted` in at most a third of its letters, if there is one.
pub fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close_enough = wanted.chars().count() / 3;
    names
        .filter(|n| *n != wanted)
        .map(|n| (distance(wanted, n), n))
        .filter(|(d, _)| *d <= close_enough.max(1))
        .min()
        .map(|(_, n)| n)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The current state. Readers clone an `Arc`; DDL holds the change lock for its time.
#[derive(Default)]
pub struct Catalog {
    state: RwLock<Arc<CatalogState>>,
    change: tokio::sync::Mutex<()>,
}

impl Catalog {
    pub fn snapshot(&self) -> Arc<CatalogState> {
        Arc::clone(&self.state.read())
    }

    /// Keeps other DDL out until the guard is dropped.
    pub async fn lock_changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.change.lock().await
    }

    /// Makes `edit` of the current state the next one. Call it with the change lock held.
    pub fn update(&self, edit: impl FnOnce(&mut CatalogState)) {
        let mut state = self.state.write();
        let mut next = (**state).clone();
        edit(&mut next);
        *state = Arc::new(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_close() {
        assert_eq!(nearest("flihgts", ["flights", "trips"].into_iter()), Some("flights"));
        assert_eq!(nearest("flights", ["devices"].into_iter()), None);
    }
}
