//! ORDER BY … WITH FILL: rows where sorted values leave gaps.
//!
//! In: sorted rows. Out: the same rows, and between them one for each step that no row has. Promise: a row that is added has
//! the values of the filled columns and the defaults of all others; no query adds more than a named number of rows.
//!
//! INTERPOLATE: the named columns of an added row are worked out from the row before it, once there is one.
//!
//! Several filled columns count like the digits of a number: the last one runs from its FROM to its TO, then the one before
//! it goes on by a step. A column without a FROM starts from the rows' own value.

use crate::expr::QueryTime;
use crate::step::{Step, StepRun};
use crate::steps::batch_of;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{concat, interleave};
use arrow::datatypes::{DataType, SchemaRef};
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_plan::node::{FillColumn, FillStep};
use hydron_types::column::value_at;
use hydron_types::physical::{arrow_type, digits_of_unit};
use hydron_types::time::{LocalTime, Zone, add_ticks};
use hydron_types::{ColumnBuilder, LogicalType, Schema, Value, array_of};
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows that one WITH FILL may add: every second of three weeks. They are made in one batch of some 40 bytes a row and column, and a
/// mistyped bound or step must not fill the memory.
const ROWS_ADDED_MAX: usize = 2_000_000;

#[derive(Clone)]
pub struct Fill {
    columns: Vec<Filled>,
    interpolated: Vec<(usize, Expr)>,
    time: Arc<QueryTime>,
    /// Types of all columns.
    types: Arc<Schema>,
    schema: SchemaRef,
}

/// One filled column.
#[derive(Clone, Debug)]
struct Filled {
    column: usize,
    descending: bool,
    from: Option<Number>,
    to: Option<Number>,
    step: Stride,
}

/// A value of a filled column: whole numbers, days and ticks, or floats.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Whole(i128),
    Float(f64),
}

#[derive(Clone, Debug)]
enum Stride {
    By(Number),
    /// Calendar units of a column of so many digits a second; `None`: of days.
    Calendar {
        count: i64,
        unit: hydron_types::IntervalUnit,
        digits: Option<u8>,
        zone: Zone,
    },
}

impl Number {
    fn of(value: &Value) -> Option<Number> {
        Some(match value {
            Value::Int(n) | Value::Time(n) => Number::Whole(i128::from(*n)),
            Value::UInt(n) => Number::Whole(i128::from(*n)),
            Value::Date(n) => Number::Whole(i128::from(*n)),
            Value::Float32(n) => Number::Float(f64::from(*n)),
            Value::Float64(n) => Number::Float(*n),
            _ => return None,
        })
    }

    /// As a value of the column's type; saturates at its bounds.
    fn value(self, ty: &LogicalType) -> Value {
        match (self, ty) {
            (Number::Float(n), LogicalType::Float32) => Value::Float32(n as f32),
            (Number::Float(n), _) => Value::Float64(n),
            (Number::Whole(n), LogicalType::Date | LogicalType::Date32) => Value::Date(n as i32),
            (Number::Whole(n), LogicalType::DateTime(_) | LogicalType::DateTime64(..)) => Value::Time(n as i64),
            (Number::Whole(n), ty) if ty.is_unsigned_integer() => Value::UInt(n as u64),
            (Number::Whole(n), _) => Value::Int(n as i64),
        }
    }

    fn plus(self, other: Number) -> Number {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => Number::Whole(a + b),
            (a, b) => Number::Float(a.float() + b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Whole(n) => n as f64,
            Number::Float(n) => n,
        }
    }

    fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        }
    }
}

