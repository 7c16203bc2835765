//! Tumbling and hopping windows over a table: each row once for every window it is in.
//!
//! Their arithmetic is that of streams.

use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use hydron_base::{Error, Result};
use hydron_func::scalar::column::from_natives;
use hydron_plan::WindowKind;
use hydron_plan::node::WindowSpec;
use hydron_plan::span::Spans;
use hydron_types::LogicalType;
use hydron_types::column::time_values;
use hydron_types::gather::take_rows;
use hydron_types::physical::{arrow_type, digits_of_unit};
use std::sync::Arc;

/// Adds `window_start` and `window_end` of type `ty` to the rows.
#[derive(Clone, Debug)]
pub struct AssignWindow {
    time: usize,
    ty: LogicalType,
    spans: Spans,
    schema: SchemaRef,
}

impl AssignWindow {
    /// Errors: NOT_IMPLEMENTED (48) for sessions, BAD_ARGUMENTS (36) for intervals that make no window.
    pub fn new(spec: &WindowSpec, ty: &LogicalType, schema: SchemaRef) -> Result<AssignWindow> {
        if matches!(spec.kind, WindowKind::Session { .. }) {
            return Err(Error::not_implemented("a session window in a historical query"));
        }
        let DataType::Timestamp(ticks, _) = arrow_type(ty) else {
            return Err(Error::bug(format!("a window over {ty}")));
        };
        let spans = Spans::new(&spec.kind, digits_of_unit(ticks), spec.zone)?;
        Ok(AssignWindow { time: spec.time, ty: ty.bare().clone(), spans, schema })
    }
}

impl Step for AssignWindow {
    fn name(&self) -> &'static str {
        "AssignWindow"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        false
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(self.clone())
    }
}

impl StepRun for AssignWindow {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let column = Arc::clone(batch.column(self.time));
        let local = self.spans.local();
        let (mut origin, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (row, ticks) in time_values(column.as_ref()).iter().enumerate() {
            // A row without a time is in no window.
            if column.is_null(row) {
                continue;
            }
            self.spans.each_window(*ticks, &local, |window| {
                origin.push(row as u32);
                starts.push(window.start);
                ends.push(window.end);
            });
        }
        let rows = origin.len();
        let origin = UInt32Array::from(origin);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 2);
        for column in batch.columns() {
            columns.push(take_rows(column, &origin)?);
        }
        columns.push(from_natives(starts, &self.ty)?);
        columns.push(from_natives(ends, &self.ty)?);
        batch_of(&self.schema, columns, rows)
    }
}
