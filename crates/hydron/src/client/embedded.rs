//! Statements on an engine in this process: `hydron local`.
//!
//! In: a statement, perhaps with data. Out: the answer's bytes as batches are made. Promise: a temporary data directory is
//! gone afterwards.

use super::args::LocalArgs;
use super::backend::{Backend, Request, Status, Summary};
use super::interrupt;
use async_trait::async_trait;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_engine::{ByteSource, Engine, EngineOptions, Input, Item, Progress, QueryOptions, Running, Session};
use hydron_format::{FormatOptions, ResultStats};
use std::io::{Read, Write};
use std::time::Duration;

pub struct EmbeddedBackend {
    runtime: tokio::runtime::Runtime,
    engine: Engine,
    session: Session,
    _temporary: Option<tempfile::TempDir>,
}

impl EmbeddedBackend {
    pub fn open(args: &LocalArgs) -> Result<EmbeddedBackend> {
        let system = |e: std::io::Error| Error::new(Code::SYSTEM_ERROR, e.to_string());
        let temporary = match args.path {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("hydron-local-").tempdir().map_err(system)?),
        };
        let dir = args.path.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_path_buf())).unwrap_or_default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(system)?;
        let engine = Engine::open(EngineOptions { segment_bytes: 64 << 20, ..EngineOptions::at(dir) })?;
        let mut session = engine.session("default", &args.common.database);
        // A file is read to its end; a stream is what the user asks for by name.
        session.settings.set("query_mode", "streaming")?;
        Ok(EmbeddedBackend { runtime, engine, session, _temporary: temporary })
    }

    pub fn close(self) {
        let engine = self.engine.clone();
        self.runtime.block_on(async move { engine.close(Duration::from_secs(3)).await });
        self.runtime.shutdown_timeout(Duration::from_millis(200));
    }
}

impl Backend for EmbeddedBackend {
    fn run(&mut self, request: Request<'_>, out: &mut dyn Write) -> Result<Summary> {
        interrupt::clear();
        let input = match request.data {
            Some(reader) => Input::Bytes(Box::new(Pipe(Some(reader)))),
            None => Input::None,
        };
        let options = QueryOptions { interface: "local", ..QueryOptions::default() };
        let text = Bytes::copy_from_slice(request.text.as_bytes());
        let (engine, session) = (&self.engine, &mut self.session);
        self.runtime.block_on(async {
            let mut running = engine.execute(session, text, input, options).await?;
            let summary = print(&mut running, request.default_format, request.on_status, out).await;
            if let Err(e) = &summary {
                running.note_error(e);
            }
            summary
        })
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        self.session.settings.set(name, value)
    }

    fn greeting(&mut self) -> Result<String> {
        Ok(format!("hydron {}, in this process.", env!("CARGO_PKG_VERSION")))
    }
}

async fn print(
    running: &mut Running,
    default_format: &str,
    on_status: Option<&(dyn Fn(Status) + Sync)>,
    out: &mut dyn Write,
) -> Result<Summary> {
    let options = FormatOptions::from_settings(&running.settings, hydron_types::Zone::UTC);
    let name = running.format.clone().unwrap_or_else(|| default_format.to_string());
    let mut format = match &running.schema {
        Some(schema) => Some(hydron_format::output(&name, schema.clone(), &options)?),
        None => None,
    };
    let mut bytes = Vec::new();
    let mut rows = 0;
    if let Some(format) = &mut format {
        format.prefix(&mut bytes)?;
    }
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let cancel = running.cancel_token();
    loop {
        let written = out.write_all(&bytes).and_then(|()| out.flush());
        written
            .map_err(|e| Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write the answer: {e}")))?;
        bytes.clear();
        let progress = running.progress.clone();
        let started = running.started_at;
        let item = tokio::select! {
            item = running.next() => item?,
            _ = tick.tick() => {
                if interrupt::is_set() {
                    cancel.cancel();
                }
                if let Some(on_status) = on_status {
                    on_status(Status {
                        elapsed: started.elapsed(),
                        read_rows: Progress::get(&progress.read_rows),
                        read_bytes: Progress::get(&progress.read_bytes),
                        total_rows: Progress::get(&progress.total_rows),
                    });
                }
                continue;
            }
        };
        let Some(format) = &mut format else {
            if item.is_none() {
                break;
            }
            continue;
        };
        match item {
            Some(Item::Rows(batch)) => {
                rows += batch.rows() as u64;
                format.batch(&batch, &mut bytes)?;
            }
            Some(Item::Totals(batch)) => format.totals(&batch, &mut bytes)?,
            Some(Item::Extremes(batch)) => format.extremes(&batch, &mut bytes)?,
            None => {
                let stats = ResultStats {
                    rows,
                    rows_before_limit: *running.progress.rows_before_limit.lock(),
                    elapsed_seconds: running.started_at.elapsed().as_secs_f64(),
                    rows_read: Progress::get(&running.progress.read_rows),
                    bytes_read: Progress::get(&running.progress.read_bytes),
                };
                format.suffix(&stats, &mut bytes)?;
                let written = out.write_all(&bytes).and_then(|()| out.flush());
                written.map_err(|e| Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, e.to_string()))?;
                break;
            }
        }
    }
    Ok(Summary {
        elapsed: running.started_at.elapsed(),
        rows: Some(rows),
        read_rows: Progress::get(&running.progress.read_rows),
    })
}

/// Data from a pipe or file, a piece at a time.
struct Pipe(Option<Box<dyn Read + Send>>);

#[async_trait]
impl ByteSource for Pipe {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        const PIECE_BYTES: usize = 1 << 20;
        let Some(mut reader) = self.0.take() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let n = reader.read(&mut piece)?;
            piece.truncate(n);
            Ok::<_, std::io::Error>((piece, reader))
        });
        let (piece, reader) = read
            .await
            .map_err(|e| Error::bug(e.to_string()))?
            .map_err(|e| Error::new(Code::CANNOT_READ_FROM_ISTREAM, format!("cannot read the data: {e}")))?;
        if piece.is_empty() {
            return Ok(None);
        }
        self.0 = Some(reader);
        Ok(Some(piece.into()))
    }
}
