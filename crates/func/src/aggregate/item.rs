//! Values as aggregates keep them: owned, ordered, hashed and written the same way for every type.
//!
//! In: argument arrays. Out: a [`Kind`] for each layout: numbers of a fixed width, bytes, and everything else as the bytes
//! of `arrow-row` (tuples, arrays, several arguments at once). Promise: the order is that of the values; a NaN is one
//! value, after all others.

use super::bytes::{Reader, put_bytes};
use crate::call::{arrow_error, downcast};
use crate::scalar::column::natives;
use arrow::array::{Array, ArrayData, ArrayRef, BinaryArray, FixedSizeBinaryArray, make_array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use arrow_row::{RowConverter, Rows, SortField};
use hydron_base::{Code, Error, Result};
use hydron_types::physical::arrow_type;
use hydron_types::{LogicalType, Value, array_of};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A layout of values.
pub trait Kind: Clone + Send + Sync + 'static {
    /// One value, kept.
    type Own: Clone + Send + Sync + Eq + Ord + Hash + 'static;
    /// The values of one batch.
    type View<'a>;

    /// Reads the first array, or for [`RowKind`] as many as it was made for.
    fn view<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::View<'a>>;

    fn own(view: &Self::View<'_>, row: usize) -> Self::Own;

    /// Overwrites a kept value.
    fn set(own: &mut Self::Own, view: &Self::View<'_>, row: usize) {
        *own = Self::own(view, row);
    }

    /// The value in `row` against a kept one.
    fn compare(view: &Self::View<'_>, row: usize, own: &Self::Own) -> Ordering;

    /// Whether the value in `row` is a NaN.
    fn nan_at(view: &Self::View<'_>, row: usize) -> bool {
        let _ = (view, row);
        false
    }

    /// Whether a kept value is a NaN.
    fn is_nan(own: &Self::Own) -> bool {
        let _ = own;
        false
    }

    /// The type of the (first) argument.
    fn ty(&self) -> &LogicalType;

    /// A column of [`Kind::ty`] from kept values.
    fn array<'a>(&self, values: impl Iterator<Item = &'a Self::Own>) -> Result<ArrayRef>;

    fn write(own: &Self::Own, out: &mut Vec<u8>);

    fn read(bytes: &mut Reader<'_>) -> Result<Self::Own>;

    /// Bytes kept outside of the value itself.
    fn heap(own: &Self::Own) -> usize {
        let _ = own;
        0
    }

    /// The value that a group without rows answers.
    fn default_own(&self) -> Result<Self::Own> {
        let ty = self.ty();
        let one = array_of(&Value::default_of(ty), ty, 1)?;
        let args = [one];
        let view = self.view(&args)?;
        Ok(Self::own(&view, 0))
    }
}

/// A number of fixed width with an order and a hash.
pub trait Native: ArrowNativeType + Send + Sync {
    type Key: Copy + Send + Sync + Ord + Eq + Hash + 'static;
    fn key(self) -> Self::Key;
    fn value(key: Self::Key) -> Self;
    fn key_is_nan(key: Self::Key) -> bool;
    fn write_key(key: Self::Key, out: &mut Vec<u8>);
    fn read_key(bytes: &mut Reader<'_>) -> Result<Self::Key>;
}

macro_rules! native {
    ($($t:ty),*) => {$(
        impl Native for $t {
            type Key = $t;
            #[inline]
            fn key(self) -> $t {
                self
            }
            #[inline]
            fn value(key: $t) -> $t {
                key
            }
            #[inline]
            fn key_is_nan(_: $t) -> bool {
                false
            }
            fn write_key(key: $t, out: &mut Vec<u8>) {
                out.extend_from_slice(&key.to_le_bytes());
            }
            fn read_key(bytes: &mut Reader<'_>) -> Result<$t> {
                Ok(<$t>::from_le_bytes(bytes.array()?))
            }
        }
    )*};
}

native!(i8, i16, i32, i64, i128, u8, u16, u32, u64, i256);

/// Floats are kept as the integers of the same order; the one NaN is the greatest.
macro_rules! native_float {
    ($t:ty, $bits:ty) => {
        impl Native for $t {
            type Key = $bits;
            #[inline]
            fn key(self) -> $bits {
                let bits = if self.is_nan() { <$t>::NAN.abs() } else { self }.to_bits() as $bits;
                bits ^ ((bits >> (<$bits>::BITS - 1)) & <$bits>::MAX)
            }
            #[inline]
            fn value(key: $bits) -> $t {
                <$t>::from_bits((key ^ ((key >> (<$bits>::BITS - 1)) & <$bits>::MAX)) as _)
            }
            #[inline]
            fn key_is_nan(key: $bits) -> bool {
                Self::value(key).is_nan()
            }
            fn write_key(key: $bits, out: &mut Vec<u8>) {
                out.extend_from_slice(&key.to_le_bytes());
            }
            fn read_key(bytes: &mut Reader<'_>) -> Result<$bits> {
                Ok(<$bits>::from_le_bytes(bytes.array()?))
            }
        }
    };
}

native_float!(f32, i32);
native_float!(f64, i64);

/// Numbers, dates, times, decimals.
#[derive(Clone)]
pub struct Fixed<T> {
    ty: LogicalType,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T> Fixed<T> {
    pub fn new(ty: &LogicalType) -> Fixed<T> {
        Fixed { ty: ty.clone(), of: std::marker::PhantomData }
    }
}

impl<T: Native + Clone> Kind for Fixed<T> {
    type Own = T::Key;
    type View<'a> = ScalarBuffer<T>;

    fn view<'a>(&'a self, args: &'a [ArrayRef]) -> Result<ScalarBuffer<T>> {
        natives::<T>(first(args)?)
    }

    #[inline]
    fn own(view: &ScalarBuffer<T>, row: usize) -> T::Key {
        view[row].key()
    }

    #[inline]
    fn compare(view: &ScalarBuffer<T>, row: usize, own: &T::Key) -> Ordering {
        view[row].key().cmp(own)
    }

    #[inline]
    fn nan_at(view: &ScalarBuffer<T>, row: usize) -> bool {
        T::key_is_nan(view[row].key())
    }

    #[inline]
    fn is_nan(own: &T::Key) -> bool {
        T::key_is_nan(*own)
    }

    fn ty(&self) -> &LogicalType {
        &self.ty
    }

    fn array<'a>(&self, values: impl Iterator<Item = &'a T::Key>) -> Result<ArrayRef> {
        let values: Vec<T> = values.map(|k| T::value(*k)).collect();
        let data = ArrayData::builder(arrow_type(&self.ty)).len(values.len()).add_buffer(Buffer::from_vec(values));
        data.build().map(make_array).map_err(arrow_error)
    }

    fn write(own: &T::Key, out: &mut Vec<u8>) {
        T::write_key(*own, out);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<T::Key> {
        T::read_key(bytes)
    }
}

fn first(args: &[ArrayRef]) -> Result<&ArrayRef> {
    args.first().ok_or_else(|| Error::bug("an aggregate of values was given none"))
}

/// Strings, fixed strings, and everything that is stored as bytes whose order is the order of the values.
#[derive(Clone)]
pub struct Bytes {
    ty: LogicalType,
}

impl Bytes {
    pub fn new(ty: &LogicalType) -> Bytes {
        Bytes { ty: ty.clone() }
    }
}

pub enum BytesView<'a> {
    Binary(&'a BinaryArray),
    Fixed(&'a FixedSizeBinaryArray),
}

impl BytesView<'_> {
    #[inline]
    pub fn at(&self, row: usize) -> &[u8] {
        match self {
            BytesView::Binary(a) => a.value(row),
            BytesView::Fixed(a) => a.value(row),
        }
    }
}

impl Kind for Bytes {
    type Own = Vec<u8>;
    type View<'a> = BytesView<'a>;

    fn view<'a>(&'a self, args: &'a [ArrayRef]) -> Result<BytesView<'a>> {
        let array = first(args)?;
        Ok(match array.data_type() {
            DataType::FixedSizeBinary(_) => BytesView::Fixed(downcast(array)?),
            _ => BytesView::Binary(downcast(array)?),
        })
    }

    fn own(view: &BytesView<'_>, row: usize) -> Vec<u8> {
        view.at(row).to_vec()
    }

    fn set(own: &mut Vec<u8>, view: &BytesView<'_>, row: usize) {
        own.clear();
        own.extend_from_slice(view.at(row));
    }

    fn compare(view: &BytesView<'_>, row: usize, own: &Vec<u8>) -> Ordering {
        view.at(row).cmp(own.as_slice())
    }

    fn ty(&self) -> &LogicalType {
        &self.ty
    }

    fn array<'a>(&self, values: impl Iterator<Item = &'a Vec<u8>>) -> Result<ArrayRef> {
        if let DataType::FixedSizeBinary(width) = arrow_type(&self.ty) {
            let (mut bytes, mut rows) = (Vec::new(), 0);
            for v in values {
                bytes.extend_from_slice(v);
                rows += 1;
            }
            let data =
                ArrayData::builder(DataType::FixedSizeBinary(width)).len(rows).add_buffer(Buffer::from_vec(bytes));
            return data.build().map(make_array).map_err(arrow_error);
        }
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for v in values {
            bytes.extend_from_slice(v);
            ends.push(crate::scalar::column::end_offset(bytes.len())?);
        }
        let offsets = arrow::buffer::OffsetBuffer::new(ScalarBuffer::from(ends));
        Ok(Arc::new(BinaryArray::new(offsets, Buffer::from_vec(bytes), None)))
    }

    fn write(own: &Vec<u8>, out: &mut Vec<u8>) {
        put_bytes(out, own);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Vec<u8>> {
        Ok(bytes.bytes()?.to_vec())
    }

    fn heap(own: &Vec<u8>) -> usize {
        own.capacity()
    }
}

/// Values of any type, or several arguments as one value.
#[derive(Clone)]
pub struct RowKind {
    converter: Arc<RowConverter>,
    types: Arc<[LogicalType]>,
}

impl RowKind {
    /// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) for a type that cannot be compared.
    pub fn new(types: &[LogicalType]) -> Result<RowKind> {
        let fields = types.iter().map(|t| SortField::new(arrow_type(t))).collect();
        let converter = RowConverter::new(fields).map_err(|_| {
            let names: Vec<String> = types.iter().map(LogicalType::to_string).collect();
            Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, format!("values of {} cannot be compared", names.join(", ")))
        })?;
        Ok(RowKind { converter: Arc::new(converter), types: types.into() })
    }

    /// All columns of kept values.
    pub fn columns<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let rows: Vec<_> = values.map(|v| parser.parse(v)).collect();
        if rows.is_empty() {
            return Ok(self.types.iter().map(|t| arrow::array::new_empty_array(&arrow_type(t))).collect());
        }
        let columns = self.converter.convert_rows(rows).map_err(arrow_error)?;
        Ok(columns.iter().zip(self.types.iter()).map(|(c, t)| crate::scalar::column::retyped(c, t)).collect())
    }
}

impl Kind for RowKind {
    type Own = Vec<u8>;
    type View<'a> = Rows;

    fn view<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Rows> {
        let args =
            args.get(..self.types.len()).ok_or_else(|| Error::bug("too few arguments for an aggregate of rows"))?;
        self.converter.convert_columns(args).map_err(arrow_error)
    }

    fn own(view: &Rows, row: usize) -> Vec<u8> {
        view.row(row).data().to_vec()
    }

    fn compare(view: &Rows, row: usize, own: &Vec<u8>) -> Ordering {
        view.row(row).data().cmp(own.as_slice())
    }

    fn ty(&self) -> &LogicalType {
        &self.types[0]
    }

    fn array<'a>(&self, values: impl Iterator<Item = &'a Vec<u8>>) -> Result<ArrayRef> {
        Ok(self.columns(values.map(Vec::as_slice))?.swap_remove(0))
    }

    fn write(own: &Vec<u8>, out: &mut Vec<u8>) {
        put_bytes(out, own);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Vec<u8>> {
        Ok(bytes.bytes()?.to_vec())
    }

    fn heap(own: &Vec<u8>) -> usize {
        own.capacity()
    }
}

/// A hash that is the same in every process and release: it is part of saved states.
pub fn stable_hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = StableHasher(twox_hash::XxHash64::with_seed(0));
    value.hash(&mut hasher);
    hasher.finish()
}

