//! Columns from values and values from columns.
//!
//! In: values one by one. Out: an array in the layout of [`crate::physical`]. Promise: a builder takes only values of its
//! type, and a failed append leaves it as it was.

use crate::logical::LogicalType;
use crate::physical::{arrow_field, arrow_type};
use crate::time::{LocalTime, Zone};
use crate::value::Value;
use crate::wide;
use arrow::array::*;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::*;
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

/// `rows` copies of `value` in the layout of `ty`. Errors: as [`ColumnBuilder::append`].
pub fn array_of(value: &Value, ty: &LogicalType, rows: usize) -> Result<ArrayRef> {
    let mut one = ColumnBuilder::with_capacity(ty, 1);
    one.append(value)?;
    let one = one.finish()?;
    if rows == 1 {
        return Ok(one);
    }
    crate::gather::repeat(&one, rows).map_err(|e| e.context(format!("a constant column of {rows} rows")))
}

/// The value in `row` of an array in the layout of `ty`.
pub fn value_at(array: &ArrayRef, ty: &LogicalType, row: usize) -> Value {
    use LogicalType::*;
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Value::Null;
    }
    let a = array.as_ref();
    match ty {
        Nothing => Value::Null,
        Nullable(t) | LowCardinality(t) => value_at(array, t, row),
        SimpleAggregateFunction { arg, .. } => value_at(array, arg, row),
        Bool => Value::Bool(a.as_boolean().value(row)),
        Int8 | Enum8(_) => Value::Int(a.as_primitive::<Int8Type>().value(row).into()),
        Int16 | Enum16(_) => Value::Int(a.as_primitive::<Int16Type>().value(row).into()),
        Int32 => Value::Int(a.as_primitive::<Int32Type>().value(row).into()),
        Int64 | Interval(_) => Value::Int(a.as_primitive::<Int64Type>().value(row)),
        Int128 => Value::Wide(i256::from_i128(a.as_primitive::<Decimal128Type>().value(row))),
        Int256 => Value::Wide(a.as_primitive::<Decimal256Type>().value(row)),
        UInt8 => Value::UInt(a.as_primitive::<UInt8Type>().value(row).into()),
        UInt16 => Value::UInt(a.as_primitive::<UInt16Type>().value(row).into()),
        UInt32 | Ipv4 => Value::UInt(a.as_primitive::<UInt32Type>().value(row).into()),
        UInt64 => Value::UInt(a.as_primitive::<UInt64Type>().value(row)),
        UInt128 => Value::Wide(wide::u128_from(a.as_fixed_size_binary().value(row))),
        UInt256 => Value::Wide(wide::u256_from(a.as_fixed_size_binary().value(row))),
        Float32 => Value::Float32(a.as_primitive::<Float32Type>().value(row)),
        Float64 => Value::Float64(a.as_primitive::<Float64Type>().value(row)),
        Decimal { precision, .. } => Value::Decimal(match precision {
            ..=9 => i256::from_i128(a.as_primitive::<Decimal32Type>().value(row).into()),
            10..=18 => i256::from_i128(a.as_primitive::<Decimal64Type>().value(row).into()),
            19..=38 => i256::from_i128(a.as_primitive::<Decimal128Type>().value(row)),
            _ => a.as_primitive::<Decimal256Type>().value(row),
        }),
        String | Json | AggregateFunction { .. } => Value::Bytes(a.as_binary::<i32>().value(row).to_vec()),
        FixedString(_) => Value::Bytes(a.as_fixed_size_binary().value(row).to_vec()),
        Date | Date32 => Value::Date(a.as_primitive::<Date32Type>().value(row)),
        DateTime(_) | DateTime64(..) => Value::Time(time_values(a)[row]),
        Uuid => Value::Uuid(sixteen(a.as_fixed_size_binary().value(row))),
        Ipv6 => Value::Ipv6(sixteen(a.as_fixed_size_binary().value(row))),
        Array(t) => {
            let items = a.as_list::<i32>().value(row);
            Value::Array((0..items.len()).map(|i| value_at(&items, t, i)).collect())
        }
        Tuple(elements) => {
            let columns = a.as_struct().columns();
            Value::Tuple(elements.iter().zip(columns).map(|((_, t), c)| value_at(c, t, row)).collect())
        }
        Nested(elements) => {
            let rows = a.as_list::<i32>().value(row);
            let columns = rows.as_struct().columns();
            let tuple = |i| Value::Tuple(elements.iter().zip(columns).map(|((_, t), c)| value_at(c, t, i)).collect());
            Value::Array((0..rows.len()).map(tuple).collect())
        }
        Map(k, v) => {
            let entries = a.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Map((0..entries.len()).map(|i| (value_at(keys, k, i), value_at(values, v, i))).collect())
        }
    }
}

