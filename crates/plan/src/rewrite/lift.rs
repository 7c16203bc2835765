//! Windows of the left side of a streaming join move above the join, to the aggregation that closes them.
//!
//! A join of a stream keeps the left row's columns on each row that leaves, so a row is in the same windows before and after.

use super::map_inputs;
use crate::expr::Expr;
use crate::node::{Join, Node, Plan, WindowSpec};
use hydron_types::{Field, Schema};
use std::sync::Arc;

pub(super) fn lift_windows(plan: Plan) -> Plan {
    let plan = map_inputs(plan, &mut lift_windows);
    let Plan { node, schema, streaming, change } = plan;
    match node {
        Node::Join(join) if streaming && begins_with_window(&join) => {
            let lifted = lift(join, &schema);
            Plan { change, ..lifted }
        }
        node => Plan { node, schema, streaming, change },
    }
}

/// Whether the left side is a window under nothing but filters, of which the join itself reads no column.
fn begins_with_window(join: &Join) -> bool {
    let mut left = &*join.left;
    while let Node::Filter { input, .. } = &left.node {
        left = input;
    }
    let Node::AssignWindow { input, .. } = &left.node else { return false };
    let (width, whole) = (input.schema.len(), left.schema.len());
    let mut reads = false;
    let mut see = |e: &Expr| e.columns(&mut |c| reads |= (width..whole).contains(&c));
    join.on.iter().for_each(|(l, _)| see(l));
    join.asof.iter().for_each(|(l, ..)| see(l));
    join.range.iter().for_each(|r| see(&r.left));
    join.align.iter().for_each(|a| see(&a.left));
    join.filter.iter().for_each(&mut see);
    !reads
}

/// Conditions, innermost last, then the window's input, the window, and the columns of both.
type Parts = (Vec<Expr>, Box<Plan>, WindowSpec, Arc<Schema>);

fn taken_apart(plan: Plan) -> Result<Parts, Plan> {
    let Plan { node, schema, streaming, change } = plan;
    match node {
        Node::AssignWindow { input, window } => Ok((Vec::new(), input, window, schema)),
        Node::Filter { input, predicate } => match taken_apart(*input) {
            Ok((mut filters, input, window, schema)) => {
                filters.insert(0, predicate);
                Ok((filters, input, window, schema))
            }
            Err(input) => Err(input.filter(predicate)),
        },
        node => Err(Plan { node, schema, streaming, change }),
    }
}

/// The window's columns go behind those of the right side, and a projection puts them back in their places.
fn lift(join: Join, schema: &Schema) -> Plan {
    let (filters, input, window, left_schema) = match taken_apart(*join.left) {
        Ok(parts) => parts,
        // `begins_with_window` has looked.
        Err(left) => {
            let (streaming, change) = (left.streaming, left.change);
            let node = Node::Join(Join { left: Box::new(left), ..join });
            return Plan { node, schema: Arc::new(schema.clone()), streaming, change };
        }
    };
    let (width, right) = (input.schema.len(), join.right.schema.len());
    let bounds = left_schema.len() - width;
    let behind = |c: usize| match c {
        c if c < width => c,
        c if c < width + bounds => c + right,
        c => c - bounds,
    };
    let mut fields: Vec<Field> = schema.fields[..width].to_vec();
    fields.extend(schema.fields[width + bounds..].iter().cloned());
    let joined_schema = Arc::new(Schema::new(fields.clone()));
    fields.extend(left_schema.fields[width..].iter().cloned());
    let (streaming, change) = (input.streaming, input.change);
    let filter = join.filter.as_ref().map(|f| f.map_columns(&behind));
    let node = Node::Join(Join { left: input, filter, ..join });
    let joined = Plan { node, schema: joined_schema, streaming, change };
    let node = Node::AssignWindow { input: Box::new(joined), window };
    let mut plan = Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change };
    for predicate in filters.into_iter().rev() {
        plan = plan.filter(predicate.map_columns(&behind));
    }
    let order: Vec<usize> = (0..schema.len()).map(behind).collect();
    plan.select(&order)
}