struct StableHasher(twox_hash::XxHash64);

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

/// Runs `$body` with the [`Kind`] of one argument type, one for each layout.
macro_rules! with_kind {
    ($ty:expr, $k:ident => $body:expr) => {{
        use $crate::aggregate::item::{Bytes, Fixed, RowKind};
        let ty: &hydron_types::LogicalType = $ty;
        macro_rules! fixed {
            ($t:ty) => {{
                let $k = Fixed::<$t>::new(ty);
                $body
            }};
        }
        match hydron_types::physical::arrow_type(ty) {
            arrow::datatypes::DataType::Int8 => fixed!(i8),
            arrow::datatypes::DataType::Int16 => fixed!(i16),
            arrow::datatypes::DataType::Int32
            | arrow::datatypes::DataType::Date32
            | arrow::datatypes::DataType::Decimal32(..) => fixed!(i32),
            arrow::datatypes::DataType::Int64
            | arrow::datatypes::DataType::Timestamp(..)
            | arrow::datatypes::DataType::Decimal64(..) => fixed!(i64),
            arrow::datatypes::DataType::UInt8 => fixed!(u8),
            arrow::datatypes::DataType::UInt16 => fixed!(u16),
            arrow::datatypes::DataType::UInt32 => fixed!(u32),
            arrow::datatypes::DataType::UInt64 => fixed!(u64),
            arrow::datatypes::DataType::Float32 => fixed!(f32),
            arrow::datatypes::DataType::Float64 => fixed!(f64),
            arrow::datatypes::DataType::Decimal128(..) => fixed!(i128),
            arrow::datatypes::DataType::Decimal256(..) => fixed!(arrow::datatypes::i256),
            arrow::datatypes::DataType::Binary | arrow::datatypes::DataType::FixedSizeBinary(_) => {
                let $k = Bytes::new(ty);
                $body
            }
            _ => {
                let $k = RowKind::new(std::slice::from_ref(ty))?;
                $body
            }
        }
    }};
}

/// As `with_kind!`, for folds that are not worth a copy for each width: narrow numbers travel as rows.
macro_rules! with_few_kinds {
    ($ty:expr, $k:ident => $body:expr) => {{
        use $crate::aggregate::item::{Bytes, Fixed, RowKind};
        let ty: &hydron_types::LogicalType = $ty;
        match hydron_types::physical::arrow_type(ty) {
            arrow::datatypes::DataType::Int64
            | arrow::datatypes::DataType::Timestamp(..)
            | arrow::datatypes::DataType::Decimal64(..) => {
                let $k = Fixed::<i64>::new(ty);
                $body
            }
            arrow::datatypes::DataType::UInt64 => {
                let $k = Fixed::<u64>::new(ty);
                $body
            }
            arrow::datatypes::DataType::Float64 => {
                let $k = Fixed::<f64>::new(ty);
                $body
            }
            arrow::datatypes::DataType::Binary | arrow::datatypes::DataType::FixedSizeBinary(_) => {
                let $k = Bytes::new(ty);
                $body
            }
            _ => {
                let $k = RowKind::new(std::slice::from_ref(ty))?;
                $body
            }
        }
    }};
}

pub(crate) use {with_few_kinds, with_kind};