fn sixteen(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(bytes);
    out
}

/// The ticks of a timestamp array of any unit.
pub fn time_values(array: &dyn Array) -> &[i64] {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => array.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => array.as_primitive::<TimestampMillisecondType>().values(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().values(),
        _ => array.as_primitive::<TimestampNanosecondType>().values(),
    }
}

impl Value {
    /// The value of a column that was given none: zero, empty, epoch, the first name of an enum, NULL where it is allowed.
    pub fn default_of(ty: &LogicalType) -> Value {
        use LogicalType::*;
        match ty {
            Nothing | Nullable(_) => Value::Null,
            LowCardinality(t) => Value::default_of(t),
            SimpleAggregateFunction { arg, .. } => Value::default_of(arg),
            Bool => Value::Bool(false),
            Int8 | Int16 | Int32 | Int64 | Interval(_) => Value::Int(0),
            UInt8 | UInt16 | UInt32 | UInt64 | Ipv4 => Value::UInt(0),
            Int128 | Int256 | UInt128 | UInt256 => Value::Wide(i256::ZERO),
            Float32 => Value::Float32(0.0),
            Float64 => Value::Float64(0.0),
            Decimal { .. } => Value::Decimal(i256::ZERO),
            String | AggregateFunction { .. } => Value::Bytes(Vec::new()),
            Json => Value::Bytes(b"{}".to_vec()),
            FixedString(n) => Value::Bytes(vec![0; *n as usize]),
            Date | Date32 => Value::Date(0),
            DateTime(_) | DateTime64(..) => Value::Time(0),
            Ipv6 => Value::Ipv6([0; 16]),
            Uuid => Value::Uuid([0; 16]),
            Enum8(names) | Enum16(names) => Value::Int(names.pairs.first().map_or(0, |(_, v)| i64::from(*v))),
            Array(_) | Nested(_) => Value::Array(Vec::new()),
            Tuple(elements) => Value::Tuple(elements.iter().map(|(_, t)| Value::default_of(t)).collect()),
            Map(..) => Value::Map(Vec::new()),
        }
    }
}

/// Where the values of a builder are, by layout.
pub(crate) enum Store {
    Null(usize),
    Bool(Vec<bool>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I128(Vec<i128>),
    I256(Vec<i256>),
    Bytes { offsets: Vec<i32>, bytes: Vec<u8> },
    Fixed { width: usize, bytes: Vec<u8>, len: usize },
    List { offsets: Vec<i32>, items: Box<ColumnBuilder> },
    Struct { fields: Vec<ColumnBuilder>, len: usize },
    Map { offsets: Vec<i32>, keys: Box<ColumnBuilder>, values: Box<ColumnBuilder> },
}

/// Collects values of one type into an array.
pub struct ColumnBuilder {
    ty: LogicalType,
    pub(crate) store: Store,
    /// True where a value is; `None` for a type without NULL.
    valid: Option<Vec<bool>>,
    /// The calendar that the last text of a time was read with.
    local: Option<LocalTime>,
}

macro_rules! each_primitive {
    ($store:expr, $v:ident => $body:expr, $($other:tt)*) => {
        match $store {
            Store::I8($v) => $body,
            Store::I16($v) => $body,
            Store::I32($v) => $body,
            Store::I64($v) => $body,
            Store::U8($v) => $body,
            Store::U16($v) => $body,
            Store::U32($v) => $body,
            Store::U64($v) => $body,
            Store::F32($v) => $body,
            Store::F64($v) => $body,
            Store::I128($v) => $body,
            Store::I256($v) => $body,
            $($other)*
        }
    };
}

impl ColumnBuilder {
    pub fn new(ty: &LogicalType) -> ColumnBuilder {
        ColumnBuilder::with_capacity(ty, 0)
    }

