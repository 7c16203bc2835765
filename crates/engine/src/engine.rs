//! The engine: everything of one data directory, open.
//!
//! In: options. Out: answers to statements. Promise: what it acknowledged is there after any stop; closing it waits for
//! queries only as long as it is told to.

use crate::catalog::record;
use crate::catalog::{Catalog, Database, FormatSchema, Function, Object, View};
use crate::checkpoint::Keepers;
use crate::external;
use crate::options::EngineOptions;
use crate::outcome::{InsertOutcome, Outcomes};
use crate::query::{Input, Queries, QueryOptions, Running};
use crate::session::Session;
use crate::stack;
use crate::statement;
use crate::stream::json_types;
use crate::stream::streams::fault_hook;
use crate::stream::transfer;
use crate::stream::{Stream, Streams};
use crate::view::Views;
use bytes::Bytes;
use hydron_access::{Access, Directory, Enabled, Entity};
use hydron_base::world::WallTime;
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_board::Board;
use hydron_format::format_schema::SchemaKind;
use hydron_plan::ViewInfo;
use hydron_store::catalog::{CatalogOptions, CatalogStore, Entry};
use hydron_store::checkpoint::CheckpointStore;
use hydron_store::lock::{DirLock, server_uuid};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The database that always exists.
pub const DEFAULT_DATABASE: &str = "default";

/// Whoever names no user.
pub const DEFAULT_USER: &str = "default";

/// Proton's revision that this server stands for, written to the status file.
pub const REVISION: &str = "23";

/// Name of the threads that compute.
pub const CPU_NAME: &str = "compute";

/// A step of a query may take tens of milliseconds, and a query that is asked meanwhile would wait for its end where there is one
/// thread for each core. With two more the kernel shares the cores out.
const THREADS_BEYOND_CORES: usize = 2;

/// Threads that open logs at a start. More than cores, since they wait for the disk.
const OPEN_THREADS_MAX: usize = 8;

/// Where queries put rows for which memory does not suffice.
pub const SPILL_DIRECTORY: &str = "tmp";

/// What an INSERT gets to end by itself when the engine closes: a slow one is told to come again.
const INSERT_PATIENCE: Duration = Duration::from_millis(500);

#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What all parts of the engine share.
pub struct Inner {
    pub options: EngineOptions,
    pub catalog: Catalog,
    pub catalog_store: CatalogStore,
    /// Users, roles and what they may do.
    pub access: Arc<Access>,
    /// Rises with each change of them.
    pub access_changes: tokio::sync::watch::Sender<u64>,
    pub queries: Arc<Queries>,
    pub streams: Streams,
    /// Queries that outlive their server.
    pub checkpoints: Arc<CheckpointStore>,
    pub keepers: Keepers,
    pub views: Views,
    /// What external streams have read and written.
    pub external: Arc<external::Counters>,
    pub cpu: CpuRuntime,
    pub started: WallTime,
    /// What all queries together may hold.
    pub memory: Arc<Budget>,
    pub server_uuid: Uuid,
    /// Settings of every session, under its own.
    pub profile: Settings,
    closing: AtomicBool,
    outcomes: Outcomes,
    lock: Mutex<Option<DirLock>>,
}

/// Threads that compute. Dropping it does not wait for them.
pub struct CpuRuntime(Option<Runtime>);

impl CpuRuntime {
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.0.as_ref().expect("the runtime is taken only in drop").handle()
    }
}

impl Drop for CpuRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Makes what every engine of this process needs and no data is needed for, so that opening one takes less time.
pub fn warm_up() {
    hydron_func::registry::Registry::builtin();
}

