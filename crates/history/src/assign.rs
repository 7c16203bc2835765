//! Tumbling and hopping windows over a table: each row once for every window it is in.
//!
//! Windows start at multiples of the slide in the zone of the query, as in a stream.

use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use hydron_base::{Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::scalar::column::from_natives;
use hydron_plan::WindowKind;
use hydron_plan::node::{Interval, WindowSpec};
use hydron_types::column::time_values;
use hydron_types::physical::{arrow_type, digits_of_unit};
use hydron_types::time::{LocalTime, Zone, add_ticks, floor_ticks};
use hydron_types::{IntervalUnit, LogicalType};
use std::sync::Arc;

/// Adds `window_start` and `window_end` of type `ty` to the rows.
#[derive(Clone, Debug)]
pub struct AssignWindow {
    time: usize,
    ty: LogicalType,
    unit: IntervalUnit,
    slide: i64,
    size: i64,
    digits: u8,
    zone: Zone,
    schema: SchemaRef,
}

impl AssignWindow {
    /// Errors: NOT_IMPLEMENTED (48) for sessions, BAD_ARGUMENTS (36) for intervals that make no window.
    pub fn new(spec: &WindowSpec, ty: &LogicalType, schema: SchemaRef) -> Result<AssignWindow> {
        let (slide, size) = match &spec.kind {
            WindowKind::Tumble { size } => (*size, *size),
            WindowKind::Hop { slide, size } => (*slide, *size),
            WindowKind::Session { .. } => return Err(Error::not_implemented("a session window in a historical query")),
        };
        let DataType::Timestamp(ticks, _) = arrow_type(ty) else {
            return Err(Error::bug(format!("a window over {ty}")));
        };
        let (unit, slide, size) = common_unit(slide, size)?;
        if slide <= 0 || size <= 0 || slide > size {
            let name = unit.name();
            return Err(Error::bad_arguments(format!(
                "a window of size {size} {name} cannot start every {slide} {name}"
            )));
        }
        let digits = digits_of_unit(ticks);
        if add_ticks(0, digits, unit, slide, &LocalTime::new(spec.zone)) <= 0 {
            return Err(Error::bad_arguments(format!(
                "a window of {size} {} is finer than the time column",
                unit.name()
            )));
        }
        Ok(AssignWindow { time: spec.time, ty: ty.bare().clone(), unit, slide, size, digits, zone: spec.zone, schema })
    }

    /// Calls `window` with start and end of each window that holds `ticks`, oldest first.
    fn windows(&self, ticks: i64, local: &LocalTime, mut window: impl FnMut(i64, i64)) {
        let plus = |t, n| add_ticks(t, self.digits, self.unit, n, local);
        let mut start = floor_ticks(ticks, self.digits, self.unit, self.slide, local);
        if self.slide == self.size {
            return window(start, plus(start, self.size));
        }
        loop {
            let earlier = plus(start, -self.slide);
            if earlier >= start || plus(earlier, self.size) <= ticks {
                break;
            }
            start = earlier;
        }
        while start <= ticks {
            window(start, plus(start, self.size));
            start = plus(start, self.slide);
        }
    }
}

/// Both intervals in one unit.
fn common_unit(a: Interval, b: Interval) -> Result<(IntervalUnit, i64, i64)> {
    if a.unit == b.unit {
        return Ok((a.unit, a.count, b.count));
    }
    let (unit, x, y) = match (a.unit.months(), b.unit.months(), a.unit.nanoseconds(), b.unit.nanoseconds()) {
        (Some(x), Some(y), ..) => (IntervalUnit::Month, x, y),
        (_, _, Some(x), Some(y)) if x <= y => (a.unit, 1, y / x),
        (_, _, Some(x), Some(y)) => (b.unit, x / y, 1),
        _ => {
            let message = format!("a window cannot combine {} and {}", a.unit.name(), b.unit.name());
            return Err(Error::bad_arguments(message));
        }
    };
    let scaled = |n: i64, by: i64| n.checked_mul(by).ok_or_else(|| Error::bad_arguments("a window is too long"));
    Ok((unit, scaled(a.count, x)?, scaled(b.count, y)?))
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
        let local = LocalTime::new(self.zone);
        let (mut origin, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (row, ticks) in time_values(column.as_ref()).iter().enumerate() {
            // A row without a time is in no window.
            if column.is_null(row) {
                continue;
            }
            self.windows(*ticks, &local, |start, end| {
                origin.push(row as u32);
                starts.push(start);
                ends.push(end);
            });
        }
        let rows = origin.len();
        let origin = UInt32Array::from(origin);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns() + 2);
        for column in batch.columns() {
            columns.push(take(column, &origin, None).map_err(arrow_error)?);
        }
        columns.push(from_natives(starts, &self.ty)?);
        columns.push(from_natives(ends, &self.ty)?);
        batch_of(&self.schema, columns, rows)
    }
}