    pub fn with_capacity(ty: &LogicalType, rows: usize) -> ColumnBuilder {
        let valid = ty.is_nullable().then(|| Vec::with_capacity(rows));
        ColumnBuilder { ty: ty.clone(), store: Store::of(ty, rows), valid, local: None }
    }

    pub fn ty(&self) -> &LogicalType {
        &self.ty
    }

    pub fn is_nullable(&self) -> bool {
        self.valid.is_some()
    }

    pub fn len(&self) -> usize {
        match &self.store {
            Store::Null(n) => *n,
            store => store.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Marks the value that was just pushed into `store` as present.
    pub(crate) fn mark_valid(&mut self) {
        if let Some(valid) = &mut self.valid {
            valid.push(true);
        }
    }

    /// The type, the place for values, and the calendar of `zone` (or of the type's own zone).
    pub(crate) fn parts(&mut self, zone: Zone) -> (&LogicalType, &mut Store, &LocalTime) {
        let zone = match self.ty.bare() {
            LogicalType::DateTime(Some(own)) | LogicalType::DateTime64(_, Some(own)) => *own,
            _ => zone,
        };
        if self.local.as_ref().is_none_or(|l| l.zone() != zone) {
            self.local = None;
        }
        (&self.ty, &mut self.store, self.local.get_or_insert_with(|| LocalTime::new(zone)))
    }

    /// Appends `value`, which must be of the variant that [`Value`] documents for the type.
    ///
    /// Errors: TYPE_MISMATCH (53) for another variant, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN (349) for a NULL where none
    /// is allowed, TOO_LARGE_STRING_SIZE (131) for a text longer than its `fixed_string`.
    pub fn append(&mut self, value: &Value) -> Result<()> {
        if value.is_null() {
            return if self.valid.is_some() {
                self.append_null();
                Ok(())
            } else {
                Err(Error::new(
                    Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN,
                    format!("NULL cannot be a value of {}", self.ty),
                ))
            };
        }
        let before = self.len();
        if let Err(e) = self.store.push(value, &self.ty) {
            self.store.truncate(before);
            return Err(e);
        }
        self.mark_valid();
        Ok(())
    }

    /// Appends bytes to a column of strings, json or fixed strings (shorter ones are padded with zero bytes).
    pub fn append_bytes(&mut self, text: &[u8]) -> Result<()> {
        match &mut self.store {
            Store::Bytes { offsets, bytes } => {
                bytes.extend_from_slice(text);
                offsets.push(bytes.len() as i32);
            }
            Store::Fixed { width, bytes, len } if text.len() <= *width => {
                bytes.extend_from_slice(text);
                *len += 1;
                bytes.resize(*len * *width, 0);
            }
            Store::Fixed { width, .. } => {
                return Err(Error::new(
                    Code::TOO_LARGE_STRING_SIZE,
                    format!("a string of {} bytes does not fit fixed_string({width})", text.len()),
                ));
            }
            _ => return Err(mismatch("text", &self.ty)),
        }
        self.mark_valid();
        Ok(())
    }

    pub fn append_default(&mut self) {
        if self.valid.is_some() {
            return self.append_null();
        }
        self.push_filler();
    }

    /// NULL where the type has it, the default elsewhere.
    pub fn append_null(&mut self) {
        self.push_filler();
        if let Some(valid) = &mut self.valid {
            valid.push(false);
        }
    }

    fn push_filler(&mut self) {
        if let LogicalType::Enum8(names) | LogicalType::Enum16(names) = self.ty.bare() {
            let first = names.pairs.first().map_or(0, |(_, v)| *v);
            match &mut self.store {
                Store::I8(v) => v.push(first as i8),
                Store::I16(v) => v.push(first),
                _ => {}
            }
            return;
        }
        if matches!(self.ty.bare(), LogicalType::Json) {
            if let Store::Bytes { offsets, bytes } = &mut self.store {
                bytes.extend_from_slice(b"{}");
                offsets.push(bytes.len() as i32);
            }
            return;
        }
        each_primitive!(&mut self.store, v => v.push(Default::default()),
            Store::Null(n) => *n += 1,
            Store::Bool(v) => v.push(false),
            Store::Bytes { offsets, bytes } => offsets.push(bytes.len() as i32),
            Store::Fixed { width, bytes, len } => {
                *len += 1;
                bytes.resize(*len * *width, 0);
            }
            Store::List { offsets, items } => offsets.push(items.len() as i32),
            Store::Map { offsets, keys, .. } => offsets.push(keys.len() as i32),
            Store::Struct { fields, len } => {
                fields.iter_mut().for_each(ColumnBuilder::append_default);
                *len += 1;
            }
        );
    }

    /// Forgets all values after the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.store.truncate(len);
        if let Some(valid) = &mut self.valid {
            valid.truncate(len);
        }
    }

    /// Takes the values as an array; the builder is then empty and can be used again.
    ///
    /// Errors: TOO_LARGE_STRING_SIZE (131) when the column holds more than 2 GiB of bytes or elements.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        let len = self.len();
        let store = std::mem::replace(&mut self.store, Store::of(&self.ty, 0));
        let nulls = self.valid.as_mut().map(std::mem::take).filter(|v| v.iter().any(|b| !b));
        let nulls = nulls.map(|v| NullBuffer::new(BooleanBuffer::from(v)));
        let builder = ArrayData::builder(arrow_type(&self.ty)).len(len);
        let data = match store {
            Store::Null(n) => return Ok(Arc::new(NullArray::new(n))),
            Store::Bool(v) => return Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(v), nulls))),
            Store::Bytes { offsets, bytes } => {
                too_large(bytes.len())?;
                builder.add_buffer(Buffer::from_vec(offsets)).add_buffer(Buffer::from_vec(bytes))
            }
            Store::Fixed { bytes, .. } => builder.add_buffer(Buffer::from_vec(bytes)),
            Store::List { offsets, mut items } => {
                too_large(items.len())?;
                builder.add_buffer(Buffer::from_vec(offsets)).add_child_data(items.finish()?.to_data())
            }
            Store::Map { offsets, mut keys, mut values } => {
                too_large(keys.len())?;
                let entries = keys.len();
                let fields = match arrow_type(&self.ty) {
                    DataType::Map(entry, _) => entry.data_type().clone(),
                    other => return Err(Error::bug(format!("the layout of a map is {other}"))),
                };
                let rows = ArrayData::builder(fields)
                    .len(entries)
                    .add_child_data(keys.finish()?.to_data())
                    .add_child_data(values.finish()?.to_data());
                builder.add_buffer(Buffer::from_vec(offsets)).add_child_data(rows.build().map_err(layout)?)
            }
            Store::Struct { mut fields, .. } => {
                let mut builder = builder;
                for field in &mut fields {
                    builder = builder.add_child_data(field.finish()?.to_data());
                }
                builder
            }
            other => each_primitive!(other, v => builder.add_buffer(Buffer::from_vec(v)), _ => builder),
        };
        Ok(make_array(data.nulls(nulls).build().map_err(layout)?))
    }
}

