//! What streams take on disk, and where.

use crate::catalog::Object;
use crate::engine::Inner;
use std::path::PathBuf;
use std::sync::Arc;

/// The files of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStorage {
    pub database: Arc<str>,
    pub name: Arc<str>,
    pub log_bytes: u64,
    /// One directory for each shard.
    pub log_dirs: Vec<PathBuf>,
    pub history_bytes: u64,
    pub history_dirs: Vec<PathBuf>,
}

impl StreamStorage {
    pub fn bytes(&self) -> u64 {
        self.log_bytes + self.history_bytes
    }
}

/// All streams that store rows, by database and name.
pub fn all(engine: &Inner) -> Vec<StreamStorage> {
    let state = engine.catalog.snapshot();
    let objects = state.databases.values().flat_map(|d| d.objects.values());
    let of_stream = |object: &Object| {
        let stream = object.as_stream()?;
        let store = stream.store()?;
        Some(StreamStorage {
            database: Arc::clone(&stream.info.database),
            name: Arc::clone(&stream.info.name),
            log_bytes: store.logs.iter().map(|l| l.stats().bytes).sum(),
            log_dirs: store.logs.iter().map(|l| l.dir().to_path_buf()).collect(),
            history_bytes: store.parts.snapshot().manifest().bytes(),
            history_dirs: vec![engine.streams.parts_dir(stream.info.uuid)],
        })
    };
    objects.filter_map(of_stream).collect()
}
