//! The catalog as the binder sees it, for the time of one statement.

use super::given::GivenTable;
use super::object::{FunctionBody, Object};
use super::state::CatalogState;
use super::temporary::Temporary;
use crate::engine::Inner;
use crate::grounds::{Grounds, Reader};
use crate::statement::permit;
use crate::system;
use hydron_access::Enabled;
use hydron_base::world::WallTime;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_format::FormatOptions;
use hydron_func::Registry;
use hydron_plan::{Catalog, DictionaryInfo, Plan, Source, StreamInfo, StreamKind};
use hydron_sql::ast::StatementKind;
use hydron_types::{Batch, JsonShape, Value};
use parking_lot::Mutex;
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
    /// What the user may do.
    pub access: Arc<Enabled>,
    /// Whose rights these are, and what they have permitted.
    pub reader: Reader,
    pub grounds: Arc<Grounds>,
    /// Sources that were named so far, each with whoever reads it: what the plan takes of them is checked once it is known.
    pub reads: Arc<Mutex<Vec<Read>>>,
}

/// A source that a statement names.
#[derive(Clone)]
pub struct Read {
    pub database: Arc<str>,
    pub name: Arc<str>,
    /// The user of the statement, or the owner of a view.
    pub reader: Arc<Enabled>,
    pub as_reader: Reader,
    /// A view: what it reads is its owner's matter.
    pub is_view: bool,
}

impl Catalog for Lookup {
    fn current_database(&self) -> &str {
        &self.database
    }

    fn database_exists(&self, name: &str) -> bool {
        let is_own = name == system::DATABASE || system::information_schema::is_database(name);
        is_own || self.state.databases.contains_key(name)
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
        if let Some(view) = system::information_schema::view(database, name) {
            return Some(Source::View(view));
        }
        Some(match self.state.object(database, name)? {
            Object::Stream(s) => Source::Stream(Arc::clone(&s.info)),
            Object::View(v) => Source::View(Arc::clone(&v.info)),
            Object::MaterializedView(v) => Source::Stream(self.state.view_stream(v)?),
        })
    }

    fn opened(&self, source: &Source, reader: Option<&str>) -> Result<Option<String>> {
        let (reader, as_reader) = match reader {
            Some(owner) => {
                let enabled = self.engine.access.enabled(owner, None);
                let reader = Reader::of(&enabled, None);
                (enabled, reader)
            }
            None => (Arc::clone(&self.access), self.reader.clone()),
        };
        let (database, name, is_view) = match source {
            // What it reads says by itself what is shown to whom.
            Source::View(view) if system::information_schema::is_database(&view.database) => return Ok(None),
            Source::View(view) => (&view.database, &view.name, true),
            Source::Stream(info) if self.given.iter().any(|g| g.info.uuid == info.uuid) => return Ok(None),
            Source::Stream(info) => match info.kind {
                StreamKind::System => return permit::system_table(&reader, &info.name).map(|()| None),
                StreamKind::Function => return Ok(None),
                _ => (&info.database, &info.name, false),
            },
        };
        let condition = reader.row_filter(database, name);
        self.grounds.rows(&as_reader, database, name, condition.clone());
        let read = Read { database: Arc::clone(database), name: Arc::clone(name), reader, as_reader, is_view };
        self.reads.lock().push(read);
        Ok(condition)
    }

    fn assumptions(&self, database: &str, name: &str) -> Vec<String> {
        let Some(stream) = self.state.object(database, name).and_then(Object::as_stream) else { return Vec::new() };
        let parsed = hydron_sql::parse_statement(&stream.create_text).map(|p| p.statement.kind);
        let Ok(StatementKind::CreateStream(create)) = parsed else { return Vec::new() };
        let constraints = create.elements.iter().flat_map(|e| &e.constraints).filter(|c| c.assume);
        constraints.map(|c| c.expr.to_string()).collect()
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
        if system::information_schema::is_database(database) {
            return system::information_schema::table_names();
        }
        let names = self.state.databases.get(database).map(|db| db.objects.keys().map(|n| n.to_string()).collect());
        names.unwrap_or_default()
    }

    fn table_function(&self, name: &str, args: &[Value]) -> Result<Option<Arc<StreamInfo>>> {
        let options = FormatOptions::from_settings(&self.settings, crate::statement::zone(&self.settings));
        // Before anything outside is asked.
        permit::table_function(&self.access, name)?;
        crate::stream::file::table_function(&self.engine, &options, name, args)
    }

    fn sql_function(&self, name: &str) -> Option<String> {
        match &self.state.functions.get(name)?.body {
            FunctionBody::Lambda(lambda) => Some(lambda.clone()),
            FunctionBody::Code(_) => None,
        }
    }

    fn user_functions(&self) -> Arc<Registry> {
        Arc::clone(&self.state.user_functions)
    }

    fn json_shape(&self, stream: &StreamInfo, column: &str) -> Option<Arc<JsonShape>> {
        self.engine.streams.get(stream.uuid)?.json_shape(column)
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
        permit::reads(self, Some(plan))?;
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
