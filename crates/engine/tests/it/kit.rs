//! An engine in a directory of its own, on the board that all tests of this process share, one test at a time.

use hydron_base::Result;
use hydron_board::Board;
use hydron_engine::{Engine, EngineOptions, Input, Item, QueryOptions, Running, Session};
use hydron_types::column::value_at;
use hydron_types::{Batch, Value};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

static ALONE: Mutex<()> = Mutex::new(());

pub struct World {
    pub board: &'static Board,
    pub engine: Engine,
    pub session: Session,
    dir: TempDir,
    scripts: bool,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    pub fn open() -> World {
        World::opened(false)
    }

    /// With the directory `user_scripts` in the data directory.
    pub fn open_with_scripts() -> World {
        World::opened(true)
    }

    fn opened(scripts: bool) -> World {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        if Board::current().is_none() {
            Board::create().unwrap().install();
        }
        let board = Board::current().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(options(&dir, scripts)).unwrap();
        let session = engine.session("me", "");
        World { board, engine, session, dir, scripts, _alone: alone }
    }

    /// Closes the engine and opens its directory again.
    pub async fn reopen(&mut self) {
        self.engine.close(Duration::from_secs(10)).await;
        self.engine = Engine::open(options(&self.dir, self.scripts)).unwrap();
    }

    pub fn data_dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub async fn start(&mut self, text: &str) -> Result<Running> {
        self.start_with(text, QueryOptions { interface: "test", ..QueryOptions::default() }).await
    }

    pub async fn start_with(&mut self, text: &str, options: QueryOptions) -> Result<Running> {
        self.engine.execute(&mut self.session, text.to_string(), Input::None, options).await
    }

    pub async fn run(&mut self, text: &str) -> Result<Vec<Vec<Value>>> {
        rows(self.start(text).await?).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Views of one test would work on the board of the next.
        let engine = self.engine.clone();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(engine.close(Duration::from_secs(5)));
        });
    }
}

fn options(dir: &TempDir, scripts: bool) -> EngineOptions {
    let user_scripts = scripts.then(|| dir.path().join("user_scripts"));
    EngineOptions {
        cpu_threads: 2,
        segment_bytes: 1 << 20,
        allow_trap: true,
        user_scripts,
        user_files: Some(dir.path().join("user_files")),
        ports: vec![("tcp_port", 8463)],
        ..EngineOptions::at(dir.path())
    }
}

pub async fn rows(mut running: Running) -> Result<Vec<Vec<Value>>> {
    let mut rows = Vec::new();
    while let Some(item) = running.next().await? {
        if let Item::Rows(batch) = item {
            rows.extend((0..batch.rows()).map(|row| row_of(&batch, row)));
        }
    }
    Ok(rows)
}

pub fn row_of(batch: &Batch, row: usize) -> Vec<Value> {
    let fields = batch.columns.iter().zip(&batch.schema.fields);
    fields.map(|(column, field)| value_at(column, &field.ty, row)).collect()
}

/// Runs `query` until it answers `wanted`, its rows as text.
pub async fn becomes(world: &mut World, query: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = told(world, query).await;
        if found == wanted {
            return;
        }
        if Instant::now() >= deadline {
            let views = told(world, "select name, state, last_error, lag_records, checkpoint_epoch, to_string(checkpoint_sn), written_rows from system.materialized_views").await;
            panic!("{query}: {found}, not {wanted}; views: {views}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn told(world: &mut World, query: &str) -> String {
    let rows = match world.run(query).await {
        Ok(rows) => rows,
        Err(e) => return e.to_string(),
    };
    let cell = |v: &Value| match v {
        Value::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        other => format!("{other:?}"),
    };
    let row = |row: &Vec<Value>| row.iter().map(cell).collect::<Vec<_>>().join(" ");
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}
