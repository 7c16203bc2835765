//! Joins: hash joins of DataFusion, with ClickHouse's rules around them.
//!
//! The left side streams past a table of the right side, so that rows keep the order of the left. The side without a match
//! has defaults, or NULLs where `join_use_nulls` made its columns nullable. ANY keeps the first row of a key, LATEST the
//! last; ASOF keeps the nearest of all matches.

use crate::error::inward;
use crate::expr::{literal, lower, row_position};
use crate::group_order::{GroupOrder, TableOf};
use crate::lower::{Lowered, Lowering, filled};
use crate::steps::{Barrier, Positions};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Column, ExprSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr as DfExpr, LogicalPlanBuilder};
use hydron_base::{Error, Result};
use hydron_plan::node::{AsofOrder, Join, JoinKind, JoinStrictness};
use hydron_plan::{Expr, Plan};
use hydron_types::Value;
use std::sync::Arc;

pub fn lower_join(cx: &mut Lowering, plan: &Plan, join: &Join) -> Result<Lowered> {
    let left = cx.plan(&join.left)?;
    let right = cx.plan(&join.right)?;
    let right = cx.limited(right, cx.node_limits.join)?;
    let (left, left_keys) = with_keys(cx, left, join.on.iter().map(|(l, _)| l))?;
    let (right, right_keys) = with_keys(cx, right, join.on.iter().map(|(_, r)| r))?;
    let sides = Sides { left, right, left_keys, right_keys };
    match join.strictness {
        JoinStrictness::All => all(cx, plan, join, sides, join.kind),
        JoinStrictness::Any if join.filter.is_some() => any_that_fits(cx, plan, join, sides),
        JoinStrictness::Any => {
            let sides = match join.kind {
                JoinKind::Left => sides.first_of_right(cx)?,
                JoinKind::Right => sides.first_of_left(cx)?,
                JoinKind::Inner | JoinKind::Full | JoinKind::Cross => sides.first_of_right(cx)?.first_of_left(cx)?,
            };
            all(cx, plan, join, sides, join.kind)
        }
        JoinStrictness::Semi => {
            let sides =
                if join.kind == JoinKind::Right { sides.first_of_left(cx)? } else { sides.first_of_right(cx)? };
            all(cx, plan, join, sides, JoinKind::Inner)
        }
        JoinStrictness::Anti => anti(cx, plan, join, sides),
        JoinStrictness::Latest => {
            let sides = sides.last_of_right(cx)?;
            all(cx, plan, join, sides, join.kind)
        }
        JoinStrictness::Asof => asof(cx, plan, join, sides),
    }
}

struct Sides {
    left: Lowered,
    right: Lowered,
    left_keys: Vec<Column>,
    right_keys: Vec<Column>,
}

/// The input with its join keys as columns of their own.
fn with_keys<'a>(
    cx: &mut Lowering,
    input: Lowered,
    keys: impl Iterator<Item = &'a Expr>,
) -> Result<(Lowered, Vec<Column>)> {
    let keys = keys.map(|k| lower(k, &input.columns, &cx.time)).collect::<Result<Vec<_>>>()?;
    cx.extended(input, keys)
}

impl Sides {
    fn first_of_right(mut self, cx: &mut Lowering) -> Result<Sides> {
        (self.right, self.right_keys) = first_of_key(cx, self.right, self.right_keys)?;
        Ok(self)
    }

    fn first_of_left(mut self, cx: &mut Lowering) -> Result<Sides> {
        (self.left, self.left_keys) = first_of_key(cx, self.left, self.left_keys)?;
        Ok(self)
    }

    /// The left side with the position of each row: its rows then keep their places between those that have a match.
    fn in_place(mut self, cx: &mut Lowering) -> Result<(Sides, Option<Column>)> {
        let keys = self.left_keys.into_iter().map(DfExpr::Column).collect();
        let (mut all, keys) = cx.extended(self.left, keys)?;
        let mut fields = all.plan.schema().as_arrow().fields().to_vec();
        let position = cx.fresh();
        fields.push(Arc::new(Field::new(&position, DataType::UInt64, false)));
        let step = Positions { schema: Arc::new(Schema::new(fields)) };
        all.plan = crate::step::plan(Arc::new(step), all.plan)?;
        (self.left, self.left_keys) = (all, keys);
        Ok((self, Some(Column::new_unqualified(position))))
    }

