//! A running query, and the list of all of them.
//!
//! In: options of one query. Out: its items (batches, totals, extremes) until the end, an error, a KILL or a deadline.
//! Promise: dropping a [`Running`] ends the query and frees what it held; an id runs once at a time; nothing waits
//! without a deadline when `max_execution_time` is set.

use crate::catalog::{GivenScalar, GivenTable};
use crate::grounds::Grounds;
use crate::meter::Meter;
use crate::place::Place;
use crate::session::Session;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use hydron_access::Access;
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_board::{Kind, Mark, Phase};
use hydron_sql::secret::{Secrets, mask_start};
use hydron_types::{Batch, Schema};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Finished queries kept for `system.query_log`; each is about a kilobyte.
const QUERY_LOG_MAX: usize = 10_000;

/// Bytes of a query text kept in `system.query_log` and `system.processes`.
pub(crate) const QUERY_TEXT_MAX: usize = 16 << 10;

/// Bytes of a query text whose secrets are taken out of errors.
const SECRETS_TEXT_MAX: usize = 64 << 10;

/// What a front end says about one query beside its text.
#[derive(Clone, Debug, Default)]
pub struct QueryOptions {
    /// Empty: the engine makes one.
    pub query_id: String,
    /// Settings for this query alone.
    pub settings: Settings,
    /// `http`, `tcp`, `rest`, `local`: for the query log.
    pub interface: &'static str,
    pub client_address: String,
    /// By which a quota KEYED BY client_key is counted.
    pub quota_key: String,
    /// The board's place of the connection that waits for the answer.
    pub connection: Option<usize>,
    /// Tables that this query alone sees.
    pub given: Arc<[GivenTable]>,
    /// Values that it names.
    pub scalars: Arc<[GivenScalar]>,
}

/// Bytes of INSERT data as they arrive.
#[async_trait]
pub trait ByteSource: Send {
    /// The next piece, `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>>;

    /// Every row read from it is on its way to the disk, and no error of the rows themselves can come any more.
    fn submitted(&mut self) {}
}

/// What comes with a statement: data of an INSERT.
pub enum Input {
    None,
    /// Text or binary data in the format that the INSERT names (or `default_format`).
    Bytes(Box<dyn ByteSource>),
    /// Batches that a protocol has decoded already; column names are in their schema.
    Batches(BoxStream<'static, Result<Batch>>),
}

/// One piece of an answer.
#[derive(Clone, Debug)]
pub enum Item {
    Rows(Batch),
    /// WITH TOTALS: one row, after all rows.
    Totals(Batch),
    /// `extremes`: the least and the greatest values, two rows.
    Extremes(Batch),
}

/// Live counters of a query; read by progress lines, headers and `system.processes`.
#[derive(Debug, Default)]
pub struct Progress {
    pub read_rows: AtomicU64,
    pub read_bytes: AtomicU64,
    /// 0: not known.
    pub total_rows: AtomicU64,
    pub written_rows: AtomicU64,
    pub written_bytes: AtomicU64,
    pub result_rows: AtomicU64,
    pub result_bytes: AtomicU64,
    /// Rows that a bounded query would have without its LIMIT, as far as it has read; `None`: it has none.
    pub rows_before_limit: Mutex<Option<u64>>,
}

impl Progress {
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// What is known of a query while it runs.
pub struct QueryInfo {
    pub query_id: Arc<str>,
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Without its secrets, and cut after some kilobytes.
    pub text: Arc<str>,
    pub secrets: Secrets,
    pub interface: &'static str,
    pub client_address: String,
    pub started: WallTime,
    pub started_at: Instant,
    pub progress: Arc<Progress>,
    pub cancel: CancellationToken,
    /// The server ends it because it stops itself.
    stopped: AtomicBool,
    /// Why it was ended, where it was neither its client nor a KILL.
    ended_by: OnceLock<Error>,
    /// What it was permitted on.
    pub grounds: Arc<Grounds>,
    /// `Select`, `Insert`, `Create`, …
    pub kind: Mutex<&'static str>,
    pub streaming: std::sync::atomic::AtomicBool,
    pub settings: Mutex<Arc<Settings>>,
    /// Names of streams it reads or writes: dropping one ends the query.
    pub uses: Mutex<Vec<(Arc<str>, Arc<str>)>>,
    /// A streaming query's operators, as EXPLAIN PIPELINE has them.
    pub pipeline: Mutex<Arc<str>>,
    /// Counters of a streaming query's operators.
    pub flow: Mutex<Option<Arc<hydron_flow::QueryProgress>>>,
    memory: OnceLock<Arc<Budget>>,
    /// Tables that came with it.
    pub given: Arc<[GivenTable]>,
    /// Values that did.
    pub scalars: Arc<[GivenScalar]>,
    /// Where a supervisor sees it; work that goes on when the query has ended keeps it.
    pub place: Option<Place>,
    /// Of a stream that can go on elsewhere: the rows handed over hold everything before this sequence number; -1: not known.
    complete_before: AtomicI64,
    /// Columns that an INSERT of batches expects.
    pub insert_header: Mutex<Option<Arc<Schema>>>,
    /// What its user has left, counted while it runs.
    pub quota: OnceLock<Meter>,
    ended: tokio::sync::watch::Sender<bool>,
}

impl QueryInfo {
    /// What threads wear that work for it.
    pub fn mark(&self) -> Mark {
        self.place.as_ref().map_or(Mark::NONE, |p| p.mark())
    }