fn layout(e: arrow::error::ArrowError) -> Error {
    Error::bug(format!("a built column does not have its layout: {e}"))
}

fn too_large(size: usize) -> Result<()> {
    if size > i32::MAX as usize {
        return Err(Error::new(
            Code::TOO_LARGE_STRING_SIZE,
            format!("a column of one batch would hold {size} bytes or elements, at most {}", i32::MAX),
        ));
    }
    Ok(())
}

fn mismatch(what: &str, ty: &LogicalType) -> Error {
    Error::new(Code::TYPE_MISMATCH, format!("{what} is no value of {ty}"))
}

impl Store {
    fn of(ty: &LogicalType, rows: usize) -> Store {
        use LogicalType::*;
        let starts = || {
            let mut offsets = Vec::with_capacity(rows + 1);
            offsets.push(0);
            offsets
        };
        match ty {
            Nothing => Store::Null(0),
            Nullable(t) | LowCardinality(t) => Store::of(t, rows),
            SimpleAggregateFunction { arg, .. } => Store::of(arg, rows),
            Bool => Store::Bool(Vec::with_capacity(rows)),
            Int8 | Enum8(_) => Store::I8(Vec::with_capacity(rows)),
            Int16 | Enum16(_) => Store::I16(Vec::with_capacity(rows)),
            Int32 | Date | Date32 => Store::I32(Vec::with_capacity(rows)),
            Int64 | Interval(_) | DateTime(_) | DateTime64(..) => Store::I64(Vec::with_capacity(rows)),
            UInt8 => Store::U8(Vec::with_capacity(rows)),
            UInt16 => Store::U16(Vec::with_capacity(rows)),
            UInt32 | Ipv4 => Store::U32(Vec::with_capacity(rows)),
            UInt64 => Store::U64(Vec::with_capacity(rows)),
            Float32 => Store::F32(Vec::with_capacity(rows)),
            Float64 => Store::F64(Vec::with_capacity(rows)),
            Int128 => Store::I128(Vec::with_capacity(rows)),
            Int256 => Store::I256(Vec::with_capacity(rows)),
            Decimal { precision, .. } => match precision {
                ..=9 => Store::I32(Vec::with_capacity(rows)),
                10..=18 => Store::I64(Vec::with_capacity(rows)),
                19..=38 => Store::I128(Vec::with_capacity(rows)),
                _ => Store::I256(Vec::with_capacity(rows)),
            },
            UInt128 | Uuid | Ipv6 => Store::Fixed { width: 16, bytes: Vec::with_capacity(rows * 16), len: 0 },
            UInt256 => Store::Fixed { width: 32, bytes: Vec::with_capacity(rows * 32), len: 0 },
            FixedString(n) => Store::Fixed { width: *n as usize, bytes: Vec::new(), len: 0 },
            String | Json | AggregateFunction { .. } => Store::Bytes { offsets: starts(), bytes: Vec::new() },
            Array(t) => Store::List { offsets: starts(), items: Box::new(ColumnBuilder::new(t)) },
            Nested(elements) => {
                let row = Tuple(elements.iter().map(|(n, t)| (Some(Arc::clone(n)), t.clone())).collect());
                Store::List { offsets: starts(), items: Box::new(ColumnBuilder::new(&row)) }
            }
            Map(k, v) => Store::Map {
                offsets: starts(),
                keys: Box::new(ColumnBuilder::new(k)),
                values: Box::new(ColumnBuilder::new(v)),
            },
            Tuple(elements) => Store::Struct {
                fields: elements.iter().map(|(_, t)| ColumnBuilder::with_capacity(t, rows)).collect(),
                len: 0,
            },
        }
    }