    /// The right side in the order of its hash table: rows without a match leave the join in it.
    fn right_in_table(mut self, cx: &mut Lowering, join: &Join) -> Result<Sides> {
        let keys = self.right_keys.into_iter().map(DfExpr::Column).collect();
        let (mut all, names) = cx.extended(self.right, keys)?;
        let width = all.columns.len();
        let keys = join.on.iter().enumerate().map(|(i, (_, r))| (width + i, r.ty.clone())).collect();
        let schema = Arc::new(all.plan.schema().as_arrow().clone());
        all.plan = crate::step::plan(
            Arc::new(GroupOrder { keys, table: TableOf::Join, batch_rows: cx.batch_rows, schema }),
            all.plan,
        )?;
        (self.right, self.right_keys) = (all, names);
        Ok(self)
    }

    /// The last row of each key, in the order rows came.
    fn last_of_right(mut self, cx: &mut Lowering) -> Result<Sides> {
        let (mut all, at) = carry(cx, self.right, self.right_keys, vec![row_position()])?;
        let position = at[at.len() - 1].clone();
        let sorts = vec![DfExpr::Column(position).sort(false, false)];
        all.plan =
            LogicalPlanBuilder::from(all.plan).sort(sorts).and_then(LogicalPlanBuilder::build).map_err(inward)?;
        // The position goes through the step as a column: an order by a column that is gone would be forgotten.
        let width = all.columns.len();
        all.columns.push(at[at.len() - 1].clone());
        let keys = at[..at.len() - 1].to_vec();
        (self.right, self.right_keys) = first_of_key(cx, all, keys)?;
        self.right.columns.truncate(width);
        Ok(self)
    }
}

/// The input with its keys and `more` as further columns; answers those columns' names.
fn carry(cx: &mut Lowering, input: Lowered, keys: Vec<Column>, more: Vec<DfExpr>) -> Result<(Lowered, Vec<Column>)> {
    let mut exprs: Vec<DfExpr> = keys.into_iter().map(DfExpr::Column).collect();
    exprs.extend(more);
    cx.extended(input, exprs)
}

fn first_of_key(cx: &mut Lowering, mut input: Lowered, keys: Vec<Column>) -> Result<(Lowered, Vec<Column>)> {
    let width = input.columns.len();
    // The keys travel as columns through the step, which gives every column a new name.
    input.columns.extend(keys.iter().cloned());
    let mut first = cx.limit_by_lowered(input, keys.into_iter().map(DfExpr::Column).collect(), 0, 1)?;
    let keys = first.columns.split_off(width);
    Ok((first, keys))
}

/// Every pair of rows that match, and the rows without a match of the sides that `kind` keeps.
fn all(cx: &mut Lowering, plan: &Plan, join: &Join, sides: Sides, kind: JoinKind) -> Result<Lowered> {
    let in_place = cx.in_order && matches!(kind, JoinKind::Left | JoinKind::Full);
    let (sides, position) = if in_place { sides.in_place(cx)? } else { (sides, None) };
    let sides = match kind {
        JoinKind::Right | JoinKind::Full if cx.in_order => sides.right_in_table(cx, join)?,
        _ => sides,
    };
    let columns: Vec<Column> = [sides.left.columns.clone(), sides.right.columns.clone()].concat();
    let filter = join.filter.as_ref().map(|f| cx.condition(f, &columns)).transpose()?;
    let mut joined = pairs(sides, kind, filter)?;
    if let (JoinKind::Full, Some(position)) = (kind, &position) {
        // A full join of DataFusion keeps no order: rows without a match come last in each batch.
        let by = vec![DfExpr::Column(position.clone()), row_position()];
        let (mut all, by) = cx.extended(Lowered { plan: joined, columns }, by)?;
        let sorts = by.into_iter().map(|c| DfExpr::Column(c).sort(true, false)).collect::<Vec<_>>();
        all.plan =
            LogicalPlanBuilder::from(all.plan).sort(sorts).and_then(LogicalPlanBuilder::build).map_err(inward)?;
        return output(cx, plan, all);
    }
    if in_place {
        // The positions are read here, or the optimizer would see nobody who reads them.
        let schema = Arc::new(joined.schema().as_arrow().clone());
        joined = crate::step::plan(Arc::new(Barrier { schema }), joined)?;
    }
    output(cx, plan, Lowered { plan: joined, columns })
}

