//! What the binder asks of the outside: streams, views, databases, table functions, answers of subqueries.

use crate::dictionary::DictionaryInfo;
use crate::node::Plan;
use hydron_base::Result;
use hydron_base::world::{Clock, SystemClock, WallTime};
use hydron_func::Registry;
use hydron_types::{Batch, JsonShape, LogicalType, Value};
use std::any::Any;
use std::sync::Arc;
use uuid::Uuid;

/// The outside as the binder sees it: one consistent state for the time of one statement.
pub trait Catalog: Send + Sync {
    fn current_database(&self) -> &str;

    fn database_exists(&self, name: &str) -> bool;

    /// A stream, table or view by name.
    fn source(&self, database: &str, name: &str) -> Option<Source>;

    /// A source is read for `reader`: the owner of the view that names it, or whoever asks. Returns the condition on its rows
    /// that a row policy sets, as SQL text.
    ///
    /// Errors: ACCESS_DENIED (497).
    fn opened(&self, source: &Source, reader: Option<&str>) -> Result<Option<String>> {
        let _ = (source, reader);
        Ok(None)
    }

    /// Conditions that every row of a stream is assumed to satisfy, as SQL text.
    fn assumptions(&self, database: &str, name: &str) -> Vec<String> {
        let _ = (database, name);
        Vec::new()
    }

    /// A stream that the session alone sees, by its name without a database.
    fn session_source(&self, name: &str) -> Option<Source> {
        let _ = name;
        None
    }

    /// About how many rows a table has.
    fn rows_of(&self, info: &StreamInfo) -> Option<u64> {
        let _ = info;
        None
    }

    /// A dictionary by name; its rows are those of the view of that name.
    fn dictionary(&self, database: &str, name: &str) -> Option<Arc<DictionaryInfo>> {
        let _ = (database, name);
        None
    }

    /// Names of all sources of a database, for hints.
    fn source_names(&self, database: &str) -> Vec<String>;

    /// A table function that the binder does not know itself (`file`, `url`, …), with its constant arguments.
    /// `None`: there is no such function.
    fn table_function(&self, name: &str, args: &[Value]) -> Result<Option<Arc<StreamInfo>>>;

    /// The text `(x, y) -> expr` of a function made by CREATE FUNCTION.
    fn sql_function(&self, name: &str) -> Option<String>;

    /// The functions made by CREATE FUNCTION whose code is not SQL. Names of built-in functions in it mean those.
    fn user_functions(&self) -> Arc<Registry> {
        Arc::default()
    }

    /// Runs a bounded plan to its end: the answer of a scalar subquery or of an IN set. `rows_max` bounds the answer;
    /// more rows than that is an error of the implementer's choice.
    fn run_subquery(&self, plan: &Plan, rows_max: usize) -> Result<Vec<Batch>>;

    /// What the documents of a json column of a stream have in common; `None`: nothing is known of them.
    fn json_shape(&self, _stream: &StreamInfo, _column: &str) -> Option<Arc<JsonShape>> {
        None
    }

    /// Counts what a plan keeps beside its batches as memory of the statement, until the answer is dropped.
    fn reserve(&self, bytes: usize) -> Result<Arc<dyn Any + Send + Sync>> {
        let _ = bytes;
        Ok(Arc::new(()))
    }

    /// Wall time at the start of the statement: constants such as `now() - 1h` are worked out with it.
    fn now(&self) -> WallTime {
        SystemClock.now()
    }
}

#[derive(Clone, Debug)]
pub enum Source {
    Stream(Arc<StreamInfo>),
    View(Arc<ViewInfo>),
}

/// A stream or table as its users see it. A value: it does not change while a plan holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    pub database: Arc<str>,
    pub name: Arc<str>,
    pub uuid: Uuid,
    pub kind: StreamKind,
    pub mode: StreamMode,
    /// Declared columns in order, then `_tp_time` and for changelog modes `_tp_delta`.
    pub columns: Vec<ColumnInfo>,
    /// Column names of the primary key of a keyed stream.
    pub primary_key: Vec<Arc<str>>,
    /// The expressions as written; empty: none.
    pub order_by: String,
    pub partition_by: String,
    pub version_column: Option<Arc<str>>,
    pub shards: u32,
    /// Expression that chooses the shard of a row; empty: whole batches in turn.
    pub sharding_expr: String,
    pub engine: Arc<str>,
    /// The arguments of the engine, as SQL.
    pub engine_args: Vec<String>,
    /// The sampling key as written; empty: none.
    pub sample_by: String,
    pub settings: Vec<(Arc<str>, String)>,
    pub comment: String,
}

impl StreamInfo {
    pub fn column(&self, name: &str) -> Option<(usize, &ColumnInfo)> {
        self.columns.iter().enumerate().find(|(_, c)| &*c.name == name)
    }

    /// Whether a plain `FROM name` reads without end.
    pub fn can_stream(&self) -> bool {
        matches!(self.kind, StreamKind::Stream | StreamKind::Random | StreamKind::External)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A log and its history.
    Stream,
    /// Rows in a table engine (`Memory`, `MergeTree`): stored as a stream, read as a table.
    Table,
    /// Rows made up at a rate.
    Random,
    /// Rows that others keep: messages of a topic, lines of files.
    External,
    /// A table of the server's own state.
    System,
    /// The result of a table function such as `file`.
    Function,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamMode {
    Append,
    Changelog,
    ChangelogKv,
    VersionedKv,
}

impl StreamMode {
    pub fn name(self) -> &'static str {
        match self {
            StreamMode::Append => "append",
            StreamMode::Changelog => "changelog",
            StreamMode::ChangelogKv => "changelog_kv",
            StreamMode::VersionedKv => "versioned_kv",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnInfo {
    pub name: Arc<str>,
    pub ty: LogicalType,
    pub default: ColumnDefault,
    pub comment: String,
    pub codec: String,
    pub ttl: String,
}

impl ColumnInfo {
    pub fn new(name: impl Into<Arc<str>>, ty: LogicalType) -> ColumnInfo {
        ColumnInfo {
            name: name.into(),
            ty,
            default: ColumnDefault::None,
            comment: String::new(),
            codec: String::new(),
            ttl: String::new(),
        }
    }

    /// Whether the column has values in the store (an ALIAS is computed on read, an EPHEMERAL exists only in an INSERT).
    pub fn is_stored(&self) -> bool {
        !matches!(self.default, ColumnDefault::Alias(_) | ColumnDefault::Ephemeral(_))
    }
}

/// Where a value comes from that an INSERT does not give; the expression as SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnDefault {
    None,
    Default(String),
    Materialized(String),
    Alias(String),
    Ephemeral(Option<String>),
}

/// A view: a macro that is bound anew at each use.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewInfo {
    pub database: Arc<str>,
    pub name: Arc<str>,
    pub uuid: Uuid,
    /// The SELECT as text.
    pub select: String,
    /// Column names given in CREATE VIEW; empty: as the SELECT names them.
    pub columns: Vec<Arc<str>>,
    pub comment: String,
    /// With whose rights it reads; `None`: with those of whoever reads it.
    pub owner: Option<Arc<str>>,
}
