//! One type to another, as `CAST` does it.
//!
//! In: an array and its type, the wanted type, what to do with values that do not fit. Out: an array in the layout of the
//! wanted type. Promise: values under a NULL are never looked at; a sliced array costs only its rows.
//!
//! In reading order: this file (NULLs, composites, who converts what), [`text`] (from strings), [`number`] (numbers, enums,
//! and numbers as times), [`time`] (between dates and times).

mod number;
mod text;
mod time;

#[cfg(test)]
mod tests;

use crate::column::{ColumnBuilder, list_array};
use crate::logical::LogicalType;
use crate::physical::{arrow_field, arrow_type};
use crate::text::{ColumnWriter, Style, TextOptions};
use crate::time::Zone;
use crate::value::Value;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use hydron_base::{Code, Error, Result};
use std::sync::{Arc, LazyLock};

/// What happens to a value that the target cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastMode {
    /// `CAST`: integers wrap, text that does not parse is an error.
    Wrap,
    /// A value that does not parse or fit becomes NULL; the result is nullable.
    OrNull,
    /// A value that does not parse or fit becomes the default of the target; NULL too, unless the target holds it.
    OrDefault,
    /// A value that changes is an error.
    Accurate,
    /// A value that changes becomes NULL; the result is nullable.
    AccurateOrNull,
}

impl CastMode {
    /// Whether the result has NULLs for what failed.
    pub fn makes_nulls(self) -> bool {
        matches!(self, CastMode::OrNull | CastMode::AccurateOrNull)
    }

    fn fails_silently(self) -> bool {
        !matches!(self, CastMode::Wrap | CastMode::Accurate)
    }
}

#[derive(Clone, Debug)]
pub struct CastOptions {
    /// The zone of `datetime` without a zone of its own.
    pub zone: Zone,
    pub mode: CastMode,
    /// Texts of times are read by the best-effort rules.
    pub best_effort: bool,
    /// Text that is no address becomes the zero address.
    pub ip_default_on_error: bool,
}

impl CastOptions {
    pub fn new(zone: Zone, mode: CastMode) -> CastOptions {
        CastOptions { zone, mode, best_effort: false, ip_default_on_error: false }
    }

    pub fn wrap(zone: Zone) -> CastOptions {
        CastOptions::new(zone, CastMode::Wrap)
    }

    /// The text settings that conversions from and to strings use: the defaults, whatever the query says about formats.
    fn text(&self) -> TextOptions {
        static DEFAULT: LazyLock<TextOptions> = LazyLock::new(TextOptions::default);
        TextOptions {
            zone: self.zone,
            best_effort_times: self.best_effort,
            ipv4_default_on_error: self.ip_default_on_error,
            ipv6_default_on_error: self.ip_default_on_error,
            null_as_default: false,
            ..DEFAULT.clone()
        }
    }
}

/// `array`, which has the layout of `from`, in the layout of `to` (for the modes that make NULLs: of nullable `to`).
///
/// Errors: CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN (349) for a NULL under a type that has none; TYPE_MISMATCH (53) and
/// CANNOT_CONVERT_TYPE (70) for types without a conversion; DECIMAL_OVERFLOW (407); the codes of each parser.
pub fn cast(array: &ArrayRef, from: &LogicalType, to: &LogicalType, options: &CastOptions) -> Result<ArrayRef> {
    let (from, to) = (stored(from), stored(to));
    if from == to && !options.mode.makes_nulls() {
        return Ok(Arc::clone(array));
    }
    let to_bare = stored(to.bare());
    let nullable = options.mode.makes_nulls() || to.is_nullable();
    if array.data_type() == &DataType::Null {
        return match nullable || array.is_empty() || options.mode == CastMode::OrDefault {
            true if nullable => Ok(new_null_array(&arrow_type(to_bare), array.len())),
            true if array.is_empty() => Ok(new_empty_array(&arrow_type(to_bare))),
            true => crate::column::array_of(&Value::default_of(to_bare), to_bare, array.len()),
            false => Err(null_refused(from, to)),
        };
    }
    let nulls = array.nulls().filter(|n| n.null_count() > 0).cloned();
    if nulls.is_some() && !nullable && options.mode != CastMode::OrDefault {
        return Err(null_refused(from, to));
    }
    let from_bare = stored(from.bare());
    let lenient = options.mode == CastMode::Wrap
        && from_bare.is_string_like()
        && to.is_nullable()
        && (to_bare.is_number()
            || to_bare.is_date_or_time()
            || matches!(to_bare, LogicalType::Uuid | LogicalType::Ipv4 | LogicalType::Ipv6));
    let job = Job { from: from_bare, to: to_bare, nulls: nulls.as_ref(), lenient, options };
    let converted = if from_bare == to_bare { Arc::clone(array) } else { job.convert(array)? };
    match nulls {
        None => Ok(converted),
        Some(nulls) if nullable => with_nulls(converted, &nulls),
        Some(nulls) => {
            let default = crate::column::array_of(&Value::default_of(to_bare), to_bare, 1)?;
            let values = with_nulls(converted, &NullBuffer::new_valid(nulls.len()))?;
            arrow::compute::kernels::zip::zip(
                &BooleanArray::new(nulls.into_inner(), None),
                &values,
                &Scalar::new(default),
            )
            .map_err(layout)
        }
    }
}

