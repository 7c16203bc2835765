//! Random streams: rows made up from the columns' defaults, at a rate.
//!
//! In: a stream's columns, a seed, the time that has passed. Out: batches. Promise: over any second the number of rows is
//! the rate; the same seed and times give the same rows.

use hydron_base::{Code, Error, Result};
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{Catalog, ColumnDefault, Expr, StreamInfo};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::{ColumnBuilder, array_of};
use hydron_types::{Batch, Field, LogicalType, Schema, Value};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// Characters of a made-up string (§2.5: at most 20).
const STRING_LEN_MAX: usize = 20;

/// Elements of a made-up array.
const ARRAY_LEN_MAX: usize = 5;

pub struct RandomRows {
    pub schema: Arc<Schema>,
    defaults: Vec<Option<Expr>>,
    rng: SmallRng,
    batches: u64,
}

impl RandomRows {
    pub fn new(info: &StreamInfo, catalog: &dyn Catalog, cx: &BindContext, seed: u64) -> Result<RandomRows> {
        let fields = info.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
        let schema = Arc::new(Schema::new(fields));
        let bind = |column: &hydron_plan::ColumnInfo| {
            let text = match &column.default {
                ColumnDefault::Default(e) | ColumnDefault::Materialized(e) | ColumnDefault::Alias(e) => e,
                ColumnDefault::None | ColumnDefault::Ephemeral(_) => return Ok(None),
            };
            bind_scalar_expr(&hydron_sql::parse_expression(text)?, &schema, catalog, cx).map(Some)
        };
        let defaults = info.columns.iter().map(bind).collect::<Result<_>>()?;
        Ok(RandomRows { schema, defaults, rng: SmallRng::seed_from_u64(seed), batches: 0 })
    }

    /// The next `rows` rows.
    pub fn batch(&mut self, cx: &EvalContext, rows: usize) -> Result<Batch> {
        self.batches += 1;
        let cx = EvalContext { seed: self.rng.random(), batch: self.batches, ..cx.clone() };
        let mut columns = Vec::with_capacity(self.schema.len());
        for (field, default) in self.schema.fields.iter().zip(&self.defaults) {
            columns.push(match default {
                None => random_column(&mut self.rng, &field.ty, rows)?,
                Some(_) => array_of(&Value::default_of(&field.ty), &field.ty, rows)?,
            });
        }
        // A default may read the columns before it.
        for (at, default) in self.defaults.iter().enumerate() {
            let Some(expr) = default else { continue };
            let batch = Batch::new(Arc::clone(&self.schema), columns.clone(), rows);
            let value = expr.eval(&cx, &batch)?.to_array(rows)?;
            columns[at] = cast(&value, &expr.ty, &self.schema.fields[at].ty, &CastOptions::wrap(cx.zone))?;
        }
        Ok(Batch::new(Arc::clone(&self.schema), columns, rows))
    }
}

fn random_column(rng: &mut SmallRng, ty: &LogicalType, rows: usize) -> Result<arrow::array::ArrayRef> {
    let mut builder = ColumnBuilder::with_capacity(ty, rows);
    for _ in 0..rows {
        builder.append(&random_value(rng, ty)?)?;
    }
    builder.finish()
}

