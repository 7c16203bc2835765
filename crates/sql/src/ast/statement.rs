//! Statements: everything that can be sent to the server.

use super::*;

/// One statement with what follows any statement: INTO OUTFILE, FORMAT, SETTINGS.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub kind: StatementKind,
    pub output: Output,
    pub span: Span,
}

/// `[INTO OUTFILE 'f' [COMPRESSION 'c']] [FORMAT f] [SETTINGS …]` at the end of a statement.
///
/// SETTINGS directly inside a SELECT belong to that [`Select`]; only those after FORMAT (or after a statement that is
/// not a query) stand here. INSERT keeps its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    pub outfile: Option<Outfile>,
    pub format: Option<String>,
    pub settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Outfile {
    pub path: String,
    pub compression: Option<String>,
    pub level: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    Query(Box<Query>),
    Insert(Box<Insert>),
    CreateStream(Box<CreateStream>),
    CreateView(Box<CreateView>),
    CreateMaterializedView(Box<CreateMaterializedView>),
    CreateDatabase(Box<CreateDatabase>),
    CreateDictionary(Box<CreateDictionary>),
    CreateFunction(Box<CreateFunction>),
    CreateFormatSchema(Box<CreateFormatSchema>),
    /// `ATTACH STREAM s` without a definition is a [`CreateStream`] with `attach` and nothing else.
    Drop(DropObjects),
    Alter(Box<Alter>),
    Rename(Rename),
    Optimize(Optimize),
    Check {
        name: ObjectName,
        partition: Option<Partition>,
    },
    Exists(Exists),
    Show(Box<Show>),
    Describe(Describe),
    Explain(Box<Explain>),
    Use(String),
    Set(Vec<Setting>),
    SetRole(SetRole),
    Kill(Kill),
    System(System),
    SubscribeTo(Box<Query>),
    RecoverFrom(String),
    UnsubscribeTo(String),
    Access(Box<AccessEntity>),
    DropAccess(DropAccess),
    Grant(Box<Grant>),
    /// BEGIN TRANSACTION, COMMIT, ROLLBACK, upper case.
    Transaction(String),
    /// A statement that the grammar knows and the engine does not run: BACKUP, RESTORE, WATCH, CREATE TASK and so on.
    Other(Other),
}

