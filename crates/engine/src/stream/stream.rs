//! One stream: what it is, and the store that holds its rows if it has one.

use super::layout::{Layout, Layouts};
use super::store::StreamStore;
use super::ttl::Ttl;
use crate::engine::Inner;
use crate::external::External;
use hydron_base::world::WallTime;
use hydron_base::{Error, Result};
use hydron_plan::{StreamInfo, StreamKind};
use hydron_sql::ast::{Expr, StatementKind};
use std::sync::{Arc, OnceLock};

/// `CONSTRAINT name CHECK expr`.
#[derive(Clone, Debug)]
pub struct Check {
    pub name: String,
    pub expr: Expr,
}

pub struct Stream {
    pub info: Arc<StreamInfo>,
    pub create_text: String,
    /// Once they were asked for.
    checks: OnceLock<Arc<[Check]>>,
    store: Option<Arc<StreamStore>>,
    external: Option<Arc<External>>,
}

impl Stream {
    /// Opens a stream that was never altered, creating what it needs on disk. Blocks; call it on a thread that may.
    pub fn open(engine: &Inner, info: StreamInfo, create_text: String) -> Result<Arc<Stream>> {
        let layouts = Layouts::first(&info);
        Stream::open_with(engine, info, create_text, layouts)
    }

    /// As [`Stream::open`], of a stream with these versions.
    pub fn open_with(engine: &Inner, info: StreamInfo, create_text: String, layouts: Layouts) -> Result<Arc<Stream>> {
        let info = Arc::new(info);
        let store = match info.kind {
            StreamKind::Stream | StreamKind::Table => {
                Some(StreamStore::open(&engine.streams, &info, layouts, Ttl::of(&create_text))?)
            }
            StreamKind::Random | StreamKind::External | StreamKind::System | StreamKind::Function => None,
        };
        let external = match info.kind {
            StreamKind::External => Some(Arc::new(External::new(Arc::clone(&info), Arc::clone(&engine.external)))),
            _ => None,
        };
        Ok(Arc::new(Stream { info, create_text, checks: OnceLock::new(), store, external }))
    }

    /// The same rows as `info` and `layouts` have them from now on.
    pub fn altered(&self, engine: &Inner, info: StreamInfo, create_text: String, layouts: Layouts) -> Arc<Stream> {
        let info = Arc::new(info);
        let store = self.store.as_ref().map(|s| s.altered(&engine.streams, &info, layouts, Ttl::of(&create_text)));
        Arc::new(Stream { info, create_text, checks: OnceLock::new(), store, external: self.external.clone() })
    }

    /// All versions of the stream; of one without rows only its columns as they are.
    pub fn layouts(&self) -> Layouts {
        match &self.store {
            Some(store) => store.adapter.layouts().read().clone(),
            None => Layouts::first(&self.info),
        }
    }

    /// The same rows under another name.
    pub fn renamed(of: &Stream, info: StreamInfo, create_text: String) -> Stream {
        let info = Arc::new(info);
        let external =
            of.external.as_ref().map(|e| Arc::new(External::new(Arc::clone(&info), Arc::clone(&e.counters))));
        Stream { info, create_text, checks: OnceLock::new(), store: of.store.clone(), external }
    }

    /// What every row must satisfy.
    pub fn checks(&self) -> Arc<[Check]> {
        Arc::clone(self.checks.get_or_init(|| checks_of(&self.create_text)))
    }

    /// How the rows lie now.
    pub fn layout(&self) -> Arc<Layout> {
        match &self.store {
            Some(store) => Arc::clone(&store.adapter.layout),
            None => Layouts::first(&self.info).current(),
        }
    }

    /// Takes back the versions of an ALTER that failed. No row was written in them.
    pub fn forget_layouts_after(&self, layout: &Layout) {
        if let Some(store) = &self.store {
            store.adapter.layouts().write().versions.retain(|version, _| *version <= layout.version);
        }
    }

    pub fn store(&self) -> Option<&Arc<StreamStore>> {
        self.store.as_ref()
    }

    /// The other side of an external stream.
    pub fn external(&self) -> Option<&Arc<External>> {
        self.external.as_ref()
    }

    /// Errors: NOT_IMPLEMENTED for a source without stored rows.
    pub fn stored(&self) -> Result<&Arc<StreamStore>> {
        let name = &self.info.name;
        self.store
            .as_ref()
            .ok_or_else(|| Error::not_implemented(format!("this statement on stream {name}, which stores no rows,")))
    }

    /// Forgets the history; the log keeps its records for streaming readers, as in Proton.
    pub async fn truncate(&self) -> Result<()> {
        self.stored()?.truncate().await
    }

    /// Moves all log records to parts, merges these and lets the rows go whose TTL has passed.
    pub async fn compact(&self, now: WallTime) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        store.compact_all().await?;
        store.expire_all(now.millis().div_euclid(1_000)).await
    }
}

fn checks_of(create_text: &str) -> Arc<[Check]> {
    // Most streams have none, and their text need not be parsed for each restart.
    if !create_text.contains("CONSTRAINT") {
        return Arc::default();
    }
    let parsed = hydron_sql::parse_statement(create_text).map(|p| p.statement.kind);
    let Ok(StatementKind::CreateStream(create)) = parsed else { return Arc::default() };
    let constraints = create.elements.into_iter().flat_map(|e| e.constraints).filter(|c| !c.assume);
    constraints.map(|c| Check { name: c.name, expr: c.expr }).collect()
}