    fn len(&self) -> usize {
        each_primitive!(self, v => v.len(),
            Store::Null(n) => *n,
            Store::Bool(v) => v.len(),
            Store::Bytes { offsets, .. } | Store::List { offsets, .. } | Store::Map { offsets, .. } => offsets.len() - 1,
            Store::Fixed { len, .. } | Store::Struct { len, .. } => *len,
        )
    }

    /// Cuts to `rows` values; also removes what a failed push left behind in children.
    fn truncate(&mut self, rows: usize) {
        each_primitive!(self, v => v.truncate(rows),
            Store::Null(n) => *n = rows.min(*n),
            Store::Bool(v) => v.truncate(rows),
            Store::Bytes { offsets, bytes } => {
                offsets.truncate(rows + 1);
                bytes.truncate(end_of(offsets));
            }
            Store::Fixed { width, bytes, len } => {
                *len = rows.min(*len);
                bytes.truncate(*len * *width);
            }
            Store::List { offsets, items } => {
                offsets.truncate(rows + 1);
                items.truncate(end_of(offsets));
            }
            Store::Map { offsets, keys, values } => {
                offsets.truncate(rows + 1);
                keys.truncate(end_of(offsets));
                values.truncate(end_of(offsets));
            }
            Store::Struct { fields, len } => {
                *len = rows.min(*len);
                fields.iter_mut().for_each(|f| f.truncate(*len));
            }
        )
    }

