//! The catalog as the binder sees it, for the time of one statement.

use super::given::GivenTable;
use super::object::Object;
use super::state::CatalogState;
use super::temporary::Temporary;
use crate::engine::Inner;
use crate::system;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_plan::{Catalog, DictionaryInfo, Plan, Source, StreamInfo};
use hydron_types::{Batch, Value};
use std::any::Any;
use std::sync::Arc;

/// One snapshot of the catalog in one database.
#[derive(Clone)]
pub struct Lookup {
    pub engine: Arc<Inner>,
    pub state: Arc<CatalogState>,
    pub database: Arc<str>,
    pub user: Arc<str>,
    pub settings: Arc<Settings>,
    /// What the statement may hold.
    pub memory: Arc<Budget>,
    /// Tables that came with the statement.
    pub given: Arc<[GivenTable]>,
    /// Streams of the session, which `state` has in a database of their own.
    pub temporary: Temporary,
}

impl Catalog for Lookup {
    fn current_database(&self) -> &str {
        &self.database
    }

    fn database_exists(&self, name: &str) -> bool {
        self.state.databases.contains_key(name) || name == system::DATABASE
    }

    fn source(&self, database: &str, name: &str) -> Option<Source> {
        if *database == *self.database
            && let Some(given) = self.given.iter().find(|g| &*g.info.name == name)
        {
            return Some(Source::Stream(Arc::clone(&given.info)));
        }
        if database == system::DATABASE {
            return system::table(name).map(Source::Stream);
        }
        Some(match self.state.object(database, name)? {
            Object::Stream(s) => Source::Stream(Arc::clone(&s.info)),
            Object::View(v) => Source::View(Arc::clone(&v.info)),
            Object::MaterializedView(v) => Source::Stream(self.state.view_stream(v)?),
        })
    }

    fn session_source(&self, name: &str) -> Option<Source> {
        self.temporary.get(name).map(|s| Source::Stream(Arc::clone(&s.info)))
    }

    fn rows_of(&self, info: &StreamInfo) -> Option<u64> {
        let stream = self.state.stream_of(info).ok()?;
        let store = stream.store()?;
        let parts: u64 = store.parts.snapshot().manifest().parts.iter().map(|p| p.rows).sum();
        Some(parts + store.pending_rows())
    }

    fn dictionary(&self, database: &str, name: &str) -> Option<Arc<DictionaryInfo>> {
        match self.state.object(database, name)? {
            Object::View(view) => view.dictionary.clone(),
            _ => None,
        }
    }

    fn source_names(&self, database: &str) -> Vec<String> {
        if database == system::DATABASE {
            return system::table_names();
        }
        let names = self.state.databases.get(database).map(|db| db.objects.keys().map(|n| n.to_string()).collect());
        names.unwrap_or_default()
    }

    fn table_function(&self, name: &str, args: &[Value]) -> Result<Option<Arc<StreamInfo>>> {
        crate::stream::file::table_function(&self.engine, name, args)
    }

    fn sql_function(&self, name: &str) -> Option<String> {
        self.state.functions.get(name).map(|f| f.lambda.clone())
    }

    fn reserve(&self, bytes: usize) -> Result<Arc<dyn Any + Send + Sync>> {
        Ok(Arc::new(self.memory.reserve(bytes)?))
    }

    fn now(&self) -> WallTime {
        self.engine.options.clock.now()
    }

    /// Runs on the thread that binds, which is one that may block.
    fn run_subquery(&self, plan: &Plan, rows_max: usize) -> Result<Vec<Batch>> {
        use futures::StreamExt;
        let handle = self.engine.cpu.handle().clone();
        handle.block_on(async {
            let mut run = crate::statement::select::run_history(self, plan.clone(), None)?;
            let mut batches = Vec::new();
            let mut rows = 0;
            while let Some(batch) = run.next().await {
                let batch = batch?;
                rows += batch.rows();
                if rows > rows_max {
                    let message = format!("a subquery returned more than {rows_max} rows");
                    return Err(Error::new(Code::TOO_MANY_ROWS_OR_BYTES, message));
                }
                batches.push(batch);
            }
            Ok(batches)
        })
    }
}
