//! Joins with one row of the right side: ASOF takes the nearest one, LATEST the last that came.
//!
//! In: right rows, appended; left rows. Out: for each left row the one right row it matches at that moment. Promise: ASOF keeps
//! the `keep_versions` rows of each key that are newest by the compared column; LATEST keeps one.

use super::held::Held;
use super::spec::{JoinSpec, Matcher, NO_ROW, RightRows, with_absent};
use crate::group::keys::{KeyTable, row_converter};
use crate::group::last::RowSlots;
use crate::operator::expr::{eval, take};
use crate::operator::{Msg, Operator, Output, Rows};
use crate::state::{StateReader, StateWriter};
use arrow::array::{Array, ArrayRef, UInt32Array};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_plan::node::AsofOrder;
use hydron_types::Batch;
use hydron_types::physical::arrow_type;
use std::sync::Arc;

/// What ASOF compares: of the right rows for which `left order right` holds, the nearest.
#[derive(Clone, Debug)]
pub struct Nearest {
    pub left: Expr,
    pub right: Expr,
    pub order: AsofOrder,
}

impl Nearest {
    /// Where in `sorted` (ascending) the nearest match of `value` is.
    pub fn find<T: AsRef<[u8]>>(&self, sorted: &[T], value: &[u8]) -> Option<usize> {
        let below = |inclusive: bool| {
            sorted.partition_point(|s| if inclusive { s.as_ref() <= value } else { s.as_ref() < value })
        };
        let found = match self.order {
            // The least that is greater.
            AsofOrder::Less => Some(below(true)),
            AsofOrder::LessOrEqual => Some(below(false)),
            // The greatest that is less.
            AsofOrder::Greater => below(false).checked_sub(1),
            AsofOrder::GreaterOrEqual => below(true).checked_sub(1),
        };
        // NULL is an empty value below all others and matches nothing.
        found.filter(|at| sorted.get(*at).is_some_and(|s| !s.as_ref().is_empty()))
    }
}

/// The values of a column in bytes that compare as the values do; `None` for NULL.
pub fn order_bytes(column: &ArrayRef) -> Result<Vec<Option<Box<[u8]>>>> {
    let converter = row_converter(&[column.data_type().clone()])?;
    let rows = converter.convert_columns(std::slice::from_ref(column)).map_err(arrow_error)?;
    let nulls = column.logical_nulls();
    let value = |(i, row): (usize, arrow_row::Row<'_>)| {
        nulls.as_ref().is_none_or(|n| n.is_valid(i)).then(|| Box::from(row.as_ref()))
    };
    Ok(rows.iter().enumerate().map(value).collect())
}

/// The kept right rows of one key, ascending by the compared value; of LATEST there is one, without a value.
type Versions = Vec<(Box<[u8]>, u32)>;

pub struct NearestJoin {
    spec: Arc<JoinSpec>,
    /// `None`: LATEST.
    nearest: Option<Nearest>,
    versions_max: usize,
    rows: RowSlots,
    /// Slots without a row, to be used again.
    free: Vec<u32>,
    slots: u32,
    keys: KeyTable,
    of_key: Vec<Versions>,
    absent: Vec<ArrayRef>,
    backfilling: bool,
    held: Held,
    groups: Vec<u32>,
}

/// Slots as right rows.
struct Slots<'a> {
    rows: &'a RowSlots,
    absent: &'a [ArrayRef],
}

impl RightRows for Slots<'_> {
    fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let present: Vec<u32> = rows.iter().copied().filter(|r| *r != NO_ROW).collect();
        if present.is_empty() {
            let indices = UInt32Array::from_value(0, rows.len());
            return self.absent.iter().map(|a| take(a, &indices)).collect();
        }
        with_absent(self.rows.gather(&present)?, rows, self.absent)
    }
}

impl NearestJoin {
    /// `versions_max`: right rows kept of each key; LATEST keeps one.
    pub fn new(spec: Arc<JoinSpec>, nearest: Option<Nearest>, versions_max: usize) -> Result<NearestJoin> {
        let types: Vec<_> = spec.right.fields.iter().map(|f| arrow_type(&f.ty)).collect();
        Ok(NearestJoin {
            rows: RowSlots::new(&types)?,
            keys: KeyTable::new(&spec.key_types())?,
            absent: spec.absent()?,
            versions_max: if nearest.is_some() { versions_max.max(1) } else { 1 },
            spec,
            nearest,
            free: Vec::new(),
            slots: 0,
            of_key: Vec::new(),
            backfilling: false,
            held: Held::default(),
            groups: Vec::new(),
        })
    }