    fn push(&mut self, value: &Value, ty: &LogicalType) -> Result<()> {
        let wrong = || mismatch(&format!("{value:?}"), ty);
        let signed = || match value {
            Value::Int(v) => Ok(*v),
            Value::Date(v) => Ok(i64::from(*v)),
            Value::Time(v) => Ok(*v),
            Value::Decimal(v) | Value::Wide(v) => v.to_i128().and_then(|v| i64::try_from(v).ok()).ok_or_else(wrong),
            other => other.as_i64().ok_or_else(wrong),
        };
        let unsigned = || value.as_u64().ok_or_else(wrong);
        let large = || match value {
            Value::Wide(v) | Value::Decimal(v) => Ok(*v),
            Value::UInt(v) => Ok(i256::from_i128((*v).into())),
            Value::Int(v) => Ok(i256::from_i128((*v).into())),
            _ => Err(wrong()),
        };
        let text = || match value {
            Value::Bytes(b) => Ok(b.as_slice()),
            Value::Uuid(b) | Value::Ipv6(b) => Ok(b.as_slice()),
            _ => Err(wrong()),
        };
        match self {
            Store::Null(n) => *n += 1,
            Store::Bool(v) => v.push(value.as_i64().ok_or_else(wrong)? != 0),
            Store::I8(v) => v.push(i8::try_from(signed()?).map_err(|_| wrong())?),
            Store::I16(v) => v.push(i16::try_from(signed()?).map_err(|_| wrong())?),
            Store::I32(v) => v.push(i32::try_from(signed()?).map_err(|_| wrong())?),
            Store::I64(v) => v.push(signed()?),
            Store::U8(v) => v.push(u8::try_from(unsigned()?).map_err(|_| wrong())?),
            Store::U16(v) => v.push(u16::try_from(unsigned()?).map_err(|_| wrong())?),
            Store::U32(v) => v.push(u32::try_from(unsigned()?).map_err(|_| wrong())?),
            Store::U64(v) => v.push(unsigned()?),
            Store::F32(v) => v.push(value.as_f64().ok_or_else(wrong)? as f32),
            Store::F64(v) => v.push(value.as_f64().ok_or_else(wrong)?),
            Store::I128(v) => v.push(large()?.to_i128().ok_or_else(wrong)?),
            Store::I256(v) => v.push(large()?),
            Store::Bytes { offsets, bytes } => {
                bytes.extend_from_slice(text()?);
                offsets.push(bytes.len() as i32);
            }
            Store::Fixed { width, bytes, len } => {
                match (value, &*width) {
                    (Value::Wide(_) | Value::UInt(_) | Value::Int(_), 16) => bytes.extend(wide::u128_bytes(large()?)),
                    (Value::Wide(_) | Value::UInt(_) | Value::Int(_), 32) => bytes.extend(large()?.to_be_bytes()),
                    _ if text()?.len() <= *width => bytes.extend_from_slice(text()?),
                    _ => {
                        return Err(Error::new(
                            Code::TOO_LARGE_STRING_SIZE,
                            format!("a string of {} bytes does not fit {ty}", text()?.len()),
                        ));
                    }
                }
                *len += 1;
                bytes.resize(*len * *width, 0);
            }
            Store::List { offsets, items } => {
                let Value::Array(values) = value else { return Err(wrong()) };
                values.iter().try_for_each(|v| items.append(v))?;
                offsets.push(items.len() as i32);
            }
            Store::Map { offsets, keys, values } => {
                let Value::Map(pairs) = value else { return Err(wrong()) };
                for (k, v) in pairs {
                    keys.append(k)?;
                    values.append(v)?;
                }
                offsets.push(keys.len() as i32);
            }
            Store::Struct { fields, len } => {
                let Value::Tuple(values) = value else { return Err(wrong()) };
                if values.len() != fields.len() {
                    return Err(wrong());
                }
                fields.iter_mut().zip(values).try_for_each(|(f, v)| f.append(v))?;
                *len += 1;
            }
        }
        Ok(())
    }
}