impl Engine {
    /// Opens the data directory: locks it, recovers logs, loads the catalog.
    ///
    /// Errors: CANNOT_OPEN_FILE when another server has it, DATA_CORRUPTION when acknowledged bytes cannot be read.
    pub fn open(options: EngineOptions) -> Result<Engine> {
        let dir = options.data_dir.clone();
        std::fs::create_dir_all(&dir).map_err(|e| {
            Error::new(Code::CANNOT_OPEN_FILE, format!("cannot create directory {}: {e}", dir.display()))
        })?;
        let started = options.clock.now();
        let lock = match options.lock {
            true => Some(DirLock::take(&dir, &statement::text::utc(started), REVISION)?),
            false => None,
        };
        if let Some(left) = lock.as_ref().and_then(DirLock::left_behind) {
            tracing::info!("the previous server on this directory did not stop gracefully: {}", left.trim());
        }
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = if options.cpu_threads == 0 { cores + THREADS_BEYOND_CORES } else { options.cpu_threads };
        let cpu = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(CPU_NAME)
            .thread_stack_size(stack::BYTES)
            .on_thread_start(stack::prepare)
            .enable_all()
            .build()
            .map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start computing threads: {e}")))?;
        let cpu = CpuRuntime(Some(cpu));
        let inner = Arc::new(Inner {
            catalog: Catalog::default(),
            catalog_store: CatalogStore::open(&dir.join("catalog"), catalog_options())?,
            access: Arc::default(),
            access_changes: tokio::sync::watch::Sender::new(0),
            queries: Arc::new(Queries::new(Arc::clone(&options.clock), options.queries_max)),
            streams: Streams::open(&options, cpu.handle().clone())?,
            checkpoints: Arc::new(CheckpointStore::new(&options.checkpoint_dir())),
            keepers: Keepers::default(),
            views: Views::default(),
            external: Arc::default(),
            cpu,
            started,
            memory: Budget::server(memory_limit(&options), Board::current().map(|b| &b.worker().memory_tracked)),
            server_uuid: server_uuid(&dir)?,
            profile: options.profile.clone(),
            closing: AtomicBool::new(false),
            outcomes: Outcomes::default(),
            lock: Mutex::new(lock),
            options,
        });
        inner.streams.belong_to(&inner);
        inner.load()?;
        let weak = Arc::downgrade(&inner);
        inner.access.watch(move || {
            if let Some(inner) = weak.upgrade() {
                inner.queries.end_unpermitted(&inner.access);
                inner.access_changes.send_modify(|n| *n += 1);
            }
        });
        let left = set_spilled_aside(&dir);
        // Queries that spill put their files here; two that start at once would both try to make it.
        let spilled = dir.join(SPILL_DIRECTORY);
        std::fs::create_dir_all(&spilled).map_err(|e| {
            Error::new(Code::CANNOT_OPEN_FILE, format!("cannot create directory {}: {e}", spilled.display()))
        })?;
        inner.cpu.handle().spawn_blocking(move || {
            crate::crash_report::prune(&dir);
            // What stays now is removed at the next start.
            left.iter().for_each(|dir| drop(std::fs::remove_dir_all(dir)));
        });
        for view in inner.catalog.snapshot().views() {
            inner.views.start(&inner, view);
        }
        let options = &inner.options.checkpoint;
        let every = options.last_access_check_interval.min(options.delete_grace_interval);
        inner.cpu.handle().spawn(crate::checkpoint::sweeper::run(Arc::downgrade(&inner), every));
        Ok(Engine { inner })
    }

    pub fn session(&self, user: &str, database: &str) -> Session {
        let database = if database.is_empty() { DEFAULT_DATABASE } else { database };
        Session::new(user, database)
    }

    /// Runs one statement. `text` may go on with the data of an INSERT; what follows that in `input` is data too.
    ///
    /// The answer begins when this returns: rows are taken with [`Running::next`]. A SET or USE changes `session`.
    pub async fn execute(
        &self,
        session: &mut Session,
        text: impl Into<Bytes>,
        input: Input,
        options: QueryOptions,
    ) -> Result<Running> {
        if self.inner.closing.load(Ordering::Acquire) {
            return Err(crate::query::stopping());
        }
        statement::execute(&self.inner, session, text.into(), input, options).await
    }

    /// Users, roles and what they may do.
    pub fn access(&self) -> &Arc<Access> {
        &self.inner.access
    }

    /// What the user of a session may do now.
    pub fn enabled(&self, session: &Session) -> Arc<Enabled> {
        self.inner.access.enabled(&session.user, session.roles.as_deref())
    }