impl Filled {
    fn new(fill: &FillColumn, ty: &LogicalType, zone: Zone) -> Result<Filled> {
        let wrong = |what: String| Error::new(Code::INVALID_WITH_FILL_EXPRESSION, format!("WITH FILL: {what}"));
        let digits = match arrow_type(ty) {
            DataType::Timestamp(unit, _) => Some(digits_of_unit(unit)),
            _ => None,
        };
        let bound = |value: &Option<Value>| value.as_ref().and_then(Number::of);
        let step = match &fill.step {
            FillStep::By(value) => {
                let number = Number::of(value).ok_or_else(|| wrong("STEP is no number".to_string()))?;
                Stride::By(number)
            }
            FillStep::Interval(interval) if !ty.is_date_or_time() => {
                return Err(wrong(format!("STEP of {} for a column of {ty}", interval.unit.name())));
            }
            FillStep::Interval(interval) => {
                let zone = match ty {
                    LogicalType::DateTime(own) | LogicalType::DateTime64(_, own) => own.unwrap_or(zone),
                    _ => Zone::UTC,
                };
                Stride::Calendar { count: interval.count, unit: interval.unit, digits, zone }
            }
        };
        let filled = Filled {
            column: fill.column,
            descending: fill.descending,
            from: bound(&fill.from),
            to: bound(&fill.to),
            step,
        };
        let start = filled.from.or(filled.to).unwrap_or(Number::Whole(0));
        if filled.compare(start, filled.next(start)) != Ordering::Less {
            let direction = if fill.descending { "below" } else { "above" };
            return Err(wrong(format!("STEP must be {direction} 0 in this order")));
        }
        match (filled.from, filled.to) {
            (Some(from), Some(to)) if filled.compare(to, from) == Ordering::Less => {
                Err(wrong("TO comes before FROM in this order".to_string()))
            }
            _ => Ok(filled),
        }
    }

    fn next(&self, value: Number) -> Number {
        match &self.step {
            Stride::By(step) => value.plus(*step),
            Stride::Calendar { count, unit, digits, zone } => {
                let Number::Whole(n) = value else { return value };
                let local = LocalTime::new(*zone);
                Number::Whole(match digits {
                    Some(digits) => i128::from(add_ticks(n as i64, *digits, *unit, *count, &local)),
                    None => {
                        let seconds = add_ticks((n * 86_400) as i64, 0, *unit, *count, &local);
                        i128::from(seconds.div_euclid(86_400))
                    }
                })
            }
        }
    }

    /// In the order of the query.
    fn compare(&self, a: Number, b: Number) -> Ordering {
        if self.descending { b.compare(a) } else { a.compare(b) }
    }
}

impl Fill {
    /// Errors: INVALID_WITH_FILL_EXPRESSION (475) for a step or bounds that lead nowhere.
    pub fn new(
        columns: &[FillColumn],
        interpolated: &[(usize, Expr)],
        types: Arc<Schema>,
        time: &Arc<QueryTime>,
        schema: SchemaRef,
    ) -> Result<Fill> {
        let filled = |c: &FillColumn| Filled::new(c, types.fields[c.column].ty.bare(), time.zone);
        Ok(Fill {
            columns: columns.iter().map(filled).collect::<Result<_>>()?,
            interpolated: interpolated.to_vec(),
            time: Arc::clone(time),
            types: Arc::clone(&types),
            schema,
        })
    }
}

impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Step for Fill {
    fn name(&self) -> &'static str {
        "Fill"
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn needs_one_partition(&self) -> bool {
        true
    }

    fn start(&self) -> Box<dyn StepRun> {
        Box::new(FillRun { fill: self.clone(), at: Vec::new(), held: false, added: 0, last: None })
    }
}

/// A value for each filled column; `None`: the rows' own, whatever it is.
type Point = Vec<Option<Number>>;

struct FillRun {
    fill: Fill,
    /// Where filling stands: on the steps that begin at the first row or at FROM. Empty before the first row.
    at: Point,
    /// Where it stands has not come out: rows are still before it.
    held: bool,
    added: usize,
    /// The last row that came out, for what is worked out from it.
    last: Option<Vec<ArrayRef>>,
}

/// Rows to come out: from the input, or added.
enum Out {
    Input(usize),
    Added(usize),
}

impl FillRun {
    /// Whether `a` comes before `b`; values that are not known do not decide.
    fn before(&self, a: &Point, b: &Point) -> bool {
        for (column, (a, b)) in self.fill.columns.iter().zip(a.iter().zip(b)) {
            let (Some(a), Some(b)) = (a, b) else { continue };
            match column.compare(*a, *b) {
                Ordering::Equal => {}
                order => return order == Ordering::Less,
            }
        }
        false
    }

    fn starts(&self, point: &mut Point, from: usize) {
        for (column, value) in self.fill.columns.iter().zip(point).skip(from) {
            *value = column.from;
        }
    }