/// Whether the digits of `decimal` before the point hold the whole part of `value`, an integer or a float; true for any
/// other type and value.
pub fn decimal_holds_whole(value: &Value, decimal: &LogicalType) -> bool {
    let LogicalType::Decimal { precision, scale } = decimal else { return true };
    let most = crate::wide::pow10(precision.saturating_sub(*scale));
    let within = |v: i256| v < most && v.wrapping_neg() < most;
    match value {
        Value::Int(v) => within(i256::from_i128((*v).into())),
        Value::UInt(v) => within(i256::from_i128((*v).into())),
        Value::Wide(v) => within(*v),
        Value::Float64(v) => v.abs() < crate::wide::to_f64(most, false),
        Value::Float32(v) => f64::from(v.abs()) < crate::wide::to_f64(most, false),
        _ => true,
    }
}

/// Whether [`cast`] has a conversion between the types at all; for errors at bind time.
pub fn can_cast(from: &LogicalType, to: &LogicalType) -> bool {
    let empty = new_empty_array(&arrow_type(from));
    cast(&empty, from, to, &CastOptions::wrap(Zone::UTC)).is_ok()
}

/// The type behind names that do not change the layout.
fn stored(ty: &LogicalType) -> &LogicalType {
    match ty {
        LogicalType::LowCardinality(t) => stored(t),
        LogicalType::SimpleAggregateFunction { arg, .. } => stored(arg),
        t => t,
    }
}

fn null_refused(from: &LogicalType, to: &LogicalType) -> Error {
    Error::new(Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN, format!("cannot convert NULL of {from} to {to}"))
}

fn layout(e: arrow::error::ArrowError) -> Error {
    Error::bug(format!("a converted column does not have its layout: {e}"))
}

/// The array with NULLs where it or `nulls` has them.
fn with_nulls(array: ArrayRef, nulls: &NullBuffer) -> Result<ArrayRef> {
    let union = NullBuffer::union(array.nulls(), Some(nulls)).filter(|n| n.null_count() > 0);
    Ok(make_array(array.to_data().into_builder().nulls(union).build().map_err(layout)?))
}

/// One conversion between bare types.
struct Job<'a> {
    from: &'a LogicalType,
    to: &'a LogicalType,
    /// Rows not to look at.
    nulls: Option<&'a NullBuffer>,
    /// A plain cast of text to a nullable number or time: what does not parse is NULL.
    lenient: bool,
    options: &'a CastOptions,
}

