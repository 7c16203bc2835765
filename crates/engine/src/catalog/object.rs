//! What a name of the catalog stands for.

use crate::stream::Stream;
use hydron_base::Settings;
use hydron_plan::{DictionaryInfo, StreamInfo, ViewInfo};
use hydron_udf::Definition;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use uuid::Uuid;

#[derive(Clone)]
pub enum Object {
    Stream(Arc<Stream>),
    View(Arc<View>),
    MaterializedView(Arc<MaterializedView>),
}

impl Object {
    pub fn uuid(&self) -> Uuid {
        match self {
            Object::Stream(s) => s.info.uuid,
            Object::View(v) => v.info.uuid,
            Object::MaterializedView(v) => v.info.uuid,
        }
    }

    pub fn create_text(&self) -> &str {
        match self {
            Object::Stream(s) => &s.create_text,
            Object::View(v) => &v.create_text,
            Object::MaterializedView(v) => &v.create_text,
        }
    }

    pub fn as_stream(&self) -> Option<&Arc<Stream>> {
        match self {
            Object::Stream(s) => Some(s),
            Object::View(_) | Object::MaterializedView(_) => None,
        }
    }

    pub fn as_materialized(&self) -> Option<&Arc<MaterializedView>> {
        match self {
            Object::MaterializedView(view) => Some(view),
            Object::Stream(_) | Object::View(_) => None,
        }
    }

    pub fn stream_info(&self) -> Option<&Arc<StreamInfo>> {
        self.as_stream().map(|s| &s.info)
    }
}

/// A view with what it reads, so that a source cannot be dropped under it.
pub struct View {
    pub info: Arc<ViewInfo>,
    pub create_text: String,
    /// Database and name of the streams and views it names.
    pub reads: Vec<(Arc<str>, Arc<str>)>,
    /// Of a view that is asked by key.
    pub dictionary: Option<Arc<DictionaryInfo>>,
}

/// A view whose rows are stored as they come: a query that always runs, and the stream it writes to.
pub struct MaterializedView {
    pub info: Arc<ViewInfo>,
    pub create_text: String,
    /// Database and name of the streams and views it names.
    pub reads: Vec<(Arc<str>, Arc<str>)>,
    /// Database and name of the stream that has its rows.
    pub target: (Arc<str>, Arc<str>),
    /// The target is its own and goes with it.
    pub is_inner: bool,
    /// Whose names and settings the query was made with.
    pub session_database: Arc<str>,
    pub user: Arc<str>,
    pub settings: Settings,
    /// By SYSTEM PAUSE MATERIALIZED VIEW.
    pub paused: AtomicBool,
}

/// CREATE FORMAT SCHEMA.
#[derive(Clone)]
pub struct FormatSchema {
    pub name: Arc<str>,
    pub uuid: Uuid,
    pub kind: hydron_format::format_schema::SchemaKind,
    pub source: String,
}

/// What CREATE FUNCTION made.
#[derive(Clone)]
pub struct Function {
    pub name: Arc<str>,
    pub uuid: Uuid,
    pub body: FunctionBody,
    /// With its secrets.
    pub create_text: String,
}

#[derive(Clone)]
pub enum FunctionBody {
    /// `(x) -> expr`
    Lambda(String),
    Code(Definition),
}

impl Function {
    pub fn is_aggregate(&self) -> bool {
        matches!(&self.body, FunctionBody::Code(definition) if definition.is_aggregate())
    }
}