    /// Ends it because the server stops. A query that was killed before has been killed.
    pub fn stop(&self) {
        if !self.cancel.is_cancelled() {
            self.stopped.store(true, Ordering::Release);
            self.cancel.cancel();
        }
    }

    /// The error as the client is to see it: an end that the stop of the server brought says so.
    pub(crate) fn told(&self, error: Error) -> Error {
        let error = self.without_secrets(error);
        let ended = matches!(error.code, Code::QUERY_WAS_CANCELLED | Code::ABORTED);
        match self.ended_by.get() {
            _ if !ended => error,
            _ if self.stopped.load(Ordering::Acquire) => stopping(),
            Some(why) => why.clone(),
            None => error,
        }
    }

    /// Ends it with this error.
    pub fn end_with(&self, why: Error) {
        if !self.cancel.is_cancelled() {
            let _ = self.ended_by.set(why);
            self.cancel.cancel();
        }
    }

    /// An INSERT that ends by itself if it is let.
    pub fn is_bounded_insert(&self) -> bool {
        *self.kind.lock() == "Insert" && !self.streaming.load(Ordering::Relaxed)
    }

    /// What it may hold, once its settings are known.
    pub fn memory(&self) -> Arc<Budget> {
        Arc::clone(self.memory.get_or_init(|| Budget::alone(0)))
    }

    pub fn memory_used(&self) -> u64 {
        self.memory.get().map_or(0, |m| m.used())
    }

    pub(crate) fn set_memory(&self, memory: Arc<Budget>) {
        // Set once, before anything asks for it.
        let _ = self.memory.set(memory);
    }

    pub fn set_phase(&self, phase: Phase) {
        if let Some(place) = &self.place {
            place.query().set_phase(phase);
        }
    }

    /// What a client loses when the server dies now.
    pub fn set_loss(&self, kind: Kind) {
        if let Some(place) = &self.place {
            place.query().set_kind(kind);
        }
    }

    /// A stream begins at this sequence number: whoever is told nothing else can go on from there.
    pub fn begin_at(&self, sequence: i64) {
        if let Some(connection) = self.place.as_ref().and_then(Place::connection) {
            connection.set_resume(sequence);
        }
    }

    pub fn set_complete_before(&self, sequence: i64) {
        self.complete_before.store(sequence, Ordering::Release);
    }

    /// Waits until the query has freed what it held.
    pub async fn wait_ended(&self) {
        let mut ended = self.ended.subscribe();
        // An error means the sender is gone, which is an end too.
        let _ = ended.wait_for(|e| *e).await;
    }