impl Job<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|n| n.is_null(row))
    }

    /// A builder for the target: of its nullable form where failures become NULL.
    fn builder(&self, rows: usize) -> ColumnBuilder {
        if self.lenient || self.options.mode.makes_nulls() {
            ColumnBuilder::with_capacity(&LogicalType::Nullable(Box::new(self.to.clone())), rows)
        } else {
            ColumnBuilder::with_capacity(self.to, rows)
        }
    }

    fn unsupported(&self) -> Error {
        Error::new(Code::CANNOT_CONVERT_TYPE, format!("there is no conversion from {} to {}", self.from, self.to))
    }

    fn convert(&self, array: &ArrayRef) -> Result<ArrayRef> {
        use LogicalType as T;
        match (self.from, self.to) {
            (T::Json, T::String) | (T::String, T::Json) | (T::AggregateFunction { .. }, T::String) => {
                Ok(Arc::clone(array))
            }
            (T::String, T::AggregateFunction { .. }) => Ok(Arc::clone(array)),
            (T::FixedString(_), T::String) => self.fixed_to_string(array),
            (T::String | T::FixedString(_), _) => text::from_text(self, array),
            (T::Array(_) | T::Nested(_) | T::Tuple(_) | T::Map(..), T::Json) => self.to_text(array, Style::Json),
            (_, T::String) => self.to_text(array, Style::Plain),
            (from, T::FixedString(_)) if !matches!(from, T::Ipv6 | T::Uuid) => Err(Error::new(
                Code::NOT_IMPLEMENTED,
                format!("there is no conversion from {from} to {}: only strings become fixed strings", self.to),
            )),
            (_, T::FixedString(_)) => {
                let string = Job { to: &T::String, ..*self }.to_text(array, Style::Plain)?;
                Job { from: &T::String, ..*self }.convert(&string)
            }
            (T::Array(a), T::Array(b)) => self.list(array, a, b),
            (T::Nested(a), _) => {
                let rows = T::array(T::Tuple(a.iter().map(|(n, t)| (Some(Arc::clone(n)), t.clone())).collect()));
                if rows == *self.to { Ok(Arc::clone(array)) } else { Job { from: &rows, ..*self }.convert(array) }
            }
            (_, T::Nested(b)) => {
                let rows = T::array(T::Tuple(b.iter().map(|(n, t)| (Some(Arc::clone(n)), t.clone())).collect()));
                if rows == *self.from { Ok(Arc::clone(array)) } else { Job { to: &rows, ..*self }.convert(array) }
            }
            (T::Tuple(a), T::Tuple(b)) => self.tuple(array, a, b),
            (T::Map(k, v), T::Map(l, w)) => {
                let map = array.as_map();
                let (offsets, range) = rebased(map.offsets());
                let keys = self.part(&map.keys().slice(range.0, range.1), k, l)?;
                let values = self.part(&map.values().slice(range.0, range.1), v, w)?;
                self.map(offsets, keys, values)
            }
            (T::Array(item), T::Map(l, w)) => match item.bare() {
                T::Tuple(pair) if pair.len() == 2 => {
                    let list = array.as_list::<i32>();
                    let (offsets, range) = rebased(list.offsets());
                    let rows = list.values().slice(range.0, range.1);
                    let rows = rows.as_struct();
                    let keys = self.part(rows.column(0), &pair[0].1, l)?;
                    let values = self.part(rows.column(1), &pair[1].1, w)?;
                    self.map(offsets, keys, values)
                }
                T::Nothing if array.as_list::<i32>().values().is_empty() => {
                    let offsets = OffsetBuffer::new_zeroed(array.len());
                    self.map(offsets, new_empty_array(&arrow_type(l)), new_empty_array(&arrow_type(w)))
                }
                _ => Err(self.mismatch()),
            },
            (T::Tuple(pair), T::Map(l, w)) => match pair.as_ref() {
                [(_, T::Array(k)), (_, T::Array(v))] => {
                    let columns = array.as_struct();
                    let (keys, values) = (columns.column(0).as_list::<i32>(), columns.column(1).as_list::<i32>());
                    let ((offsets, range), (others, other_range)) =
                        (rebased(keys.offsets()), rebased(values.offsets()));
                    if offsets != others {
                        return Err(Error::new(
                            Code::SIZES_OF_ARRAYS_DOESNT_MATCH,
                            "a map needs as many keys as values",
                        ));
                    }
                    let keys = self.part(&keys.values().slice(range.0, range.1), k, l)?;
                    let values = self.part(&values.values().slice(other_range.0, other_range.1), v, w)?;
                    self.map(offsets, keys, values)
                }
                _ => Err(self.mismatch()),
            },
            (T::Map(k, v), T::Array(item)) => {
                let map = array.as_map();
                let (offsets, range) = rebased(map.offsets());
                let pair = T::Tuple(Arc::from([(None, (**k).clone()), (None, (**v).clone())]));
                let DataType::Struct(fields) = arrow_type(&pair) else { return Err(self.unsupported()) };
                let columns = vec![map.keys().slice(range.0, range.1), map.values().slice(range.0, range.1)];
                let entries: ArrayRef = Arc::new(StructArray::try_new(fields, columns, None).map_err(layout)?);
                let rows = self.part(&entries, &pair, item)?;
                list_array(self.to, offsets, rows, None)
            }
            (_, T::Array(_) | T::Tuple(_) | T::Map(..)) => Err(self.mismatch()),
            // What converts to a number or a time says that it does not take composites.
            (T::Array(_) | T::Tuple(_) | T::Map(..), to)
                if (to.is_number() && !to.is_decimal()) || to.is_date_or_time() || matches!(to, T::Uuid) =>
            {
                Err(Error::new(
                    Code::ILLEGAL_TYPE_OF_ARGUMENT,
                    format!("{} and {} have different shapes: there is no conversion", self.from, self.to),
                ))
            }
            (T::Array(_) | T::Tuple(_) | T::Map(..), _) => Err(self.unsupported()),
            (from, T::Uuid) | (T::Uuid, from) if from.is_number() && !matches!(from, T::UInt128) => Err(Error::new(
                Code::NOT_IMPLEMENTED,
                format!("there is no conversion from {} to {}: a uuid is written in quotes", self.from, self.to),
            )),
            (from, to) if from.is_date_or_time() && to.is_date_or_time() => time::between_times(self, array),
            _ => number::from_number(self, array),
        }
    }

    fn mismatch(&self) -> Error {
        Error::new(
            Code::TYPE_MISMATCH,
            format!("{} and {} have different shapes: there is no conversion", self.from, self.to),
        )
    }

    /// Converts the children of a composite.
    fn part(&self, array: &ArrayRef, from: &LogicalType, to: &LogicalType) -> Result<ArrayRef> {
        let mode = match self.options.mode {
            CastMode::OrNull if !to.is_nullable() => CastMode::OrDefault,
            CastMode::AccurateOrNull if !to.is_nullable() => CastMode::Accurate,
            mode => mode,
        };
        cast(array, from, to, &CastOptions { mode, ..self.options.clone() })
    }

    fn list(&self, array: &ArrayRef, from: &LogicalType, to: &LogicalType) -> Result<ArrayRef> {
        let list = array.as_list::<i32>();
        let (offsets, (start, len)) = rebased(list.offsets());
        let items = self.part(&list.values().slice(start, len), from, to)?;
        list_array(self.to, offsets, items, None)
    }

    fn tuple(
        &self,
        array: &ArrayRef,
        from: &[(Option<Arc<str>>, LogicalType)],
        to: &[(Option<Arc<str>>, LogicalType)],
    ) -> Result<ArrayRef> {
        if from.len() != to.len() {
            return Err(self.mismatch());
        }
        let columns = array.as_struct();
        // Tuples with the same names meet by name, others by position.
        let source = |i: usize| match &to[i].0 {
            Some(name) => from.iter().position(|(n, _)| n.as_ref() == Some(name)).unwrap_or(i),
            None => i,
        };
        let by_name = (0..to.len()).all(|i| to[i].0.is_some() && from.iter().any(|(n, _)| *n == to[i].0));
        let parts = (0..to.len()).map(|i| {
            let at = if by_name { source(i) } else { i };
            self.part(columns.column(at), &from[at].1, &to[i].1)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let DataType::Struct(fields) = arrow_type(self.to) else { return Err(self.unsupported()) };
        Ok(Arc::new(StructArray::try_new(fields, parts, None).map_err(layout)?))
    }

    fn map(&self, offsets: OffsetBuffer<i32>, keys: ArrayRef, values: ArrayRef) -> Result<ArrayRef> {
        let (LogicalType::Map(k, v), DataType::Map(entry, sorted)) = (self.to, arrow_type(self.to)) else {
            return Err(self.unsupported());
        };
        let fields = Fields::from(vec![Field::new("keys", arrow_type(k), false), arrow_field("values", v)]);
        let entries = StructArray::try_new(fields, vec![keys, values], None).map_err(layout)?;
        Ok(Arc::new(MapArray::try_new(entry, offsets, entries, None, sorted).map_err(layout)?))
    }

    fn to_text(&self, array: &ArrayRef, style: Style) -> Result<ArrayRef> {
        let mut text = self.options.text();
        text.null_as_default = false;
        let writer = ColumnWriter::new(array, self.from, style, &text)?;
        let mut bytes = Vec::with_capacity(array.len() * 8);
        let mut offsets = Vec::with_capacity(array.len() + 1);
        offsets.push(0i32);
        for row in 0..array.len() {
            if !self.is_null(row) {
                writer.write(row, &mut bytes);
            }
            offsets.push(bytes.len() as i32);
        }
        if bytes.len() > i32::MAX as usize {
            return Err(too_many_bytes(bytes.len()));
        }
        Ok(Arc::new(BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes.into(), None)))
    }

    /// The zeros at the end only fill a fixed string up.
    fn fixed_to_string(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let fixed = array.as_fixed_size_binary();
        let bytes = fixed.len().saturating_mul(fixed.value_length() as usize);
        if bytes > i32::MAX as usize {
            return Err(too_many_bytes(bytes));
        }
        let text = |row: usize| {
            let bytes = fixed.value(row);
            let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            &bytes[..end]
        };
        Ok(Arc::new(BinaryArray::from_iter_values((0..fixed.len()).map(text))))
    }
}

fn too_many_bytes(bytes: usize) -> Error {
    let text = format!("the texts of one batch have {bytes} bytes, at most {}", i32::MAX);
    Error::new(Code::TOO_LARGE_STRING_SIZE, text)
}

/// Offsets that start at zero, and the start and length of the items they cover.
fn rebased(offsets: &OffsetBuffer<i32>) -> (OffsetBuffer<i32>, (usize, usize)) {
    let first = offsets[0];
    let last = offsets[offsets.len() - 1];
    let range = (first as usize, (last - first) as usize);
    if first == 0 {
        return (offsets.clone(), range);
    }
    let moved: Vec<i32> = offsets.iter().map(|o| o - first).collect();
    (OffsetBuffer::new(ScalarBuffer::from(moved)), range)
}