    /// Roles by name, for a query of this session alone.
    ///
    /// Errors: UNKNOWN_ROLE (511), SET_NON_GRANTED_ROLE (512).
    pub fn roles_of(&self, session: &Session, names: &[String]) -> Result<BTreeSet<Uuid>> {
        statement::access::roles_by_name(&self.enabled(session), names)
    }

    /// Whether a session may be in a database. Errors: UNKNOWN_DATABASE (81).
    pub fn check_database(&self, name: &str) -> Result<()> {
        match name == crate::system::DATABASE {
            true => Ok(()),
            false => self.inner.catalog.snapshot().database(name).map(drop),
        }
    }

    pub fn queries(&self) -> &Arc<Queries> {
        &self.inner.queries
    }

    pub fn options(&self) -> &EngineOptions {
        &self.inner.options
    }

    pub fn server_uuid(&self) -> Uuid {
        self.inner.server_uuid
    }

    pub fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// What became of an INSERT of the worker before, which died before it answered. Reads the log: call it on a thread
    /// that may block.
    pub fn insert_outcome(&self, query: &hydron_board::Query) -> InsertOutcome {
        let stream = Uuid::from_slice(&query.stream.bytes()).unwrap_or_default();
        let store = self.inner.streams.get(stream);
        let queries = Board::current().map_or(&[][..], |b| b.used_queries());
        let others = queries.iter().filter(|q| q.is_orphaned() && q.kind() == hydron_board::Kind::Insert);
        let earliest = others.map(|q| q.started_us()).min().unwrap_or(i64::MAX);
        self.inner.outcomes.of(query, store.as_deref(), earliest)
    }

    /// Refuses new statements, ends the running ones with SERVER_STOPPING and waits for them, then syncs and closes the
    /// logs. An INSERT gets a moment to end by itself. Returns how many queries had not ended at the deadline.
    pub async fn close(&self, patience: Duration) -> usize {
        self.inner.closing.store(true, Ordering::Release);
        let flush = (patience / 2).min(self.inner.options.checkpoint.teardown_flush_timeout);
        let late = self.inner.keepers.flush(flush).await;
        if late > 0 {
            tracing::info!(
                "{late} queries go on from an earlier checkpoint: their last one was not written in {flush:?}"
            );
        }
        self.inner.views.close(patience).await;
        let running = self.inner.queries.running();
        let (inserts, others): (Vec<_>, Vec<_>) = running.iter().partition(|q| q.is_bounded_insert());
        others.iter().for_each(|q| q.stop());
        let ended = futures::future::join_all(inserts.iter().map(|q| q.wait_ended()));
        let _ = tokio::time::timeout(INSERT_PATIENCE.min(patience), ended).await;
        inserts.iter().for_each(|q| q.stop());
        let all = futures::future::join_all(running.iter().map(|q| q.wait_ended()));
        let _ = tokio::time::timeout(patience, all).await;
        let left = self.inner.queries.running().len();
        let inner = Arc::clone(&self.inner);
        // The flusher is joined here: a plain thread may wait for it.
        let closed = tokio::task::spawn_blocking(move || inner.streams.close());
        if tokio::time::timeout(patience, closed).await.is_err() {
            tracing::warn!("logs were not closed within {patience:?}");
        }
        self.inner.lock.lock().take();
        left
    }
}

