//! CREATE (and ATTACH): streams, views, databases, dictionaries, functions, format schemas and what 3.x added.

use super::{Expr, Function, ObjectName, Query, Setting, Span, TypeName};

/// `CREATE [RANDOM|EXTERNAL] STREAM`, `CREATE EXTERNAL TABLE`, `CREATE TEMPORARY STREAM`, `ATTACH STREAM`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateStream {
    pub attach: bool,
    pub or_replace: bool,
    pub temporary: bool,
    pub kind: StreamKind,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub uuid: Option<String>,
    pub on_cluster: Option<String>,
    /// `ATTACH … FROM 'path'`
    pub attach_from: Option<String>,
    /// Columns, indexes, constraints, projections. `None` when no list was written.
    pub elements: Option<TableElements>,
    /// `AS other`, `AS function(…)` or `AS SELECT …`
    pub source: Option<CreateSource>,
    pub storage: Storage,
    pub comment: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StreamKind {
    #[default]
    Stream,
    Random,
    ExternalStream,
    ExternalTable,
    /// 3.x `CREATE MUTABLE STREAM`
    Mutable,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CreateSource {
    /// The structure (and engine) of another stream.
    Like(ObjectName),
    /// The structure of a table function.
    Function(Box<Function>),
    Select(Box<Query>),
    /// `AS $$ … $$`: the code of a 3.x python external stream.
    Code(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableElements {
    pub columns: Vec<ColumnDef>,
    pub indexes: Vec<IndexDef>,
    pub constraints: Vec<ConstraintDef>,
    pub projections: Vec<ProjectionDef>,
    /// `PRIMARY KEY …` inside the list.
    pub primary_key: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Dotted for nested columns: `n.a`.
    pub name: String,
    /// Absent when the default gives the type.
    pub ty: Option<TypeName>,
    /// `NULL` is true, `NOT NULL` false.
    pub nullable: Option<bool>,
    pub default: Option<ColumnDefault>,
    pub comment: Option<String>,
    /// The arguments of `CODEC(…)`: identifiers and calls.
    pub codec: Vec<Expr>,
    pub ttl: Option<Expr>,
    pub collation: Option<String>,
    /// `PRIMARY KEY` after the column.
    pub primary_key: bool,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefault {
    pub kind: DefaultKind,
    /// Absent only for EPHEMERAL.
    pub expr: Option<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DefaultKind {
    Default,
    Materialized,
    Alias,
    Ephemeral,
}

#[derive(Clone, Debug, PartialEq)]
pub struct IndexDef {
    pub name: String,
    pub expr: Expr,
    pub ty: Expr,
    pub granularity: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ConstraintDef {
    pub name: String,
    /// ASSUME instead of CHECK.
    pub assume: bool,
    pub expr: Expr,
}

/// `PROJECTION name (SELECT … [GROUP BY …] [ORDER BY …])`; the query has no FROM.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionDef {
    pub name: String,
    pub query: Box<Query>,
}

/// Everything between the column list and AS. Clauses may come in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Storage {
    pub engine: Option<Function>,
    pub partition_by: Option<Expr>,
    pub primary_key: Option<Expr>,
    pub order_by: Option<Expr>,
    pub sample_by: Option<Expr>,
    pub ttl: Vec<TtlElement>,
    pub settings: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TtlElement {
    pub expr: Expr,
    pub action: TtlAction,
    pub filter: Option<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TtlAction {
    /// Nothing said, or `DELETE`.
    Delete,
    ToDisk(String),
    ToVolume(String),
    Recompress(Vec<Expr>),
    GroupBy {
        keys: Vec<Expr>,
        set: Vec<Assignment>,
    },
}

/// `column = expr`
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub column: String,
    pub expr: Expr,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    pub attach: bool,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub uuid: Option<String>,
    pub on_cluster: Option<String>,
    pub columns: Option<TableElements>,
    pub query: Box<Query>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateMaterializedView {
    pub attach: bool,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub uuid: Option<String>,
    pub on_cluster: Option<String>,
    /// `INTO [db.]target` (`TO` is accepted too)
    pub into: Option<ObjectName>,
    /// `INTO INNER UUID '…'`
    pub into_inner_uuid: Option<String>,
    pub columns: Option<TableElements>,
    /// Engine and keys of the hidden target, as ClickHouse allows them.
    pub storage: Storage,
    pub populate: bool,
    pub query: Box<Query>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateDatabase {
    pub attach: bool,
    pub if_not_exists: bool,
    pub name: String,
    pub uuid: Option<String>,
    pub on_cluster: Option<String>,
    pub engine: Option<Function>,
    pub settings: Vec<Setting>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateDictionary {
    pub attach: bool,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: ObjectName,
    pub uuid: Option<String>,
    pub on_cluster: Option<String>,
    pub attributes: Vec<DictionaryAttribute>,
    pub primary_key: Vec<String>,
    pub source: Option<DictionaryBlock>,
    /// `LIFETIME(max)`, `LIFETIME(MIN a MAX b)`
    pub lifetime: Option<(u64, u64)>,
    pub layout: Option<DictionaryBlock>,
    /// `RANGE(MIN a MAX b)`
    pub range: Option<(String, String)>,
    pub settings: Vec<Setting>,
    pub comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryAttribute {
    pub name: String,
    pub ty: TypeName,
    pub default: Option<Expr>,
    pub expression: Option<Expr>,
    pub hierarchical: bool,
    pub injective: bool,
    pub is_object_id: bool,
}

/// `CLICKHOUSE(HOST 'h' PORT 9000 …)`, `HASHED()`
#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryBlock {
    pub name: String,
    pub entries: Vec<DictionaryEntry>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryEntry {
    pub key: String,
    pub value: DictionaryValue,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DictionaryValue {
    Expr(Expr),
    /// `KEY (…)`: nested key-value pairs.
    Nested(Vec<DictionaryEntry>),
    None,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateFunction {
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: String,
    pub on_cluster: Option<String>,
    pub body: FunctionBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FunctionBody {
    /// `AS (x, y) -> …`; another expression is kept as it is and refused later.
    Sql(Expr),
    /// `LANGUAGE JAVASCRIPT|PYTHON AS $$ … $$`
    Code(CodeFunction),
    /// `CREATE REMOTE FUNCTION`
    Remote(RemoteFunction),
    /// `CREATE EXECUTABLE FUNCTION`
    Executable(ExecutableFunction),
}

#[derive(Clone, Debug, PartialEq)]
pub struct CodeFunction {
    pub aggregate: bool,
    pub args: Vec<FunctionArg>,
    pub returns: TypeName,
    pub language: FunctionLanguage,
    pub source: String,
    pub settings: Vec<Setting>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionLanguage {
    JavaScript,
    Python,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FunctionArg {
    pub name: String,
    pub ty: TypeName,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RemoteFunction {
    pub args: Vec<FunctionArg>,
    pub returns: TypeName,
    pub url: String,
    /// `none` or `auth_header`, as written.
    pub auth_method: Option<String>,
    pub auth_header: Option<String>,
    pub auth_key: Option<String>,
    pub execution_timeout_ms: Option<u64>,
}

/// A program, run for each batch of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutableFunction {
    pub args: Vec<FunctionArg>,
    pub returns: TypeName,
    /// A file and its arguments, between spaces.
    pub command: String,
    pub format: Option<String>,
    pub execution_timeout_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CreateFormatSchema {
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub name: String,
    pub source: String,
    pub ty: String,
}