    /// An error that may quote the statement, fit to be shown and kept.
    pub fn without_secrets(&self, mut error: Error) -> Error {
        if !self.secrets.is_empty() {
            error.message = self.secrets.hide(&error.message).into_owned();
            error.hint = error.hint.map(|hint| self.secrets.hide(&hint).into_owned());
        }
        error
    }
}

/// The answer to whoever asks while the server stops.
pub(crate) fn stopping() -> Error {
    Error::new(Code::SERVER_STOPPING, "the server is stopping").hint("connect again in a moment")
}

/// A finished query, for `system.query_log`.
#[derive(Clone, Debug)]
pub struct QueryRecord {
    pub query_id: Arc<str>,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub text: Arc<str>,
    pub interface: &'static str,
    pub client_address: String,
    pub kind: &'static str,
    pub started: WallTime,
    pub duration_ms: u64,
    pub read_rows: u64,
    pub read_bytes: u64,
    pub written_rows: u64,
    pub written_bytes: u64,
    pub result_rows: u64,
    pub result_bytes: u64,
    pub uses: Vec<(Arc<str>, Arc<str>)>,
    pub settings: Arc<Settings>,
    pub streaming: bool,
    pub error: Option<Error>,
}

/// Running and finished queries of one engine.
pub struct Queries {
    running: Mutex<HashMap<Arc<str>, Arc<QueryInfo>>>,
    finished: Mutex<VecDeque<QueryRecord>>,
    /// Count, last message and time of each error code.
    errors: Mutex<HashMap<Code, (u64, String, WallTime)>>,
    clock: Arc<dyn Clock>,
    running_max: usize,
    pub total: AtomicU64,
}

impl Queries {
    pub fn new(clock: Arc<dyn Clock>, running_max: usize) -> Queries {
        Queries {
            running: Mutex::default(),
            finished: Mutex::default(),
            errors: Mutex::default(),
            clock,
            running_max,
            total: AtomicU64::new(0),
        }
    }

    /// Enters a query. Errors: 216 when the id is running, 202 when too many queries are.
    pub fn start(self: &Arc<Self>, session: &Session, text: &str, options: &QueryOptions) -> Result<QueryGuard> {
        let query_id: Arc<str> = match options.query_id.as_str() {
            "" => Arc::from(uuid::Uuid::new_v4().to_string()),
            id => Arc::from(id),
        };
        let started = self.clock.now();
        let place = Place::take(&query_id, session, text, options, started.0);
        let cut = text.floor_char_boundary(QUERY_TEXT_MAX.min(text.len()));
        let seen = text.floor_char_boundary(SECRETS_TEXT_MAX.min(text.len()));
        let (kept, secrets) = mask_start(&text[..seen], cut);
        let info = Arc::new(QueryInfo {
            query_id: Arc::clone(&query_id),
            user: Arc::clone(&session.user),
            database: Arc::clone(&session.database),
            text: Arc::from(kept),
            secrets,
            interface: options.interface,
            client_address: options.client_address.clone(),
            started,
            started_at: Instant::now(),
            progress: Arc::default(),
            cancel: CancellationToken::new(),
            stopped: AtomicBool::new(false),
            ended_by: OnceLock::new(),
            grounds: Arc::default(),
            kind: Mutex::new(""),
            streaming: false.into(),
            settings: Mutex::default(),
            uses: Mutex::default(),
            pipeline: Mutex::default(),
            flow: Mutex::default(),
            memory: OnceLock::new(),
            given: Arc::clone(&options.given),
            scalars: Arc::clone(&options.scalars),
            place,
            complete_before: AtomicI64::new(-1),
            insert_header: Mutex::default(),
            quota: OnceLock::new(),
            ended: tokio::sync::watch::Sender::new(false),
        });
        let mut running = self.running.lock();
        if let Some(other) = running.get(&query_id) {
            if !session.settings.bool("replace_running_query") && !options.settings.bool("replace_running_query") {
                return Err(Error::new(
                    Code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING,
                    format!("query with id '{query_id}' is already running"),
                ));
            }
            other.cancel.cancel();
        }
        if running.len() >= self.running_max {
            return Err(Error::new(
                Code::TOO_MANY_SIMULTANEOUS_QUERIES,
                format!("{} queries run already, the limit is {}", running.len(), self.running_max),
            ));
        }
        running.insert(query_id, Arc::clone(&info));
        self.total.fetch_add(1, Ordering::Relaxed);
        Ok(QueryGuard { queries: Arc::clone(self), info, error: None, completed: false })
    }