    /// Moves one step toward `goal`. False: there is nothing between.
    fn advance(&mut self, goal: &Point) -> bool {
        let columns = &self.fill.columns;
        let mut at = self.at.clone();
        let differs = |i: &usize| matches!((at[*i], goal[*i]), (Some(a), Some(b)) if columns[*i].compare(a, b) != Ordering::Equal);
        let Some(first) = (0..at.len()).find(differs) else { return false };
        // The last column that still has room before its TO moves; those behind it start anew.
        for i in (first + 1..at.len()).rev() {
            let (Some(to), Some(value)) = (columns[i].to, at[i]) else { continue };
            let next = columns[i].next(value);
            if columns[i].compare(next, to) == Ordering::Less {
                at[i] = Some(next);
                self.starts(&mut at, i + 1);
                self.at = at;
                return true;
            }
        }
        let (Some(value), Some(to)) = (at[first], goal[first]) else { return false };
        let next = columns[first].next(value);
        match columns[first].compare(next, to) {
            Ordering::Greater => false,
            Ordering::Less => {
                at[first] = Some(next);
                self.starts(&mut at, first + 1);
                self.at = at;
                true
            }
            Ordering::Equal => {
                at[first] = Some(next);
                let mut is_before = false;
                for i in first + 1..at.len() {
                    let from = columns[i].from;
                    if let (Some(from), Some(to)) = (from, goal[i])
                        && columns[i].compare(from, to) == Ordering::Less
                    {
                        self.starts(&mut at, i);
                        is_before = true;
                        break;
                    }
                    at[i] = goal[i];
                }
                self.at = at;
                is_before
            }
        }
    }

    fn add(&mut self, points: &mut Vec<Option<Number>>, out: &mut Vec<Out>) -> Result<()> {
        self.added += 1;
        if self.added > ROWS_ADDED_MAX {
            let text = format!("WITH FILL adds more than {ROWS_ADDED_MAX} rows");
            return Err(Error::new(Code::TOO_MANY_ROWS, text).hint("a greater STEP, or FROM and TO closer together"));
        }
        out.push(Out::Added(points.len() / self.at.len()));
        points.extend_from_slice(&self.at);
        Ok(())
    }

    /// A row before its FROM is no step of the filling, which then stands at FROM.
    fn wait_for_from(&mut self, row: &Point) {
        for (i, own) in row.iter().enumerate().take(self.at.len()) {
            let column = &self.fill.columns[i];
            if let (Some(from), Some(own)) = (column.from, *own)
                && column.compare(own, from) == Ordering::Less
                && self.at[i].is_none_or(|at| column.compare(at, from) == Ordering::Less)
            {
                let mut at = self.at.clone();
                self.starts(&mut at, i);
                self.at = at;
                return;
            }
            if self.at[i] != *own {
                return;
            }
        }
    }

    /// Adds what lies between where filling stands and `goal`.
    fn fill_to(&mut self, goal: &Point, points: &mut Vec<Option<Number>>, out: &mut Vec<Out>) -> Result<()> {
        if self.held && self.before(&self.at, goal) {
            self.add(points, out)?;
        }
        while self.advance(goal) {
            if !self.before(&self.at, goal) {
                break;
            }
            self.add(points, out)?;
        }
        Ok(())
    }

