//! Whether the state of a query can be kept: asked before a view or a subscription begins, not at its first checkpoint.

use hydron_base::{Error, Result};
use hydron_plan::{Node, Plan};

/// Errors: NOT_IMPLEMENTED (48), naming the function, where an aggregate cannot save its state.
pub fn check(plan: &Plan) -> Result<()> {
    if let Node::Aggregate(aggregate) = &plan.node {
        for agg in &aggregate.aggs {
            let needs = agg.bound.aggregate.needs();
            if plan.streaming && needs.no_save {
                let name = needs.function.as_deref().unwrap_or(&agg.name);
                let text = format!(
                    "keeping the state of aggregate function \"{name}\", which lacks serialize or deserialize,"
                );
                return Err(
                    Error::not_implemented(text).hint("both functions in its code, or a query that is not kept")
                );
            }
        }
    }
    plan.inputs().into_iter().try_for_each(check)
}
