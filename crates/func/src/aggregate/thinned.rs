//! Fewer points that look the same, and what all arrays have in common.

use super::bytes::{Reader, put_u64};
use super::define::{AggCall, Traits, define, define_as};
use super::fold::{Fold, Picked, folded};
use super::item::{Kind, RowKind};
use super::kept::{kept, pairs};
use crate::agg::BoundAgg;
use crate::call::downcast;
use crate::registry::Registry;
use crate::scalar::column::{end_offset, list};
use arrow::array::{Array, ArrayRef, ListArray};
use hashbrown::HashSet;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

pub fn register(registry: &mut Registry) {
    let traits = Traits { params_from: Some(2), default_without_rows: true, ..Traits::default() };
    define_as(registry, "largest_triangle_three_buckets", traits, largest_triangles);
    registry.add_alias("lttb", "largest_triangle_three_buckets");
    define(registry, "group_array_intersect", |call| {
        call.arity(1..=1)?;
        let LogicalType::Array(element) = call.ty(0) else { return Err(call.illegal(0)) };
        let kind = RowKind::new(std::slice::from_ref(&**element))?;
        call.returns(call.ty(0).clone(), folded(Intersect { kind, element: (**element).clone() }))
    });
}

/// `largest_triangle_three_buckets(x, y, n)`: n of the points, those that keep the look of the line.
fn largest_triangles(call: &AggCall<'_>) -> Result<BoundAgg> {
    call.arity(2..=2)?;
    for position in 0..2 {
        if !call.ty(position).is_date_or_time() {
            call.need_number(position)?;
        }
    }
    let points = call.params.first().and_then(Value::as_u64).filter(|_| call.params.len() == 1);
    let points = points.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| {
        let text = format!("\"{}\" takes x, y and how many points are left, at least 1", call.name);
        Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text)
    })?;
    let axis = |ty: &LogicalType| if ty.is_date_or_time() { ty.clone() } else { LogicalType::Float64 };
    let axes = [axis(call.ty(0)), axis(call.ty(1))];
    let point = LogicalType::Tuple(axes.iter().map(|t| (None, t.clone())).collect());
    let ty = LogicalType::Array(Box::new(point));
    let types = call.types();
    let read = move |args: &[ArrayRef]| pairs(args, &types);
    let answer = move |rows: &[(f64, f64)]| {
        let mut rows = rows.to_vec();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let value = |ty: &LogicalType, v: f64| match ty {
            LogicalType::Date | LogicalType::Date32 => Value::Date(v as i32),
            t if t.is_date_or_time() => Value::Time(v as i64),
            _ => Value::Float64(v),
        };
        let point = |(x, y): (f64, f64)| Value::Tuple(vec![value(&axes[0], x), value(&axes[1], y)]);
        Ok(Value::Array(thinned(&rows, points).into_iter().map(point).collect()))
    };
    call.returns(ty.clone(), folded(kept::<(f64, f64), _, _>(ty, read, answer)))
}

/// The first and the last of `rows`, and of each part between them the point that makes the largest triangle with the one taken
/// before and the middle of the next part.
fn thinned(rows: &[(f64, f64)], points: usize) -> Vec<(f64, f64)> {
    if rows.len() <= points || points < 3 {
        return match points {
            1 => rows.first().copied().into_iter().collect(),
            2 if rows.len() > 2 => vec![rows[0], rows[rows.len() - 1]],
            _ => rows.to_vec(),
        };
    }
    let width = (rows.len() - 2) as f64 / (points - 2) as f64;
    let start = |part: usize| ((part as f64 * width).floor() as usize + 1).min(rows.len());
    let mut taken = vec![rows[0]];
    for part in 0..points - 2 {
        let next = &rows[start(part + 1)..start(part + 2).max(start(part + 1) + 1).min(rows.len())];
        let middle = |of: fn(&(f64, f64)) -> f64| next.iter().map(of).sum::<f64>() / next.len() as f64;
        let (mx, my) = (middle(|p| p.0), middle(|p| p.1));
        let (ax, ay) = taken[taken.len() - 1];
        let area = |p: &(f64, f64)| (0.5 * (ax * (p.1 - my) + p.0 * (my - ay) + mx * (ay - p.1))).abs();
        let (mut best, mut largest) = (rows[start(part)], -1.0);
        for point in &rows[start(part)..start(part + 1)] {
            if area(point) > largest {
                (best, largest) = (*point, area(point));
            }
        }
        taken.push(best);
    }
    taken.push(rows[rows.len() - 1]);
    taken
}

/// The elements that all arrays have, in the order of the first one.
struct Intersect {
    kind: RowKind,
    element: LogicalType,
}

/// Elements in bytes that are equal where they are.
type Elements = Vec<Vec<u8>>;

impl Fold for Intersect {
    type Cell = Option<Elements>;
    type Input<'a> = (&'a ListArray, Vec<Vec<u8>>);

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        let lists: &ListArray = downcast(&args[0])?;
        let values = [ArrayRef::clone(lists.values())];
        let view = self.kind.view(&values)?;
        Ok((lists, (0..values[0].len()).map(|row| RowKind::own(&view, row)).collect()))
    }

    fn empty(&self) -> Option<Elements> {
        None
    }

    fn add(&self, cell: &mut Option<Elements>, (lists, values): &Self::Input<'_>, row: usize) -> Result<()> {
        let offsets = lists.value_offsets();
        let own = &values[offsets[row] as usize..offsets[row + 1] as usize];
        match cell {
            None => {
                let mut seen = HashSet::new();
                *cell = Some(own.iter().filter(|v| seen.insert(*v)).cloned().collect());
            }
            Some(kept) => {
                let own: HashSet<&Vec<u8>> = own.iter().collect();
                kept.retain(|v| own.contains(v));
            }
        }
        Ok(())
    }

    fn merge(&self, into: &mut Option<Elements>, from: Option<Elements>) -> Result<()> {
        match (into.as_mut(), from) {
            (_, None) => {}
            (None, some) => *into = some,
            (Some(kept), Some(other)) => {
                let other: HashSet<Vec<u8>> = other.into_iter().collect();
                kept.retain(|v| other.contains(v));
            }
        }
        Ok(())
    }

    fn write(&self, cell: &Option<Elements>, out: &mut Vec<u8>) {
        let Some(kept) = cell else { return };
        put_u64(out, kept.len() as u64);
        kept.iter().for_each(|v| RowKind::write(v, out));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Option<Elements>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        Ok(Some((0..bytes.count()?).map(|_| RowKind::read(bytes)).collect::<Result<_>>()?))
    }

    fn finish(&self, cells: Picked<'_, Option<Elements>>) -> Result<ArrayRef> {
        let mut ends = vec![0];
        let mut all: Vec<&Vec<u8>> = Vec::new();
        for cell in cells.iter() {
            all.extend(cell.iter().flatten());
            ends.push(end_offset(all.len())?);
        }
        Ok(list(&self.element, ends, self.kind.array(all.into_iter())?))
    }

    fn heap(&self, cell: &Option<Elements>) -> usize {
        cell.iter().flatten().map(|v| v.capacity() + size_of::<Vec<u8>>()).sum()
    }
}
