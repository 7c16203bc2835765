//! Two shapes that many aggregates have: rows kept as they came, and sums of a few floats.
//!
//! In: how a row is read and what is answered for all of them. Out: a bound aggregate. Promise: a merge is the same as the
//! rows one after the other; what a group keeps is counted for the memory budget of its query.

use super::bytes::{Reader, put_bytes, put_f64, put_u64};
use super::fold::{Fold, Picked, sampled_heap};
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use hydron_base::Result;
use hydron_types::{ColumnBuilder, LogicalType, Value};

/// What a group can keep of a row.
pub trait Item: Clone + Send + Sync + 'static {
    fn write(&self, out: &mut Vec<u8>);
    fn read(bytes: &mut Reader<'_>) -> Result<Self>;
    /// Bytes kept outside of the value.
    fn heap(&self) -> usize {
        0
    }
}

macro_rules! fixed_item {
    ($($t:ty),*) => {$(
        impl Item for $t {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn read(bytes: &mut Reader<'_>) -> Result<Self> {
                Ok(<$t>::from_le_bytes(bytes.array()?))
            }
        }
    )*};
}

fixed_item!(u8, u32, u64, i64, i128, f64);

impl Item for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self> {
        Ok(bytes.bytes()?.to_vec())
    }

    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl<A: Item> Item for Option<A> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self> {
        Ok(if bytes.array::<1>()? == [0] { None } else { Some(A::read(bytes)?) })
    }

    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Item::heap)
    }
}

macro_rules! tuple_item {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Item),*> Item for ($($name,)*) {
            fn write(&self, out: &mut Vec<u8>) {
                $(self.$at.write(out);)*
            }
            fn read(bytes: &mut Reader<'_>) -> Result<Self> {
                Ok(($($name::read(bytes)?,)*))
            }
            fn heap(&self) -> usize {
                0 $(+ self.$at.heap())*
            }
        }
    };
}

tuple_item!(A 0, B 1);
tuple_item!(A 0, B 1, C 2);
tuple_item!(A 0, B 1, C 2, D 3);

/// Keeps what `read` takes from each row (`None`: the row does not count) and works `answer` out at the end.
pub struct Kept<T, R, A> {
    pub read: R,
    pub answer: A,
    pub ty: LogicalType,
    pub of: std::marker::PhantomData<fn() -> T>,
}

/// [`Kept`] with its types told by the closures.
pub fn kept<T, R, A>(ty: LogicalType, read: R, answer: A) -> Kept<T, R, A>
where
    R: Fn(&[ArrayRef]) -> Result<Vec<Option<T>>> + Send + Sync + 'static,
    A: Fn(&[T]) -> Result<Value> + Send + Sync + 'static,
{
    Kept { read, answer, ty, of: std::marker::PhantomData }
}

impl<T, R, A> Fold for Kept<T, R, A>
where
    T: Item,
    R: Fn(&[ArrayRef]) -> Result<Vec<Option<T>>> + Send + Sync + 'static,
    A: Fn(&[T]) -> Result<Value> + Send + Sync + 'static,
{
    type Cell = Vec<T>;
    type Input<'a> = Vec<Option<T>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<Option<T>>> {
        (self.read)(args)
    }

    fn empty(&self) -> Vec<T> {
        Vec::new()
    }

    fn add(&self, cell: &mut Vec<T>, input: &Vec<Option<T>>, row: usize) -> Result<()> {
        cell.extend(input[row].clone());
        Ok(())
    }

    fn merge(&self, into: &mut Vec<T>, from: Vec<T>) -> Result<()> {
        into.extend(from);
        Ok(())
    }

    fn write(&self, cell: &Vec<T>, out: &mut Vec<u8>) {
        put_u64(out, cell.len() as u64);
        cell.iter().for_each(|item| item.write(out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Vec<T>> {
        (0..bytes.count()?).map(|_| T::read(bytes)).collect()
    }

    fn finish(&self, cells: Picked<'_, Vec<T>>) -> Result<ArrayRef> {
        column(&self.ty, cells.iter().map(|cell| (self.answer)(cell)))
    }

    fn heap(&self, cell: &Vec<T>) -> usize {
        cell.capacity() * std::mem::size_of::<T>() + sampled_heap(cell.len(), cell.iter().map(Item::heap))
    }
}

/// Answers as a column.
pub fn column(ty: &LogicalType, answers: impl Iterator<Item = Result<Value>>) -> Result<ArrayRef> {
    let mut builder = ColumnBuilder::new(ty);
    for answer in answers {
        builder.append(&answer?)?;
    }
    builder.finish()
}

/// `N` sums over the arguments as floats.
pub struct Sums<const N: usize, S, A> {
    pub args: Vec<LogicalType>,
    pub step: S,
    pub answer: A,
    pub ty: LogicalType,
}

impl<const N: usize, S, A> Fold for Sums<N, S, A>
where
    S: Fn(&mut [f64; N], &[Vec<f64>], usize) -> Result<()> + Send + Sync + 'static,
    A: Fn(&[f64; N]) -> Result<Value> + Send + Sync + 'static,
{
    type Cell = [f64; N];
    type Input<'a> = Vec<Vec<f64>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Vec<Vec<f64>>> {
        args.iter().zip(&self.args).map(|(a, t)| super::sum::floats(a, t)).collect()
    }

    fn empty(&self) -> [f64; N] {
        [0.0; N]
    }

    fn add(&self, cell: &mut [f64; N], input: &Vec<Vec<f64>>, row: usize) -> Result<()> {
        (self.step)(cell, input, row)
    }

    fn merge(&self, into: &mut [f64; N], from: [f64; N]) -> Result<()> {
        into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        Ok(())
    }

    fn write(&self, cell: &[f64; N], out: &mut Vec<u8>) {
        cell.iter().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<[f64; N]> {
        let mut cell = [0.0; N];
        for sum in &mut cell {
            *sum = bytes.f64()?;
        }
        Ok(cell)
    }

    fn finish(&self, cells: Picked<'_, [f64; N]>) -> Result<ArrayRef> {
        column(&self.ty, cells.iter().map(&self.answer))
    }
}

/// A tuple of floats with these names.
pub fn named_floats(names: &[&str]) -> LogicalType {
    LogicalType::Tuple(names.iter().map(|n| (Some((*n).into()), LogicalType::Float64)).collect::<Vec<_>>().into())
}

pub fn floats_value(values: &[f64]) -> Value {
    Value::Tuple(values.iter().map(|v| Value::Float64(*v)).collect())
}

/// Rows of two float columns; a pair with a NaN does not count.
pub fn pairs(args: &[ArrayRef], types: &[LogicalType]) -> Result<Vec<Option<(f64, f64)>>> {
    let (x, y) = (super::sum::floats(&args[0], &types[0])?, super::sum::floats(&args[1], &types[1])?);
    Ok(x.into_iter().zip(y).map(|(x, y)| (!x.is_nan() && !y.is_nan()).then_some((x, y))).collect())
}

/// Which of several conditions hold in each row, one bit each.
pub fn condition_bits(args: &[ArrayRef], types: &[LogicalType]) -> Result<Vec<u64>> {
    let rows = args.first().map_or(0, |a| a.len());
    let mut bits = vec![0u64; rows];
    for (i, (arg, ty)) in args.iter().zip(types).enumerate() {
        let truths = to_vec::<i64>(arg, ty)?;
        bits.iter_mut().zip(truths).for_each(|(b, t)| *b |= u64::from(t != 0) << i);
    }
    Ok(bits)
}
