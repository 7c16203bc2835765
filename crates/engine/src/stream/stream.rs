//! One stream: what it is, and the store that holds its rows if it has one.

use super::store::StreamStore;
use crate::engine::Inner;
use hydron_base::{Error, Result};
use hydron_plan::{StreamInfo, StreamKind};
use std::sync::Arc;

pub struct Stream {
    pub info: Arc<StreamInfo>,
    pub create_text: String,
    store: Option<Arc<StreamStore>>,
}

impl Stream {
    /// Opens the stream, creating what it needs on disk. Blocks; call it on a thread that may.
    pub fn open(engine: &Inner, info: StreamInfo, create_text: String) -> Result<Arc<Stream>> {
        let store = match info.kind {
            StreamKind::Stream | StreamKind::Table => Some(StreamStore::open(&engine.streams, &info)?),
            StreamKind::Random | StreamKind::System | StreamKind::Function => None,
        };
        Ok(Arc::new(Stream { info: Arc::new(info), create_text, store }))
    }

    /// The same rows under another name.
    pub fn renamed(of: &Stream, info: StreamInfo, create_text: String) -> Stream {
        Stream { info: Arc::new(info), create_text, store: of.store.clone() }
    }

    pub fn store(&self) -> Option<&Arc<StreamStore>> {
        self.store.as_ref()
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

    /// Moves all log records to parts and merges these.
    pub async fn compact(&self) -> Result<()> {
        match &self.store {
            Some(store) => store.compact_all().await,
            None => Ok(()),
        }
    }
}