    /// Keeps right rows.
    fn keep(&mut self, cx: &EvalContext, batch: &Batch) -> Result<()> {
        let keys = self.spec.right_keys(cx, batch)?;
        self.keys.assign(&keys.columns, batch.rows(), &mut self.groups)?;
        self.of_key.resize(self.keys.len(), Versions::new());
        let order = match &self.nearest {
            Some(nearest) => order_bytes(&eval(&nearest.right, cx, batch)?)?,
            None => vec![Some(Box::default()); batch.rows()],
        };
        let encoded = self.rows.encode(&batch.columns)?;
        for (row, value) in order.into_iter().enumerate() {
            let Some(value) = value.filter(|_| keys.can_match(row)) else { continue };
            let slot = self.free.pop().unwrap_or_else(|| {
                self.slots += 1;
                self.slots - 1
            });
            self.rows.put(slot, encoded.row(row).as_ref());
            let versions = &mut self.of_key[self.groups[row] as usize];
            // Of equal values the later one is the newer.
            let at = versions.partition_point(|(v, _)| *v <= value);
            versions.insert(at, (value, slot));
            if versions.len() > self.versions_max {
                let (_, oldest) = versions.remove(0);
                self.rows.remove(oldest);
                self.free.push(oldest);
            }
        }
        Ok(())
    }

    fn probe(&mut self, cx: &EvalContext, rows: &Rows, out: &mut dyn Output) -> Result<()> {
        let keys = self.spec.left_keys(cx, rows.batch())?;
        self.keys.find(&keys.columns, rows.len(), &mut self.groups)?;
        let order = match &self.nearest {
            Some(nearest) => order_bytes(&eval(&nearest.left, cx, rows.batch())?)?,
            None => Vec::new(),
        };
        let right = Slots { rows: &self.rows, absent: &self.absent };
        let matcher = Matcher { spec: &self.spec, cx, left: &rows.delta, right: &right };
        matcher.run(
            |row, pairs| {
                let Some(versions) = self.of_key.get(self.groups[row] as usize).filter(|_| keys.can_match(row)) else {
                    return;
                };
                let found = match &self.nearest {
                    None => versions.len().checked_sub(1),
                    Some(nearest) => {
                        let sorted: Vec<&[u8]> = versions.iter().map(|(v, _)| &**v).collect();
                        order[row].as_ref().and_then(|value| nearest.find(&sorted, value))
                    }
                };
                if let Some(at) = found {
                    pairs.push(row as u32, versions[at].1);
                }
            },
            |delta| out.push(Msg::Rows(Rows { delta, lane: rows.lane })),
        )
    }

    fn on_left(&mut self, cx: &EvalContext, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => Ok(()),
            Msg::Rows(rows) => self.probe(cx, &rows, out),
            control => out.push(control),
        }
    }
}

impl Operator for NearestJoin {
    fn on_msg(&mut self, cx: &EvalContext, input: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match (input, msg) {
            (0, msg) if self.backfilling => {
                self.held.push(msg);
                Ok(())
            }
            (0, msg) => self.on_left(cx, msg, out),
            (_, Msg::Rows(rows)) if !rows.is_empty() => self.keep(cx, rows.batch()),
            (_, Msg::BackfillStart) => {
                self.backfilling = true;
                Ok(())
            }
            (_, Msg::BackfillEnd | Msg::End) if std::mem::take(&mut self.backfilling) => {
                self.held.take().into_iter().try_for_each(|msg| self.on_left(cx, msg, out))
            }
            _ => Ok(()),
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        w.put_bool(self.backfilling);
        let slots: Vec<u32> = self.of_key.iter().flatten().map(|(_, slot)| *slot).collect();
        w.put_columns(&self.rows.gather(&slots)?, slots.len())?;
        self.held.save(w)
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.backfilling |= r.bool()?;
        let (columns, rows) = r.columns()?;
        if rows > 0 {
            let batch = Batch::new(Arc::clone(&self.spec.right), columns, rows);
            self.keep(&EvalContext::at(WallTime(0)), &batch)?;
        }
        self.held.load(&self.spec.left, r)
    }

    fn bytes(&self) -> usize {
        let versions: usize = self.of_key.iter().map(|v| v.capacity() * (size_of::<(Box<[u8]>, u32)>() + 16)).sum();
        self.rows.bytes() + self.keys.bytes() + versions + self.held.bytes()
    }
}