impl Inner {
    /// Fills the catalog from disk and opens the logs of its streams.
    fn load(self: &Arc<Inner>) -> Result<()> {
        let (types, entries): (Vec<_>, Vec<_>) =
            self.catalog_store.list().into_iter().partition(|e| e.kind == record::JSON_TYPES);
        let (transfers, entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.kind == record::TRANSFER);
        let mut known = Vec::new();
        let mut loaded = Vec::new();
        let mut entities = Vec::new();
        known.extend(entries.iter().filter(|e| e.kind == record::STREAM).map(|e| e.uuid));
        for entry in self.load_entries(&entries) {
            loaded.push(entry?);
        }
        transfer::recover(self, &transfers)?;
        self.streams.recovered();
        self.streams.drop_unknown(&known)?;
        let of_known: HashSet<Uuid> = known.iter().map(|uuid| json_types::id_of(*uuid)).collect();
        for gone in types.iter().filter(|t| !of_known.contains(&t.uuid)) {
            self.catalog_store.remove(gone.uuid)?;
        }
        let mut orphans = Vec::new();
        let mut directory = Directory::default();
        directory.replace_file(vec![Entity::owner(DEFAULT_USER)]);
        let scripts = self.options.user_scripts.as_deref();
        self.catalog.update(|state| {
            let mut functions = Vec::new();
            for (database, name, object) in loaded {
                match object {
                    Loaded::Database(db) => {
                        state.databases.insert(Arc::clone(&db.name), db);
                    }
                    Loaded::Object(object) => match state.databases.get_mut(&database) {
                        Some(db) => drop(db.objects.insert(name, object)),
                        None => orphans.push(format!("{database}.{name}")),
                    },
                    Loaded::Function(f) => {
                        functions.push(f);
                    }
                    Loaded::FormatSchema(schema) => state.format_schemas.push(Arc::new(schema)),
                    Loaded::Access(entity) => entities.push(entity),
                }
            }
            state.edit_functions(scripts, |all| all.extend(functions.into_iter().map(|f| (Arc::clone(&f.name), f))));
        });
        for entity in entities {
            // A user of the file may have taken the name meanwhile; that of SQL waits until it is free.
            if let Err(e) = directory.put(entity) {
                tracing::warn!("{}", e.message);
            }
        }
        self.access.set(directory);
        if !orphans.is_empty() {
            return Err(Error::bug(format!("the catalog has no database for: {}", orphans.join(", "))));
        }
        if !self.catalog.snapshot().databases.contains_key(DEFAULT_DATABASE) {
            statement::database::create(self, DEFAULT_DATABASE, "")?;
        }
        Ok(())
    }