/// `name` says which, upper case (`BACKUP`, `CREATE TASK`); `text` is the whole statement, its tokens joined by spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    pub name: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    pub target: InsertTarget,
    /// Identifiers, `*`, `* EXCEPT(…)`, COLUMNS; empty when no list was written.
    pub columns: Vec<Expr>,
    pub partition_by: Option<Expr>,
    pub settings: Vec<Setting>,
    pub infile: Option<Infile>,
    pub source: InsertSource,
    /// `INSERT … SELECT … FROM input(…) FORMAT f`: the format of the rows that `input` reads.
    pub input_format: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum InsertTarget {
    Stream(ObjectName),
    Function(Box<Function>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Infile {
    pub path: String,
    pub compression: Option<String>,
}

/// Where the rows come from. The rows of `Values` and `Format` are not part of the tree: see `Parsed::insert_data`.
#[derive(Clone, Debug, PartialEq)]
pub enum InsertSource {
    /// `VALUES`, and `FORMAT Values`
    Values,
    Format(String),
    Select(Box<Query>),
    /// Nothing written: the format comes with the data.
    None,
}

/// DROP, DETACH, TRUNCATE of anything but access entities.
#[derive(Clone, Debug, PartialEq)]
pub struct DropObjects {
    pub verb: DropVerb,
    pub object: DropObject,
    pub temporary: bool,
    pub if_exists: bool,
    pub if_empty: bool,
    pub names: Vec<ObjectName>,
    pub on_cluster: Option<String>,
    pub permanently: bool,
    /// NO DELAY, SYNC
    pub sync: bool,
    /// The type of a format schema.
    pub schema_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropVerb {
    Drop,
    Detach,
    Truncate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropObject {
    Stream,
    ExternalTable,
    View,
    Dictionary,
    Database,
    Function,
    FormatSchema,
}

/// RENAME and EXCHANGE.
#[derive(Clone, Debug, PartialEq)]
pub struct Rename {
    pub exchange: bool,
    pub object: RenameObject,
    pub if_exists: bool,
    pub pairs: Vec<(ObjectName, ObjectName)>,
    pub on_cluster: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenameObject {
    Stream,
    View,
    Dictionary,
    Database,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Optimize {
    pub name: ObjectName,
    pub on_cluster: Option<String>,
    pub partition: Option<Partition>,
    pub is_final: bool,
    pub deduplicate: bool,
    /// DEDUPLICATE BY columns
    pub by: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exists {
    pub object: ShowObject,
    pub temporary: bool,
    pub name: ObjectName,
}

/// The kind named after EXISTS, SHOW CREATE; `Any` when none was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShowObject {
    Any,
    Stream,
    View,
    Dictionary,
    Database,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    Databases(ShowFilter),
    /// SHOW [TEMPORARY] [FULL] STREAMS [FROM db]
    Streams {
        temporary: bool,
        full: bool,
        from: Option<String>,
        filter: ShowFilter,
    },
    Dictionaries {
        from: Option<String>,
        filter: ShowFilter,
    },
    Functions(ShowFilter),
    Settings {
        changed: bool,
        filter: ShowFilter,
    },
    Clusters(ShowFilter),
    Cluster(String),
    ProcessList,
    FormatSchemas {
        ty: Option<String>,
    },
    Create {
        object: ShowObject,
        temporary: bool,
        name: ObjectName,
    },
    CreateFormatSchema {
        name: String,
        ty: Option<String>,
    },
    CreateFunction(String),
    CreateAccess {
        kind: AccessKind,
        names: Vec<AccessName>,
    },
    Grants {
        of: Option<RoleSet>,
    },
    /// SHOW USERS, ROLES, CURRENT ROLES, ENABLED ROLES, PROFILES, QUOTAS, CURRENT QUOTA, ROW POLICIES, ACCESS,
    /// PRIVILEGES, TASKS, MERGES, ENGINES, upper case, with the object of ON.
    List {
        what: String,
        on: Option<ObjectName>,
    },
}

/// `[NOT] LIKE|ILIKE 'p'`, `WHERE e`, `LIMIT n`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShowFilter {
    pub like: Option<LikePattern>,
    pub filter: Option<Expr>,
    pub limit: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LikePattern {
    pub not: bool,
    pub case_insensitive: bool,
    pub pattern: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Describe {
    pub target: TableExpr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    pub kind: ExplainKind,
    pub settings: Vec<Setting>,
    pub target: ExplainTarget,
}

/// `Plan` also when no kind was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExplainKind {
    Ast,
    Syntax,
    QueryTree,
    Plan,
    Pipeline,
    Estimate,
    TableOverride,
    CurrentTransaction,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExplainTarget {
    Statement(Box<Statement>),
    /// TABLE OVERRIDE f(…) …, and CURRENT TRANSACTION (empty)
    Text(String),
}

/// `KILL QUERY|MUTATION|… WHERE e [SYNC|ASYNC|TEST]`
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    pub what: KillObject,
    pub on_cluster: Option<String>,
    pub filter: Expr,
    pub mode: KillMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KillObject {
    Query,
    Mutation,
    PartMoveToShard,
    Transaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KillMode {
    Async,
    Sync,
    Test,
}

/// `SYSTEM FLUSH LOGS`, `SYSTEM STOP MERGES db.s`, `SYSTEM PAUSE MATERIALIZED VIEW v`.
#[derive(Clone, Debug, PartialEq)]
pub struct System {
    /// Upper case words, joined by one space: `FLUSH LOGS`, `STOP MERGES`.
    pub command: String,
    pub on_cluster: Option<String>,
    pub target: Option<ObjectName>,
    /// What follows the target, or stands in its place: strings, numbers, words.
    pub args: Vec<Expr>,
}

/// DROP USER, ROLE, QUOTA, ROW POLICY, SETTINGS PROFILE
#[derive(Clone, Debug, PartialEq)]
pub struct DropAccess {
    pub kind: AccessKind,
    pub if_exists: bool,
    pub names: Vec<AccessName>,
    pub on_cluster: Option<String>,
}