/// The join itself. Its first input is the right side: DataFusion builds its table of the first and streams the second.
fn pairs(sides: Sides, kind: JoinKind, filter: Option<DfExpr>) -> Result<datafusion::logical_expr::LogicalPlan> {
    let swapped = match kind {
        JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
        JoinKind::Left => JoinType::Right,
        JoinKind::Right => JoinType::Left,
        JoinKind::Full => JoinType::Full,
    };
    let builder = LogicalPlanBuilder::from(sides.right.plan);
    if sides.left_keys.is_empty() && swapped == JoinType::Inner {
        let crossed = LogicalPlanBuilder::from(sides.left.plan)
            .cross_join(builder.build().map_err(inward)?)
            .and_then(|b| if let Some(f) = filter { b.filter(f) } else { Ok(b) });
        return crossed.and_then(LogicalPlanBuilder::build).map_err(inward);
    }
    let keys = (sides.right_keys, sides.left_keys);
    builder
        .join_detailed(sides.left.plan, swapped, keys, filter, NullEquality::NullEqualsNothing)
        .and_then(LogicalPlanBuilder::build)
        .map_err(inward)
}

/// The columns of the plan from those of both sides, with defaults where an outer join left NULLs.
fn output(cx: &mut Lowering, plan: &Plan, joined: Lowered) -> Result<Lowered> {
    let nullable = |c: &Column| joined.plan.schema().field_from_column(c).map(|f| f.is_nullable()).map_err(inward);
    let mut exprs = Vec::with_capacity(plan.schema.len());
    for (i, field) in plan.schema.fields.iter().enumerate() {
        let from = joined.columns.get(i).ok_or_else(|| Error::bug("a join has more columns than its sides"))?;
        exprs.push(if nullable(from)? { filled(&joined.columns, i, &field.ty)? } else { DfExpr::Column(from.clone()) });
    }
    cx.project_lowered(joined.plan, exprs)
}

/// Each row of the kept side with the first row of the other side that satisfies the whole condition.
fn any_that_fits(cx: &mut Lowering, plan: &Plan, join: &Join, sides: Sides) -> Result<Lowered> {
    let Sides { left, right, left_keys, right_keys } = sides;
    let of_right = join.kind == JoinKind::Right;
    let more = |keep: bool| if keep { vec![row_position()] } else { Vec::new() };
    let (left, mut left_keys) = carry(cx, left, left_keys, more(!of_right))?;
    let (right, mut right_keys) = carry(cx, right, right_keys, more(of_right))?;
    let row = if of_right { right_keys.pop() } else { left_keys.pop() };
    let row = row.ok_or_else(|| Error::bug("an ANY join lost the position of its rows"))?;
    let columns: Vec<Column> = [left.columns.clone(), right.columns.clone()].concat();
    let filter = join.filter.as_ref().map(|f| cx.condition(f, &columns)).transpose()?;
    let joined = pairs(Sides { left, right, left_keys, right_keys }, join.kind, filter)?;
    let sorts = vec![DfExpr::Column(row.clone()).sort(true, false)];
    let sorted = LogicalPlanBuilder::from(joined).sort(sorts).and_then(LogicalPlanBuilder::build).map_err(inward)?;
    let first = cx.limit_by_lowered(Lowered { plan: sorted, columns }, vec![DfExpr::Column(row)], 0, 1)?;
    output(cx, plan, first)
}

/// The left column that is compared with column `right` of the right side and is of its type: ANTI LEFT JOIN shows the key
/// that has no match on both sides.
fn left_key_of(join: &Join, right: usize) -> Option<usize> {
    let is = |(l, r): &&(Expr, Expr)| r.as_column() == Some(right) && l.ty == r.ty;
    join.on.iter().find(is).and_then(|(l, _)| l.as_column())
}