fn random_value(rng: &mut SmallRng, ty: &LogicalType) -> Result<Value> {
    use LogicalType::*;
    Ok(match ty {
        Nullable(t) | LowCardinality(t) => random_value(rng, t)?,
        Bool => Value::Bool(rng.random()),
        Int8 => Value::Int(rng.random::<i8>().into()),
        Int16 => Value::Int(rng.random::<i16>().into()),
        Int32 => Value::Int(rng.random::<i32>().into()),
        Int64 => Value::Int(rng.random()),
        UInt8 => Value::UInt(rng.random::<u8>().into()),
        UInt16 => Value::UInt(rng.random::<u16>().into()),
        UInt32 => Value::UInt(rng.random::<u32>().into()),
        UInt64 => Value::UInt(rng.random()),
        Ipv4 => Value::UInt(rng.random::<u32>().into()),
        Int128 | Int256 | UInt128 | UInt256 => {
            Value::Wide(arrow::datatypes::i256::from_i128(rng.random::<i64>().into()))
        }
        Float32 => Value::Float32(rng.random()),
        Float64 => Value::Float64(rng.random()),
        Decimal { precision, .. } => {
            let digits = u32::from((*precision).min(18));
            Value::Decimal(arrow::datatypes::i256::from_i128(i128::from(rng.random_range(0..10_i64.pow(digits)))))
        }
        String | Json => Value::Bytes(random_text(rng)),
        FixedString(n) => Value::Bytes((0..*n).map(|_| rng.random_range(b' '..=b'~')).collect()),
        Date => Value::Date(rng.random_range(0..65_536)),
        Date32 => Value::Date(rng.random_range(-25_567..120_530)),
        DateTime(_) => Value::Time(rng.random_range(0..i64::from(u32::MAX))),
        DateTime64(scale, _) => {
            let digits = hydron_types::physical::digits_of_unit(hydron_types::physical::unit_of_scale(*scale));
            Value::Time(rng.random_range(0..i64::from(u32::MAX)) * 10_i64.pow(digits.into()))
        }
        Ipv6 => Value::Ipv6(rng.random()),
        Uuid => Value::Uuid(rng.random()),
        Enum8(names) | Enum16(names) => {
            Value::Int(names.pairs.get(rng.random_range(0..names.pairs.len().max(1))).map_or(0, |(_, v)| (*v).into()))
        }
        Array(t) => {
            let len = rng.random_range(0..=ARRAY_LEN_MAX);
            Value::Array((0..len).map(|_| random_value(rng, t)).collect::<Result<_>>()?)
        }
        Tuple(elements) => Value::Tuple(elements.iter().map(|(_, t)| random_value(rng, t)).collect::<Result<_>>()?),
        Map(k, v) => {
            let len = rng.random_range(0..=ARRAY_LEN_MAX);
            Value::Map((0..len).map(|_| Ok((random_value(rng, k)?, random_value(rng, v)?))).collect::<Result<_>>()?)
        }
        other => {
            let message = format!("a random stream cannot make values of type {other}");
            return Err(Error::new(Code::NOT_IMPLEMENTED, message).hint("give the column a DEFAULT"));
        }
    })
}

fn random_text(rng: &mut SmallRng) -> Vec<u8> {
    let len = rng.random_range(0..=STRING_LEN_MAX);
    (0..len).map(|_| rng.random_range(b'!'..=b'~')).collect()
}

/// How many rows are due: the rate times the time that has passed, less what was made before.
#[derive(Debug)]
pub struct Rate {
    /// Rows per second; 0: as many as are asked for.
    eps: f64,
    made: f64,
}

impl Rate {
    pub fn new(eps: f64) -> Rate {
        Rate { eps, made: 0.0 }
    }

    /// Rows to make when `elapsed_ms` have passed since the start, at most `rows_max`.
    pub fn due(&mut self, elapsed_ms: i64, rows_max: usize) -> usize {
        if self.eps <= 0.0 {
            return rows_max;
        }
        let due = (self.eps * elapsed_ms as f64 / 1_000.0 - self.made).floor().clamp(0.0, rows_max as f64);
        self.made += due;
        due as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_as_many_rows_as_the_rate_says() {
        let mut rate = Rate::new(1_000.0);
        let made: usize = (1..=200).map(|tick| rate.due(tick * 5, usize::MAX)).sum();
        assert_eq!(made, 1_000);
        let mut slow = Rate::new(0.5);
        let rows: Vec<usize> = (1..=4).map(|s| slow.due(s * 1_000, 10)).collect();
        assert_eq!(rows, [0, 1, 0, 1]);
    }
}
