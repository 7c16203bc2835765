//! What a name of the catalog stands for.

use crate::stream::Stream;
use hydron_plan::{StreamInfo, ViewInfo};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone)]
pub enum Object {
    Stream(Arc<Stream>),
    View(Arc<View>),
}

impl Object {
    pub fn uuid(&self) -> Uuid {
        match self {
            Object::Stream(s) => s.info.uuid,
            Object::View(v) => v.info.uuid,
        }
    }

    pub fn create_text(&self) -> &str {
        match self {
            Object::Stream(s) => &s.create_text,
            Object::View(v) => &v.create_text,
        }
    }

    pub fn as_stream(&self) -> Option<&Arc<Stream>> {
        match self {
            Object::Stream(s) => Some(s),
            Object::View(_) => None,
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
}

/// CREATE FUNCTION f AS (x) -> expr.
#[derive(Clone)]
pub struct SqlFunction {
    pub name: Arc<str>,
    pub uuid: Uuid,
    /// `(x) -> expr`
    pub lambda: String,
    pub create_text: String,
}