/// Rows of one side that have no match; the columns of the other side have defaults or NULLs.
fn anti(cx: &mut Lowering, plan: &Plan, join: &Join, sides: Sides) -> Result<Lowered> {
    let both: Vec<Column> = [sides.left.columns.clone(), sides.right.columns.clone()].concat();
    let filter = join.filter.as_ref().map(|f| cx.condition(f, &both)).transpose()?;
    let of_right = join.kind == JoinKind::Right;
    let (width, total) = (sides.left.columns.len(), both.len());
    let kept = if of_right { width..total } else { 0..width };
    // The probe side keeps its order: the kept side comes second.
    let (first, second, keys) = match of_right {
        true => (sides.left.plan, sides.right.plan, (sides.left_keys, sides.right_keys)),
        false => (sides.right.plan, sides.left.plan, (sides.right_keys, sides.left_keys)),
    };
    let joined = LogicalPlanBuilder::from(first)
        .join_detailed(second, JoinType::RightAnti, keys, filter, NullEquality::NullEqualsNothing)
        .and_then(LogicalPlanBuilder::build)
        .map_err(inward)?;
    let mut exprs = Vec::with_capacity(plan.schema.len());
    for (i, field) in plan.schema.fields.iter().enumerate() {
        exprs.push(match kept.contains(&i) {
            true => DfExpr::Column(both[i].clone()),
            false if !of_right && let Some(key) = left_key_of(join, i - width) => DfExpr::Column(both[key].clone()),
            false => literal(&Value::default_of(&field.ty), &field.ty)?,
        });
    }
    cx.project_lowered(joined, exprs)
}

/// Each left row with the nearest right row on the right side of the inequality.
fn asof(cx: &mut Lowering, plan: &Plan, join: &Join, sides: Sides) -> Result<Lowered> {
    let Some((left_value, right_value, order)) = &join.asof else {
        return Err(Error::bug("an ASOF join without its inequality"));
    };
    if !matches!(join.kind, JoinKind::Inner | JoinKind::Left) {
        return Err(Error::not_implemented("an ASOF join that keeps rows of the right side"));
    }
    let Sides { left, right, left_keys, right_keys } = sides;
    let left_value = lower(left_value, &left.columns, &cx.time)?;
    let right_value = lower(right_value, &right.columns, &cx.time)?;
    let (left, mut left_extra) = carry(cx, left, left_keys, vec![left_value, row_position()])?;
    let (right, mut right_extra) = carry(cx, right, right_keys, vec![right_value])?;
    let pop = |columns: &mut Vec<Column>| columns.pop().ok_or_else(|| Error::bug("an ASOF join lost a column"));
    let (row, left_at, right_at) = (pop(&mut left_extra)?, pop(&mut left_extra)?, pop(&mut right_extra)?);
    let columns: Vec<Column> = [left.columns.clone(), right.columns.clone()].concat();
    let (l, r) = (DfExpr::Column(left_at), DfExpr::Column(right_at.clone()));
    let (near, newest_first) = match order {
        AsofOrder::Less => (l.lt(r), false),
        AsofOrder::LessOrEqual => (l.lt_eq(r), false),
        AsofOrder::Greater => (l.gt(r), true),
        AsofOrder::GreaterOrEqual => (l.gt_eq(r), true),
    };
    let filter = match &join.filter {
        Some(f) => near.and(cx.condition(f, &columns)?),
        None => near,
    };
    let joined = pairs(Sides { left, right, left_keys: left_extra, right_keys: right_extra }, join.kind, Some(filter))?;
    let sorts =
        vec![DfExpr::Column(row.clone()).sort(true, false), DfExpr::Column(right_at).sort(!newest_first, false)];
    let sorted = LogicalPlanBuilder::from(joined).sort(sorts).and_then(LogicalPlanBuilder::build).map_err(inward)?;
    let nearest = cx.limit_by_lowered(Lowered { plan: sorted, columns }, vec![DfExpr::Column(row)], 0, 1)?;
    output(cx, plan, nearest)
}