fn end_of(offsets: &[i32]) -> usize {
    offsets.last().map_or(0, |o| *o as usize)
}

/// A list array of `items` under `ty` (an array type), which gives the name and nullability of its item field.
pub fn list_array(
    ty: &LogicalType,
    offsets: arrow::buffer::OffsetBuffer<i32>,
    items: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let field = match ty.bare() {
        LogicalType::Array(t) => Arc::new(arrow_field("item", t)),
        other => match arrow_type(other) {
            DataType::List(field) => field,
            _ => return Err(Error::bug(format!("{other} is no array"))),
        },
    };
    Ok(Arc::new(ListArray::try_new(field, offsets, items, nulls).map_err(layout)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_type;

    #[test]
    fn values_come_back_as_they_went_in() {
        let wide = Value::Wide(i256::from_i128(-7));
        let cases: Vec<(&str, Value)> = vec![
            ("int8", Value::Int(-3)),
            ("uint64", Value::UInt(u64::MAX)),
            ("int128", wide.clone()),
            ("int256", wide),
            ("uint256", Value::Wide(i256::MINUS_ONE)),
            ("decimal(30, 2)", Value::Decimal(i256::from_i128(-12345))),
            ("string", Value::string("a\0b")),
            ("fixed_string(2)", Value::string("ab")),
            ("datetime64(3)", Value::Time(-1)),
            ("date", Value::Date(3)),
            ("enum8('a' = 1, 'b' = 2)", Value::Int(2)),
            ("array(nullable(int8))", Value::Array(vec![Value::Int(1), Value::Null])),
            ("tuple(a string, b array(uint8))", Value::Tuple(vec![Value::string("x"), Value::Array(vec![])])),
            ("map(string, nullable(float64))", Value::Map(vec![(Value::string("k"), Value::Float64(0.5))])),
            ("nullable(uuid)", Value::Null),
        ];
        for (ty, value) in cases {
            let ty = parse_type(ty).unwrap();
            let array = array_of(&value, &ty, 3).unwrap();
            assert_eq!(array.data_type(), &arrow_type(&ty), "{ty}");
            assert_eq!(value_at(&array, &ty, 2), value, "{ty}");
            let default = Value::default_of(&ty);
            let mut builder = ColumnBuilder::new(&ty);
            builder.append_default();
            assert_eq!(value_at(&builder.finish().unwrap(), &ty, 0), default, "default of {ty}");
        }
    }

    #[test]
    fn a_failed_append_leaves_the_builder_as_it_was() {
        let ty = parse_type("array(uint8)").unwrap();
        let mut builder = ColumnBuilder::new(&ty);
        builder.append(&Value::Array(vec![Value::UInt(1)])).unwrap();
        let bad = Value::Array(vec![Value::UInt(2), Value::string("x")]);
        assert_eq!(builder.append(&bad).unwrap_err().code, Code::TYPE_MISMATCH);
        assert_eq!(builder.append(&Value::Null).unwrap_err().code, Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN);
        builder.append(&Value::Array(vec![Value::UInt(3)])).unwrap();
        let array = builder.finish().unwrap();
        assert_eq!(value_at(&array, &ty, 1), Value::Array(vec![Value::UInt(3)]));
    }
}