    pub fn running(&self) -> Vec<Arc<QueryInfo>> {
        let mut all: Vec<_> = self.running.lock().values().cloned().collect();
        all.sort_by_key(|q| q.started);
        all
    }

    pub fn get(&self, query_id: &str) -> Option<Arc<QueryInfo>> {
        self.running.lock().get(query_id).cloned()
    }

    pub fn finished(&self) -> Vec<QueryRecord> {
        self.finished.lock().iter().cloned().collect()
    }

    pub fn errors(&self) -> Vec<(Code, u64, String, WallTime)> {
        let mut all: Vec<_> = self.errors.lock().iter().map(|(c, (n, m, t))| (*c, *n, m.clone(), *t)).collect();
        all.sort_by_key(|(c, ..)| *c);
        all
    }

    /// Ends every query that would not be permitted now, or would see other rows.
    pub fn end_unpermitted(&self, access: &Access) {
        for query in self.running() {
            if let Err(why) = query.grounds.check(access) {
                tracing::info!("query {} of {} ends: {}", query.query_id, query.user, why.message);
                query.end_with(why);
            }
        }
    }

    /// Ends every query that reads or writes `database.name`.
    pub fn cancel_users_of(&self, database: &str, name: &str) {
        for query in self.running() {
            if query.uses.lock().iter().any(|(d, n)| &**d == database && &**n == name) {
                query.cancel.cancel();
            }
        }
    }
}

/// The presence of one query in the list; leaving it writes the query log.
pub struct QueryGuard {
    queries: Arc<Queries>,
    pub info: Arc<QueryInfo>,
    error: Option<Error>,
    /// It came to its end, and without an error.
    completed: bool,
}

impl QueryGuard {
    pub fn note_error(&mut self, error: &Error) {
        self.error.get_or_insert_with(|| error.clone());
    }
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        let info = &self.info;
        info.cancel.cancel();
        {
            let mut running = self.queries.running.lock();
            // A query that replaced this one under the same id stays.
            if running.get(&info.query_id).is_some_and(|q| Arc::ptr_eq(q, info)) {
                running.remove(&info.query_id);
            }
        }
        let now = self.queries.clock.now();
        if let Some(meter) = info.quota.get() {
            meter.finish(&info.progress, info.started_at.elapsed(), self.error.is_some());
        }
        if let Some(e) = &self.error {
            let mut errors = self.queries.errors.lock();
            let entry = errors.entry(e.code).or_insert((0, String::new(), now));
            *entry = (entry.0 + 1, e.message.clone(), now);
        }
        if info.settings.lock().bool("log_queries") {
            let record = QueryRecord {
                query_id: Arc::clone(&info.query_id),
                user: Arc::clone(&info.user),
                database: Arc::clone(&info.database),
                text: Arc::clone(&info.text),
                interface: info.interface,
                client_address: info.client_address.clone(),
                kind: *info.kind.lock(),
                started: info.started,
                duration_ms: info.started_at.elapsed().as_millis() as u64,
                read_rows: Progress::get(&info.progress.read_rows),
                read_bytes: Progress::get(&info.progress.read_bytes),
                written_rows: Progress::get(&info.progress.written_rows),
                written_bytes: Progress::get(&info.progress.written_bytes),
                result_rows: Progress::get(&info.progress.result_rows),
                result_bytes: Progress::get(&info.progress.result_bytes),
                uses: info.uses.lock().clone(),
                settings: Arc::clone(&info.settings.lock()),
                streaming: info.streaming.load(Ordering::Relaxed),
                error: self.error.take(),
            };
            let mut finished = self.queries.finished.lock();
            if finished.len() == QUERY_LOG_MAX {
                finished.pop_front();
            }
            finished.push_back(record);
        }
        if let Some(place) = &info.place {
            place.leave_connection(self.completed);
        }
        info.ended.send_replace(true);
    }
}

/// A query that has begun. Take its items with [`Running::next`]; drop it to end it.
pub struct Running {
    pub query_id: Arc<str>,
    /// Columns of the answer; `None` for a statement without one.
    pub schema: Option<Arc<Schema>>,
    /// FORMAT of the query, if it names one.
    pub format: Option<String>,
    /// Session, query and SETTINGS together.
    pub settings: Arc<Settings>,
    pub streaming: bool,
    pub progress: Arc<Progress>,
    pub started_at: Instant,
    // Order matters: the items (and all that makes them) go before the guard says that the query has ended.
    items: BoxStream<'static, Result<Item>>,
    limit: ResultLimit,
    deadline: Option<tokio::time::Instant>,
    guard: QueryGuard,
    done: bool,
}

/// A place in a stream, on its way to the client with the rows before it.
#[derive(Clone, Copy)]
pub struct Resume {
    connection: &'static hydron_board::Connection,
    from: i64,
}

impl Resume {
    /// To be called when the last of these rows is handed over to be written, and nothing after it is.
    pub fn hand_over(self) {
        self.connection.will_resume_from(self.from);
    }
}

/// `max_result_rows` and `max_result_bytes`, counted at the door.
struct ResultLimit {
    rows_max: u64,
    bytes_max: u64,
    throw: bool,
    rows: u64,
    bytes: u64,
}

impl Running {
    pub(crate) fn new(
        guard: QueryGuard,
        settings: Arc<Settings>,
        schema: Option<Arc<Schema>>,
        format: Option<String>,
        streaming: bool,
        items: BoxStream<'static, Result<Item>>,
    ) -> Running {
        let seconds = settings.float("max_execution_time");
        let deadline = (seconds > 0.0).then(|| {
            let left = Duration::from_secs_f64(seconds.min(1e9)).saturating_sub(guard.info.started_at.elapsed());
            tokio::time::Instant::now() + left
        });
        let limit = ResultLimit {
            rows_max: settings.uint("max_result_rows"),
            bytes_max: settings.uint("max_result_bytes"),
            throw: settings.text("result_overflow_mode") == "throw",
            rows: 0,
            bytes: 0,
        };
        guard.info.streaming.store(streaming, Ordering::Relaxed);
        guard.info.set_phase(Phase::Run);
        Running {
            query_id: Arc::clone(&guard.info.query_id),
            schema,
            format,
            settings,
            streaming,
            progress: Arc::clone(&guard.info.progress),
            started_at: guard.info.started_at,
            items,
            limit,
            deadline,
            guard,
            done: false,
        }
    }

