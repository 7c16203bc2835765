//! Rows of another version of a stream, as the version at hand has them.
//!
//! In: rows of a record or part and the version they were written in. Out: the same rows with the columns of this version.
//! Promise: it works both ways: a query that began before an ALTER reads what comes after it, with defaults for columns that
//! were dropped meanwhile.

use super::completion::Completion;
use super::layout::{Layout, Layouts, Origin};
use crate::catalog::Temporary;
use crate::catalog::lookup::Lookup;
use crate::engine::Inner;
use crate::grounds::Reader;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use hydron_access::Enabled;
use hydron_base::world::Stop;
use hydron_base::{Budget, Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::StreamInfo;
use hydron_types::cast::{CastOptions, cast};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

/// The engine, once it is there: default expressions may call functions of its catalog.
pub type EngineCell = Arc<OnceLock<Weak<Inner>>>;

pub struct Adapter {
    info: Arc<StreamInfo>,
    /// The version that rows are wanted in.
    pub layout: Arc<Layout>,
    arrow: SchemaRef,
    /// All versions; a later ALTER adds to them.
    layouts: Arc<RwLock<Layouts>>,
    engine: EngineCell,
    /// By the version that rows come in.
    ways: RwLock<HashMap<u16, Arc<Way>>>,
}

/// From one version to this one.
struct Way {
    origins: Vec<Origin>,
    /// Fills the columns that come from nowhere, in this order.
    fill: Option<(Completion, Vec<usize>)>,
}

impl Adapter {
    /// For rows in the newest version of `layouts`.
    pub fn new(info: Arc<StreamInfo>, layouts: Arc<RwLock<Layouts>>, engine: EngineCell) -> Adapter {
        let layout = layouts.read().current();
        let arrow = layout.schema().arrow();
        Adapter { info, layout, arrow, layouts, engine, ways: RwLock::default() }
    }

    pub fn layouts(&self) -> &Arc<RwLock<Layouts>> {
        &self.layouts
    }

    /// Whether rows of `version` are as they are wanted.
    pub fn is_current(&self, version: u16) -> bool {
        version == self.layout.version
    }

    /// Whether an ALTER has made a later version. Rows of that one have values which this one does not know: they can be read,
    /// and must not be written back.
    pub fn is_outdated(&self) -> bool {
        self.layouts.read().current().version > self.layout.version
    }

    /// The schema that rows of `version` were written in. Errors: CORRUPTED_DATA for a version that the catalog does not know.
    pub fn arrow_of(&self, version: u16) -> Result<SchemaRef> {
        if self.is_current(version) {
            return Ok(Arc::clone(&self.arrow));
        }
        Ok(self.layout_of(version)?.schema().arrow())
    }

    fn layout_of(&self, version: u16) -> Result<Arc<Layout>> {
        self.layouts.read().versions.get(&version).cloned().ok_or_else(|| {
            let message = format!("stream {} has rows of version {version}, which nobody knows", self.info.name);
            Error::new(Code::CORRUPTED_DATA, message)
        })
    }

    /// `rows`, which were written in `version`. Errors: what a cast or the default of a column answers.
    pub fn adapt(&self, rows: &RecordBatch, version: u16) -> Result<RecordBatch> {
        if self.is_current(version) {
            return Ok(rows.clone());
        }
        let way = self.way(version)?;
        let cx = self.eval_context();
        let count = rows.num_rows();
        let mut columns: Vec<Option<ArrayRef>> = Vec::with_capacity(way.origins.len());
        for (origin, column) in way.origins.iter().zip(&self.layout.columns) {
            let taken = |at: usize| {
                rows.columns()
                    .get(at)
                    .ok_or_else(|| Error::bug(format!("rows of {} have no column {at}", self.info.name)))
            };
            columns.push(match origin {
                Origin::Same(at) => Some(Arc::clone(taken(*at)?)),
                Origin::Cast(at, from) => {
                    let array = cast(taken(*at)?, from, &column.ty, &CastOptions::wrap(cx.zone));
                    Some(
                        array
                            .map_err(|e| e.context(format!("column '{}' of stream {}", column.name, self.info.name)))?,
                    )
                }
                Origin::Missing => None,
            });
        }
        let columns = match &way.fill {
            None => columns.into_iter().flatten().collect(),
            Some((completion, order)) => {
                let mut known: Vec<Option<ArrayRef>> = vec![None; completion.all.len()];
                for (at, column) in completion.stored.iter().zip(columns) {
                    known[*at] = column;
                }
                let omitted = vec![None; known.len()];
                completion.fill(order, &known, &omitted, count, &cx)?
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.arrow), columns, &options).map_err(arrow_error)
    }

    fn way(&self, version: u16) -> Result<Arc<Way>> {
        if let Some(way) = self.ways.read().get(&version) {
            return Ok(Arc::clone(way));
        }
        let origins = self.layout.origins(&*self.layout_of(version)?);
        let fill = match origins.contains(&Origin::Missing) {
            false => None,
            true => {
                let completion = self.completion()?;
                let present = origins.iter().zip(&completion.stored).filter(|(o, _)| **o != Origin::Missing);
                let given: Vec<usize> = present.map(|(_, at)| *at).collect();
                let order = completion.order(&given)?;
                Some((completion, order))
            }
        };
        let way = Arc::new(Way { origins, fill });
        self.ways.write().insert(version, Arc::clone(&way));
        Ok(way)
    }

    fn engine(&self) -> Option<Arc<Inner>> {
        self.engine.get().and_then(Weak::upgrade)
    }

    /// What an expression of the stream's own is bound with.
    pub(super) fn binding(&self) -> Result<(Lookup, BindContext)> {
        let engine = self.engine().ok_or_else(|| Error::bug("rows are read before the engine is open"))?;
        let settings = Arc::new(engine.profile.clone());
        let (database, user) = (Arc::clone(&self.info.database), Arc::<str>::from("default"));
        let memory = Budget::query(&engine.memory, 0);
        let bind_cx = BindContext {
            zone: crate::statement::zone(&settings),
            settings: Arc::clone(&settings),
            database: Arc::clone(&database),
            user: Arc::clone(&user),
            streaming: true,
            traps: false,
            server: Some(crate::statement::facts::ServerView::facts(&engine, "", &database)),
            identity: Arc::default(),
            stop: Stop::default(),
            memory: Arc::clone(&memory),
        };
        let lookup = Lookup {
            state: engine.catalog.snapshot(),
            engine,
            database,
            user,
            settings,
            memory,
            given: Arc::default(),
            access: Arc::new(Enabled::everything("default")),
            reader: Reader::of(&Enabled::everything("default"), None),
            grounds: Arc::default(),
            reads: Arc::default(),
            temporary: Temporary::default(),
        };
        Ok((lookup, bind_cx))
    }

    fn completion(&self) -> Result<Completion> {
        let (lookup, bind_cx) = self.binding()?;
        Completion::new(&self.info, &lookup, &bind_cx)
    }

    pub(super) fn eval_context(&self) -> EvalContext {
        let engine = self.engine();
        let zone = engine.as_ref().map_or(hydron_types::Zone::UTC, |e| crate::statement::zone(&e.profile));
        let now = engine.map_or(hydron_base::world::WallTime(0), |e| e.options.clock.now());
        EvalContext { now, zone, seed: rand::random(), batch: 0 }
    }
}