    /// The interpolated columns of the added rows, in the order of `interpolated`; and the last row of `out`.
    fn interpolate(
        &mut self,
        batch: Option<&RecordBatch>,
        points: &[Option<Number>],
        out: &[Out],
    ) -> Result<Vec<ArrayRef>> {
        let Fill { columns, interpolated, time, types, .. } = &self.fill;
        let context = time.context();
        let mut made: Vec<Vec<ArrayRef>> = vec![Vec::new(); interpolated.len()];
        for row in out {
            self.last = match row {
                Out::Input(row) => batch.map(|b| b.columns().iter().map(|c| c.slice(*row, 1)).collect()),
                Out::Added(row) => {
                    let mut added = Vec::with_capacity(types.len());
                    for (i, field) in types.fields.iter().enumerate() {
                        let point = columns.iter().position(|c| c.column == i);
                        let point = point.and_then(|at| points[row * columns.len() + at]);
                        let value = point.map_or_else(|| Value::default_of(&field.ty), |n| n.value(field.ty.bare()));
                        added.push(array_of(&value, &field.ty, 1)?);
                    }
                    for ((column, expr), made) in interpolated.iter().zip(&mut made) {
                        if let Some(before) = &self.last {
                            added[*column] = expr.eval_to_array_columns(&context, before, 1)?;
                        }
                        made.push(Arc::clone(&added[*column]));
                    }
                    // Rows before the first one of the input are no rows to go on from.
                    self.last.is_some().then_some(added)
                }
            };
        }
        let whole = |(parts, (column, _)): (&Vec<ArrayRef>, &(usize, Expr))| {
            if parts.is_empty() {
                return array_of(&Value::default_of(&types.fields[*column].ty), &types.fields[*column].ty, 1);
            }
            concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>()).map_err(arrow_error)
        };
        made.iter().zip(interpolated).map(whole).collect()
    }

    fn assemble(&mut self, batch: Option<&RecordBatch>, points: &[Option<Number>], out: &[Out]) -> Result<RecordBatch> {
        let interpolated =
            if self.fill.interpolated.is_empty() { Vec::new() } else { self.interpolate(batch, points, out)? };
        let mut columns = Vec::with_capacity(self.fill.types.len());
        for (i, field) in self.fill.types.fields.iter().enumerate() {
            let default = Value::default_of(&field.ty);
            let added: ArrayRef = match self.fill.columns.iter().position(|c| c.column == i) {
                Some(at) => {
                    let mut builder = ColumnBuilder::new(&field.ty);
                    for value in points.iter().skip(at).step_by(self.fill.columns.len()) {
                        let value = value.map_or_else(|| default.clone(), |n| n.value(field.ty.bare()));
                        builder.append(&value)?;
                    }
                    builder.finish()?
                }
                None => match self.fill.interpolated.iter().position(|(c, _)| *c == i) {
                    Some(at) => Arc::clone(&interpolated[at]),
                    None => array_of(&default, &field.ty, 1)?,
                },
            };
            let filled =
                self.fill.columns.iter().any(|c| c.column == i) || self.fill.interpolated.iter().any(|(c, _)| *c == i);
            let mut sources = vec![added.as_ref()];
            sources.extend(batch.map(|b| b.column(i).as_ref()));
            let order: Vec<(usize, usize)> = out
                .iter()
                .map(|row| match row {
                    Out::Input(row) => (1, *row),
                    Out::Added(row) => (0, if filled { *row } else { 0 }),
                })
                .collect();
            columns.push(interleave(&sources, &order).map_err(arrow_error)?);
        }
        batch_of(&self.fill.schema, columns, out.len())
    }
}

impl StepRun for FillRun {
    fn rows(&mut self, batch: RecordBatch) -> Result<RecordBatch> {
        let (mut points, mut out) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let value = |c: &Filled| {
                let ty = &self.fill.types.fields[c.column].ty;
                Number::of(&value_at(batch.column(c.column), ty, row))
            };
            let own: Point = self.fill.columns.iter().map(value).collect();
            // No step leads to NULL or from it.
            if own.iter().any(Option::is_none) {
                out.push(Out::Input(row));
                continue;
            }
            if self.at.is_empty() {
                self.at = own.clone();
                // Before the first row filling stands at the first FROM that the row is not at.
                let differs = |i: &usize| self.fill.columns[*i].from.is_some_and(|from| own[*i] != Some(from));
                if let Some(first) = (0..own.len()).find(differs) {
                    let mut at = self.at.clone();
                    self.starts(&mut at, first);
                    self.held = self.before(&at, &own);
                    self.at = at;
                }
            }
            // A row behind TO only ends the filling.
            let goal: Point = self
                .fill
                .columns
                .iter()
                .zip(&own)
                .map(|(c, v)| match (c.to, v) {
                    (Some(to), Some(v)) if c.compare(*v, to) != Ordering::Less => Some(to),
                    (_, v) => *v,
                })
                .collect();
            self.fill_to(&goal, &mut points, &mut out)?;
            self.wait_for_from(&goal);
            self.held = self.before(&goal, &self.at);
            out.push(Out::Input(row));
        }
        self.assemble(Some(&batch), &points, &out)
    }

    fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let goal: Point = self.fill.columns.iter().map(|c| c.to).collect();
        let (mut points, mut out) = (Vec::new(), Vec::new());
        if self.at.is_empty() {
            // No rows at all: FROM to TO, where both are given.
            if self.fill.columns.first().is_none_or(|c| c.from.is_none() || c.to.is_none()) {
                return Ok(None);
            }
            self.at = self.fill.columns.iter().map(|c| c.from).collect();
            self.held = true;
        }
        self.fill_to(&goal, &mut points, &mut out)?;
        if out.is_empty() { Ok(None) } else { self.assemble(None, &points, &out).map(Some) }
    }
}