    /// The next item; `None` at the end. After an error or the end it stays `None`.
    ///
    /// Errors: the query's own; QUERY_WAS_CANCELLED (394) after KILL; SERVER_STOPPING (2903) when the server stops;
    /// TIMEOUT_EXCEEDED (159) at the deadline.
    pub async fn next(&mut self) -> Result<Option<Item>> {
        if self.done {
            return Ok(None);
        }
        let cancelled = self.guard.info.cancel.clone();
        let deadline = self.deadline;
        let timeout = async move {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let next = AssertUnwindSafe(self.guard.info.mark().on(self.items.next())).catch_unwind();
        let item = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Error::new(Code::QUERY_WAS_CANCELLED, "query was cancelled")),
            item = next => match item {
                Ok(item) => item.transpose(),
                Err(panic) => Err(Error::panicked(&*panic)),
            },
            () = timeout => Err(self.timed_out()),
        };
        self.take(item)
    }

    fn timed_out(&self) -> Error {
        let limit = self.settings.float("max_execution_time");
        Error::new(Code::TIMEOUT_EXCEEDED, format!("the query ran for {limit} s, the limit max_execution_time"))
    }

    fn take(&mut self, item: Result<Option<Item>>) -> Result<Option<Item>> {
        match item {
            Ok(Some(Item::Rows(batch))) => self.count(batch),
            Ok(None) if let Some(e) = self.over_quota() => self.take(Err(e)),
            Ok(None) => {
                self.guard.completed = true;
                // A limit on the result counts the rows that come to it, as LIMIT does.
                if self.limit.rows_max > 0 {
                    self.progress.rows_before_limit.lock().get_or_insert(self.limit.rows);
                }
                self.finish();
                Ok(None)
            }
            Ok(other) => Ok(other),
            Err(e) => {
                let e = self.guard.info.told(e);
                self.guard.note_error(&e);
                self.finish();
                Err(e)
            }
        }
    }