    /// Loads all entries on several threads: most of the time of a start goes by in waiting for files to be synced. They come
    /// back in their order, in which a database stands before what is in it.
    fn load_entries(self: &Arc<Inner>, entries: &[Entry]) -> Vec<Result<(Arc<str>, Arc<str>, Loaded)>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut loaded = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(at) else { return loaded };
                loaded.push((at, self.load_entry(entry)));
            }
        };
        let mut loaded = std::thread::scope(|scope| {
            // A thread that cannot be started is not missed: this one takes all that is left.
            let others: Vec<_> = (1..entries.len().min(OPEN_THREADS_MAX))
                .filter_map(|_| {
                    let thread = std::thread::Builder::new().name("open".to_owned()).stack_size(stack::BYTES);
                    thread.spawn_scoped(scope, work).ok()
                })
                .collect();
            let mut loaded = work();
            for other in others {
                loaded.extend(other.join().unwrap_or_else(|panic| vec![(0, Err(Error::panicked(&*panic)))]));
            }
            loaded
        });
        loaded.sort_by_key(|(at, _)| *at);
        loaded.into_iter().map(|(_, entry)| entry).collect()
    }

    fn load_entry(self: &Arc<Inner>, entry: &Entry) -> Result<(Arc<str>, Arc<str>, Loaded)> {
        let mut properties = entry.properties.clone();
        let field = |name: &str| Arc::<str>::from(properties.get(name).and_then(|v| v.as_str()).unwrap_or_default());
        let (database, name) = (field("database"), field("name"));
        let stored = properties.get_mut("object").map(serde_json::Value::take).unwrap_or_default();
        let loaded = match entry.kind.as_str() {
            record::DATABASE => Loaded::Database(Database {
                name: Arc::clone(&name),
                uuid: entry.uuid,
                engine: Arc::from("Atomic"),
                comment: stored.as_str().unwrap_or_default().to_string(),
                objects: Default::default(),
            }),
            record::STREAM => {
                let (info, layouts) = record::stream(&database, &name, entry.uuid, stored)?;
                let stream = Stream::open_with(self, info, entry.text.clone(), layouts)?;
                Loaded::Object(Object::Stream(stream))
            }
            record::VIEW => {
                let view = record::view_record(&name, stored)?;
                let info = ViewInfo {
                    database: Arc::clone(&database),
                    name: Arc::clone(&name),
                    uuid: entry.uuid,
                    select: view.select,
                    columns: view.columns.into_iter().map(Arc::from).collect(),
                    comment: view.comment,
                    owner: view.owner.map(Arc::from),
                };
                let reads = view.reads.into_iter().map(|(d, n)| (Arc::from(d), Arc::from(n))).collect();
                Loaded::Object(Object::View(Arc::new(View {
                    info: Arc::new(info),
                    create_text: entry.text.clone(),
                    reads,
                    dictionary: None,
                })))
            }
            record::DICTIONARY => {
                let view = record::dictionary(&database, &name, entry.uuid, entry.text.clone(), stored)?;
                Loaded::Object(Object::View(Arc::new(view)))
            }
            record::MATERIALIZED_VIEW => {
                let view = record::materialized_view(&database, &name, entry.uuid, entry.text.clone(), stored)?;
                Loaded::Object(Object::MaterializedView(Arc::new(view)))
            }
            record::FUNCTION => Loaded::Function(record::function(&name, entry.uuid, entry.text.clone(), stored)?),
            record::FORMAT_SCHEMA => {
                let text = |name: &str| stored.get(name).and_then(|v| v.as_str()).unwrap_or_default();
                Loaded::FormatSchema(FormatSchema {
                    name: Arc::clone(&name),
                    uuid: entry.uuid,
                    kind: SchemaKind::parse(text("type"))?,
                    source: text("source").to_string(),
                })
            }
            record::ACCESS => {
                let entity = serde_json::from_value(stored).map_err(|e| {
                    let message = format!("catalog entry of {} cannot be read: {e}", entry.name);
                    Error::new(Code::CORRUPTED_DATA, message)
                })?;
                Loaded::Access(entity)
            }
            other => {
                let message =
                    format!("catalog entry {} has kind '{other}', which this version does not know", entry.name);
                return Err(Error::new(Code::BAD_VERSION, message).hint("start the version that wrote it"));
            }
        };
        Ok((database, name, loaded))
    }

    /// A catalog entry of ours: where it belongs and what it is, beside the CREATE text.
    pub fn entry(kind: &str, uuid: Uuid, database: &str, name: &str, text: &str, object: serde_json::Value) -> Entry {
        let full = if database.is_empty() { name.to_string() } else { format!("{database}.{name}") };
        Entry {
            kind: kind.to_string(),
            uuid,
            name: full,
            text: text.to_string(),
            properties: serde_json::json!({ "database": database, "name": name, "object": object }),
        }
    }
}

fn catalog_options() -> CatalogOptions {
    let failed = Board::current().is_some_and(|b| b.worker().has_disk_fault());
    CatalogOptions { reads_device: failed, on_fault: Some(fault_hook()) }
}

/// Directories of rows that queries of earlier servers have spilled, under names that nobody uses any more.
fn set_spilled_aside(data_dir: &Path) -> Vec<PathBuf> {
    let spilled = data_dir.join(SPILL_DIRECTORY);
    if spilled.exists() {
        let aside = data_dir.join(format!("{SPILL_DIRECTORY}.{}", Uuid::new_v4()));
        // It stays where it is if it cannot be renamed, and only takes room.
        let _ = std::fs::rename(&spilled, aside);
    }
    let prefix = format!("{SPILL_DIRECTORY}.");
    let entries = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix)).map(|e| e.path()).collect()
}

/// The configured limit, or 90 % of the memory that the machine has and the control group leaves; 8 GiB where neither can
/// be read.
fn memory_limit(options: &EngineOptions) -> u64 {
    if options.memory_bytes_max > 0 {
        return options.memory_bytes_max;
    }
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let machine = line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).map(|kib: u64| kib * 1024);
    // "max" where there is no limit.
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|t| t.trim().parse().ok());
    machine.into_iter().chain(group).min().map_or(8 << 30, |bytes: u64| bytes / 10 * 9)
}

enum Loaded {
    Database(Database),
    Object(Object),
    Function(Function),
    FormatSchema(FormatSchema),
    Access(Entity),
}
