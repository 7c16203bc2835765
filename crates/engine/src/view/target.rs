//! Answers of a view as rows of its target: columns by name, defaults for those that it does not give.

use crate::ingest::Ingest;
use crate::query::Progress;
use crate::stream::Stream;
use arrow::array::{ArrayRef, Int8Array};
use hydron_base::world::WallTime;
use hydron_base::{Budget, Code, Error, Result};
use hydron_flow::host::Answer;
use hydron_func::{BindContext, EvalContext};
use hydron_plan::{Catalog, ColumnDefault, StreamInfo};
use hydron_types::{Batch, Field, LogicalType, Schema};
use std::sync::Arc;

/// The sign of a row in a stream of changes.
const SIGN: &str = "_tp_delta";

pub struct Target {
    pub stream: Arc<Stream>,
    ingest: Ingest,
    columns: Vec<From>,
    schema: Arc<Schema>,
}

/// Where a column that is written comes from.
#[derive(Clone, Copy)]
enum From {
    Column(usize),
    Sign,
}

impl Target {
    /// `select`: the columns of the answers.
    ///
    /// Errors: NO_SUCH_COLUMN_IN_STREAM when the two have no column in common; TYPE_MISMATCH when values cannot be converted.
    pub fn open(
        stream: Arc<Stream>,
        select: &Schema,
        catalog: &dyn Catalog,
        bind_cx: &BindContext,
        cx: EvalContext,
        progress: Arc<Progress>,
        memory: Arc<Budget>,
    ) -> Result<Target> {
        let (mut names, mut columns, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for (at, field) in common(&stream.info, select)? {
            names.push(field.name.to_string());
            fields.push(field.clone());
            columns.push(From::Column(at));
        }
        if stream.info.column(SIGN).is_some() && select.index_of(SIGN).is_none() {
            names.push(SIGN.to_string());
            fields.push(Field::new(SIGN, LogicalType::Int8));
            columns.push(From::Sign);
        }
        let ingest = Ingest::new(Arc::clone(&stream), &names, true, catalog, bind_cx, cx, progress, memory)?;
        let target = Target { stream, ingest, columns, schema: Arc::new(Schema::new(fields)) };
        // Types that cannot be converted are found before the first row.
        let none = target
            .schema
            .fields
            .iter()
            .map(|f| hydron_types::column::array_of(&hydron_types::Value::default_of(&f.ty), &f.ty, 0));
        let empty = Batch::new(Arc::clone(&target.schema), none.collect::<Result<_>>()?, 0);
        target.ingest.fitted(&empty)?;
        Ok(target)
    }

    /// The log records of some answers: shard and rows, in the order of the answers in each shard.
    pub fn records(&mut self, answers: &[Answer], now: WallTime) -> Result<Vec<(usize, Batch)>> {
        match self.whole(answers)? {
            Some(whole) => self.ingest.records_of(&whole, now),
            None => Ok(Vec::new()),
        }
    }

    /// Hands answers to an external stream.
    pub async fn write(&mut self, answers: &[Answer], now: WallTime) -> Result<()> {
        let Some(whole) = self.whole(answers)? else { return Ok(()) };
        self.ingest.set_now(now);
        self.ingest.write_named(&whole).await
    }

    /// Waits until the other side has all that was handed to it.
    pub async fn settle(&mut self) -> Result<()> {
        self.ingest.settle().await
    }

    fn whole(&self, answers: &[Answer]) -> Result<Option<Batch>> {
        let batches: Vec<Batch> = answers.iter().map(|a| self.batch(a)).collect();
        let rows = batches.iter().map(Batch::rows).sum();
        let concat = |at: usize| -> Result<ArrayRef> {
            let all: Vec<&dyn arrow::array::Array> = batches.iter().map(|b| &**b.column(at)).collect();
            arrow::compute::concat(&all).map_err(hydron_func::call::arrow_error)
        };
        Ok(match &batches[..] {
            [] => None,
            [one] => Some(one.clone()),
            _ => {
                let columns = (0..self.columns.len()).map(concat).collect::<Result<_>>()?;
                Some(Batch::new(Arc::clone(&self.schema), columns, rows))
            }
        })
    }

    fn batch(&self, answer: &Answer) -> Batch {
        let (batch, rows) = (answer.batch(), answer.len());
        let column = |from: &From| -> ArrayRef {
            match (from, &answer.delta.signs) {
                (From::Column(at), _) => Arc::clone(batch.column(*at)),
                (From::Sign, Some(signs)) => Arc::new(signs.clone()),
                (From::Sign, None) => Arc::new(Int8Array::from_value(1, rows)),
            }
        };
        Batch::new(Arc::clone(&self.schema), self.columns.iter().map(column).collect(), rows)
    }
}

/// Positions of the columns of `select` that the stream has, by name.
pub fn common<'a>(stream: &StreamInfo, select: &'a Schema) -> Result<Vec<(usize, &'a Field)>> {
    let takes = |name: &str| {
        let column = stream.column(name).map(|(_, c)| &c.default);
        matches!(column, Some(ColumnDefault::None | ColumnDefault::Default(_) | ColumnDefault::Ephemeral(_)))
    };
    let found: Vec<_> = select.fields.iter().enumerate().filter(|(_, f)| takes(&f.name)).collect();
    if found.iter().all(|(_, f)| &*f.name == "_tp_time") {
        let names: Vec<&str> = select.fields.iter().map(|f| &*f.name).collect();
        let message = format!("stream {} has none of the columns {}", stream.name, names.join(", "));
        return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message)
            .hint("columns of the SELECT go to those of the same name"));
    }
    Ok(found)
}