    fn count(&mut self, batch: Batch) -> Result<Option<Item>> {
        let limit = &mut self.limit;
        let bytes = batch.bytes();
        limit.rows += batch.rows() as u64;
        limit.bytes += bytes as u64;
        let over_rows = limit.rows_max > 0 && limit.rows > limit.rows_max;
        // Nothing is asked for once the limit is reached; `break` keeps the batch that crosses it whole, as ClickHouse does.
        let is_full = !limit.throw && limit.rows_max > 0 && limit.rows >= limit.rows_max;
        if over_rows || is_full || (limit.bytes_max > 0 && limit.bytes > limit.bytes_max) {
            if limit.throw {
                let most = match over_rows {
                    true => format!("max_result_rows = {} rows", limit.rows_max),
                    false => format!("max_result_bytes = {} bytes", limit.bytes_max),
                };
                let text = format!("the result has more than {most}");
                return self.take(Err(Error::new(Code::TOO_MANY_ROWS_OR_BYTES, text)));
            }
            self.finish();
        }
        Progress::add(&self.progress.result_rows, batch.rows());
        Progress::add(&self.progress.result_bytes, bytes);
        match self.over_quota() {
            Some(e) => self.take(Err(e)),
            None => Ok(Some(Item::Rows(batch))),
        }
    }

    /// Counts what the query has used since the last time.
    fn over_quota(&self) -> Option<Error> {
        let info = &self.guard.info;
        info.quota.get()?.progress(&info.progress, info.started_at.elapsed()).err()
    }

    /// Frees what makes items, early: the answer is complete or will not be.
    fn finish(&mut self) {
        self.done = true;
        let items = std::mem::replace(&mut self.items, futures::stream::empty().boxed());
        let _entered = self.guard.info.mark().enter();
        // A destructor that panics must not take the connection with it; the answer is not wrong because of it.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(items))) {
            tracing::error!("query {} ended, but: {}", self.query_id, Error::panicked(&*panic).message);
        }
    }

    /// What a thread wears that works on the answer, so that a fault there is told to this query.
    pub fn mark(&self) -> Mark {
        self.guard.info.mark()
    }

    /// Where the client of a stream can go on when it has the items so far.
    pub fn resume(&self) -> Option<Resume> {
        let from = Some(self.guard.info.complete_before.load(Ordering::Acquire)).filter(|from| *from >= 0)?;
        Some(Resume { connection: self.guard.info.place.as_ref()?.connection()?, from })
    }

    /// Columns that an INSERT of batches expects, without those that fill themselves; `None` for other statements.
    pub fn insert_header(&self) -> Option<Arc<Schema>> {
        self.guard.info.insert_header.lock().clone()
    }

    /// Ends the query from outside, as KILL does.
    pub fn cancel_token(&self) -> CancellationToken {
        self.guard.info.cancel.clone()
    }

    /// Notes an error that the front end met while it sent the answer.
    pub fn note_error(&mut self, error: &Error) {
        self.guard.note_error(error);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            self.finish();
        }
    }
}
