//! What functions may ask of this server: its ports, files, columns, formats.
//!
//! In: a weak hold of the engine, so that a plan that the engine keeps does not keep the engine. Out: answers for
//! [`hydron_func::ServerFacts`]. Promise: a file outside the permitted directory is never read.

use crate::catalog::GivenScalar;
use crate::catalog::object::Object;
use crate::engine::Inner;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_format::FormatOptions;
use hydron_func::ServerFacts;
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use std::sync::{Arc, Weak};

/// Bytes of a file that `file('…')` may answer with.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Clone)]
pub struct ServerView {
    engine: Weak<Inner>,
    query_id: Arc<str>,
    database: Arc<str>,
    scalars: Arc<[GivenScalar]>,
}

impl std::fmt::Debug for ServerView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerView").field("query_id", &self.query_id).finish_non_exhaustive()
    }
}

impl ServerView {
    pub fn facts(engine: &Arc<Inner>, query_id: &str, database: &Arc<str>) -> Arc<dyn ServerFacts> {
        ServerView::facts_with(engine, query_id, database, Arc::default())
    }

    /// As [`ServerView::facts`], for a query that values have come with.
    pub fn facts_with(
        engine: &Arc<Inner>,
        query_id: &str,
        database: &Arc<str>,
        scalars: Arc<[GivenScalar]>,
    ) -> Arc<dyn ServerFacts> {
        let view = ServerView {
            engine: Arc::downgrade(engine),
            query_id: Arc::from(query_id),
            database: Arc::clone(database),
            scalars,
        };
        Arc::new(view)
    }

    fn engine(&self) -> Result<Arc<Inner>> {
        self.engine.upgrade().ok_or_else(|| Error::new(Code::ABORTED, "the server is closed"))
    }
}

impl ServerFacts for ServerView {
    fn query_id(&self) -> &str {
        &self.query_id
    }

    fn scalar(&self, name: &str) -> Option<(LogicalType, Value)> {
        let found = self.scalars.iter().find(|s| &*s.name == name)?;
        Some((found.ty.clone(), found.value.clone()))
    }

    fn server_uuid(&self) -> [u8; 16] {
        self.engine().map(|e| *e.server_uuid.as_bytes()).unwrap_or_default()
    }

    fn uptime_seconds(&self) -> u32 {
        let seconds = self.engine().map_or(0, |e| (e.options.clock.now().0 - e.started.0) / 1_000_000);
        u32::try_from(seconds).unwrap_or(0)
    }

    fn port(&self, name: &str) -> Option<u16> {
        let engine = self.engine().ok()?;
        engine.options.ports.iter().find(|(n, port)| *n == name && *port > 0).map(|(_, port)| *port)
    }

    fn disk_space(&self) -> Result<[u64; 3]> {
        let engine = self.engine()?;
        let dir = &engine.options.data_dir;
        let stat = rustix::fs::statvfs(dir).map_err(|e| {
            Error::new(Code::CANNOT_STATVFS, format!("the disk of '{}' does not say its size: {e}", dir.display()))
        })?;
        Ok([stat.f_blocks * stat.f_frsize, stat.f_bfree * stat.f_frsize, stat.f_bavail * stat.f_frsize])
    }

    fn user_file(&self, path: &str) -> Result<Vec<u8>> {
        let engine = self.engine()?;
        let file = crate::stream::file::one_file(engine.options.user_files.as_deref(), path)?;
        let cannot = |e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read '{path}': {e}"));
        let bytes = std::fs::metadata(&file).map_err(cannot)?.len();
        if bytes > FILE_BYTES_MAX {
            let text = format!("file '{path}' has {bytes} bytes, file() answers with at most {FILE_BYTES_MAX}");
            return Err(Error::new(Code::TOO_LARGE_STRING_SIZE, text));
        }
        std::fs::read(&file).map_err(cannot)
    }

    fn has_column(&self, database: &str, stream: &str, column: &str) -> Result<bool> {
        let engine = self.engine()?;
        let database = if database.is_empty() { &*self.database } else { database };
        if database == crate::system::DATABASE {
            let table = crate::system::table(stream)
                .ok_or_else(|| Error::new(Code::UNKNOWN_STREAM, format!("stream \"system.{stream}\" is unknown")))?;
            return Ok(table.column(column).is_some());
        }
        let state = engine.catalog.snapshot();
        Ok(match state.existing(database, stream)? {
            Object::Stream(stream) => stream.info.column(column).is_some(),
            Object::View(view) if view.info.columns.is_empty() => {
                return Err(Error::not_implemented("has_column_in_table() of a view that does not name its columns"));
            }
            Object::View(view) => view.info.columns.iter().any(|c| &**c == column),
            Object::MaterializedView(view) => state.view_stream(view).is_some_and(|s| s.column(column).is_some()),
        })
    }

    fn format_rows(
        &self,
        format: &str,
        fields: &[(Arc<str>, LogicalType)],
        columns: &[ArrayRef],
        rows: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let whole = ["Native", "Arrow", "Pretty", "Parquet", "Null"];
        if whole.iter().any(|f| format.starts_with(f)) {
            return Err(Error::bad_arguments(format!("format {format} does not write row by row")));
        }
        let nested =
            |t: &LogicalType| matches!(t, LogicalType::Array(_) | LogicalType::Tuple(_) | LogicalType::Map(..));
        if format == "RawBLOB" && fields.iter().any(|(_, t)| nested(t)) {
            return Err(Error::not_implemented("format RawBLOB of arrays, tuples and maps"));
        }
        let named = fields.iter().enumerate().map(|(i, (name, ty))| {
            let name = if name.is_empty() { Arc::from(format!("c{}", i + 1)) } else { Arc::clone(name) };
            Field::new(name, ty.clone())
        });
        let schema = Arc::new(Schema::new(named.collect()));
        let engine = self.engine()?;
        let options = FormatOptions::from_settings(&engine.profile, super::zone(&engine.profile));
        let mut line = Vec::new();
        // One writer for each row: none knows that there was a row before.
        let mut writer = hydron_format::output(format, Arc::clone(&schema), &options)?;
        for row in 0..rows {
            if row > 0 {
                writer = hydron_format::output(format, Arc::clone(&schema), &options)?;
            }
            line.clear();
            writer.prefix(&mut line)?;
            line.clear();
            let batch = Batch::new(Arc::clone(&schema), columns.iter().map(|c| c.slice(row, 1)).collect(), 1);
            writer.batch(&batch, &mut line)?;
            each(&line);
        }
        Ok(())
    }
}
