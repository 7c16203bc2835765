//! LIMIT tells sources how many rows are enough.

use super::map_inputs;
use crate::node::{Node, Plan};

pub(super) fn hint_limits(plan: Plan) -> Plan {
    hint(plan, None)
}

/// `rows`: at most so many rows of this plan will be used.
fn hint(plan: Plan, rows: Option<u64>) -> Plan {
    let mut plan = plan;
    let below = match &mut plan.node {
        Node::Limit { offset, limit: Some(limit), ties, .. } if ties.is_empty() => {
            let own = offset.saturating_add(*limit);
            Some(rows.map_or(own, |r| own.min(offset.saturating_add(r))))
        }
        Node::Project { .. } | Node::Union { .. } => rows,
        Node::Scan(scan) => {
            scan.limit_hint = rows.unwrap_or(0);
            None
        }
        Node::Numbers { count, .. } => {
            *count = match (*count, rows) {
                (Some(count), Some(rows)) => Some(count.min(rows)),
                (count, rows) => count.or(rows),
            };
            None
        }
        _ => None,
    };
    map_inputs(plan, &mut |input| hint(input, below))
}
