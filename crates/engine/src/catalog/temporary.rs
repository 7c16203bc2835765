//! Streams of one session: CREATE TEMPORARY STREAM.
//!
//! In: streams that no catalog knows. Out: the catalog as the session sees it. Promise: nobody else sees them; they go with the
//! session, and their files with them, at the latest at the next start.

use super::object::Object;
use super::state::{CatalogState, Database};
use crate::engine::Inner;
use crate::stream::Stream;
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// The database that they count to; no statement can create it.
pub const DATABASE: &str = "_temporary_and_external_tables";

/// Streams of one session: each holds a log and its files open.
const STREAMS_MAX: usize = 100;

/// The temporary streams of a session; copies are the same ones.
#[derive(Clone, Default)]
pub struct Temporary(Arc<Held>);

#[derive(Default)]
struct Held {
    streams: Mutex<BTreeMap<Arc<str>, Arc<Stream>>>,
    engine: Mutex<Weak<Inner>>,
}

impl std::fmt::Debug for Temporary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Temporary {
    pub fn is_empty(&self) -> bool {
        self.0.streams.lock().is_empty()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.streams.lock().keys().map(|n| n.to_string()).collect()
    }

    pub fn get(&self, name: &str) -> Option<Arc<Stream>> {
        self.0.streams.lock().get(name).cloned()
    }

    /// Errors: LIMIT_EXCEEDED (290).
    pub fn check_room(&self) -> Result<()> {
        if self.0.streams.lock().len() < STREAMS_MAX {
            return Ok(());
        }
        let message = format!("a session has at most {STREAMS_MAX} temporary streams");
        Err(Error::new(Code::LIMIT_EXCEEDED, message).hint("DROP TEMPORARY STREAM"))
    }

    /// Shows a stream under its name; the one that it replaces comes back.
    pub fn put(&self, engine: &Arc<Inner>, stream: Arc<Stream>) -> Option<Arc<Stream>> {
        *self.0.engine.lock() = Arc::downgrade(engine);
        self.0.streams.lock().insert(Arc::clone(&stream.info.name), stream)
    }

    pub fn take(&self, name: &str) -> Option<Arc<Stream>> {
        self.0.streams.lock().remove(name)
    }

    /// The catalog with the streams of this session in a database of their own.
    pub fn over(&self, state: Arc<CatalogState>) -> Arc<CatalogState> {
        let streams = self.0.streams.lock();
        if streams.is_empty() {
            return state;
        }
        let mut state = (*state).clone();
        let objects = streams.iter().map(|(name, s)| (Arc::clone(name), Object::Stream(Arc::clone(s)))).collect();
        let name: Arc<str> = Arc::from(DATABASE);
        let database = Database {
            name: Arc::clone(&name),
            uuid: Uuid::nil(),
            engine: Arc::from("Memory"),
            comment: String::new(),
            objects,
        };
        state.databases.insert(name, database);
        Arc::new(state)
    }
}

impl Drop for Held {
    /// The session has ended. What cannot be removed now is removed at the next start.
    fn drop(&mut self) {
        let streams = std::mem::take(&mut *self.streams.lock());
        let Some(engine) = self.engine.lock().upgrade() else { return };
        if streams.is_empty() {
            return;
        }
        let handle = engine.cpu.handle().clone();
        handle.spawn_blocking(move || {
            for stream in streams.values() {
                if let Err(e) = engine.streams.remove(stream) {
                    tracing::warn!("files of temporary stream {} stay until the next start: {e}", stream.info.name);
                }
            }
        });
    }
}
