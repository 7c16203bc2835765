//! JOIN of a plan: which operator runs it.

use super::recipe::Recipe;
use super::{Builder, Built, above};
use crate::join::JoinSpec;
use crate::join::align::Aligned;
use crate::join::nearest::{Nearest, NearestJoin};
use crate::join::range::RangeJoin;
use crate::join::stream::{Mode, StreamJoin};
use crate::join::table::{Pick, TableJoin};
use crate::operator::Operator;
use crate::window::stamper::Stamper;
use hydron_base::{Error, Result};
use hydron_func::Volatility;
use hydron_plan::node::{Join, JoinKind, JoinStrictness};
use hydron_plan::{Change, Plan};
use std::sync::Arc;

impl Builder {
    /// Errors: NOT_IMPLEMENTED (48) for kinds of join and of inputs that streams cannot run.
    ///
    /// `recipe`: of the aggregation behind the join. Where only left rows make output its stamper is put before the join,
    /// so that rows without a match advance time too; the answer says whether it was.
    pub(super) fn join(&mut self, join: &Join, plan: &Plan, recipe: Option<&Recipe<'_>>) -> Result<(Built, bool)> {
        let spec = Arc::new(spec(join, plan)?);
        let (op, line, right_first) = self.join_operator(join, &spec)?;
        let (op, line): (Box<dyn Operator>, String) = match &join.align {
            None => (op, line),
            Some(align) => {
                let line = format!("{line}, aligned by {align:?}");
                (Box::new(Aligned::new(op, align.clone(), Arc::clone(&spec.left), self.options.join.bytes_max)), line)
            }
        };
        let first = self.order.len();
        let mut left = self.plan(&join.left, false)?;
        // Left rows that wait must not be late when they come: time is then read behind the join.
        let stamper = recipe.filter(|_| right_first && join.align.is_none()).and_then(|r| r.stamper(left.lanes, true));
        let is_stamped = stamper.is_some();
        if let Some(spec) = stamper {
            let line = format!("Stamp {spec:?}");
            left = self.then(left, Stamper::new(spec), line);
        }
        let sources = self.sources.len();
        let right = self.plan(&join.right, false)?;
        if right_first {
            self.sources[sources..].iter_mut().for_each(|s| s.leads = true);
        }
        // What both sides get from one record: the right one first where left rows ask it, and where the left one has a way
        // through another join before it.
        let (of_left, of_right) = (sources - first, self.order.len() - sources);
        if right_first || of_left > of_right {
            self.order[first..].rotate_left(of_left);
        }
        let mut text = above(line, left.text);
        text.extend(right.text.into_iter().map(|(depth, line)| (depth + 1, line)));
        let end = self.place(op, &[left.end, right.end]);
        // Where only left rows make output it comes in their lanes.
        Ok((Built { end, lanes: if right_first { left.lanes } else { 1 }, text }, is_stamped))
    }

    /// The operator, its line in EXPLAIN, and whether the past of the right side comes before the left side.
    fn join_operator(&self, join: &Join, spec: &Arc<JoinSpec>) -> Result<(Box<dyn Operator>, String, bool)> {
        let limits = self.options.join;
        let nearest = join.asof.as_ref().map(|(left, right, order)| Nearest {
            left: left.clone(),
            right: right.clone(),
            order: *order,
        });
        let on = &join.on;
        if !join.right.streaming {
            let pick = match (join.strictness, nearest) {
                (JoinStrictness::All, _) => Pick::All,
                (JoinStrictness::Any, _) => Pick::First,
                (JoinStrictness::Latest, _) => Pick::Last,
                (JoinStrictness::Asof, Some(nearest)) => Pick::Nearest(nearest),
                _ => return Err(refused(join)),
            };
            let line = format!("TableJoin {pick:?} on {on:?}");
            return Ok((Box::new(TableJoin::new(Arc::clone(spec), pick)), line, true));
        }
        if on.is_empty() {
            return Err(Error::not_implemented("a join of two streams without an equality of keys"));
        }
        let one_row = matches!(join.strictness, JoinStrictness::Any | JoinStrictness::Latest | JoinStrictness::Asof);
        if one_row && join.left.change == Change::Append && !is_changing(&join.right) {
            let line = format!("{:?}Join on {on:?}", join.strictness);
            let op = NearestJoin::new(Arc::clone(spec), nearest, limits.versions_max)?;
            return Ok((Box::new(op), line, true));
        }
        if join.strictness != JoinStrictness::All {
            return Err(refused(join));
        }
        let mode = match (join.left.change, join.right.change) {
            (Change::Append, Change::Append) => Mode::Append,
            (Change::Append, _) if is_changing(&join.right) => Mode::Enrich,
            _ if is_changing(&join.left) && is_changing(&join.right) => Mode::Changelog,
            _ => return Err(refused(join)),
        };
        if spec.filter.is_some() && mode != Mode::Enrich {
            return Err(Error::not_implemented(
                "a condition in ON of a LEFT, RIGHT or FULL join of two streams on a side of which all rows stay",
            ));
        }
        if let Some(range) = &join.range {
            if mode != Mode::Append {
                return Err(Error::not_implemented("a range in ON of changing inputs"));
            }
            let line = format!("RangeJoin {range:?} on {on:?}");
            let op = RangeJoin::new(Arc::clone(spec), range.clone(), limits.bytes_max)?;
            return Ok((Box::new(op), line, false));
        }
        let op = StreamJoin::new(Arc::clone(spec), mode, limits.bytes_max)?;
        Ok((Box::new(op), format!("StreamJoin {mode:?} on {on:?}"), mode == Mode::Enrich))
    }
}

/// Whether rows of the input are added and withdrawn.
fn is_changing(plan: &Plan) -> bool {
    matches!(plan.change, Change::Changelog | Change::ChangelogKv)
}

fn spec(join: &Join, plan: &Plan) -> Result<JoinSpec> {
    let keys = join.on.iter().flat_map(|(l, r)| [l, r]);
    let asof = join.asof.iter().flat_map(|(l, r, _)| [l, r]);
    if keys.chain(asof).any(|e| e.volatility() > Volatility::Immutable) {
        return Err(Error::not_implemented("a join of a stream on a value that changes with time, such as now(),"));
    }
    let (outer, right_outer) = match join.kind {
        JoinKind::Inner | JoinKind::Cross => (false, false),
        JoinKind::Left => (true, false),
        JoinKind::Right => (false, true),
        JoinKind::Full => (true, true),
    };
    let both_change = is_changing(&join.left) && is_changing(&join.right);
    if right_outer && !(both_change && join.strictness == JoinStrictness::All) {
        return Err(refused(join));
    }
    Ok(JoinSpec {
        on: join.on.clone(),
        outer,
        right_outer,
        filter: join.filter.clone(),
        left: Arc::clone(&join.left.schema),
        right: Arc::clone(&join.right.schema),
        schema: Arc::clone(&plan.schema),
    })
}

fn refused(join: &Join) -> Error {
    let kind = format!("{:?} {:?} JOIN", join.strictness, join.kind).to_uppercase();
    let (left, right) = (join.left.change, join.right.change);
    Error::not_implemented(format!("{kind} of {left:?} and {right:?} inputs in a streaming query"))
}
