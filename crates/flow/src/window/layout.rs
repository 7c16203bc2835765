//! The columns of a windowed answer: window bounds, other keys and aggregates, in the order of the plan.

use super::assign::time_array;
use super::span::Span;
use crate::group::Groups;
use crate::operator::expr::concat_deltas;
use hydron_base::Result;
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

/// One GROUP BY key of a windowed aggregation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    WindowStart,
    WindowEnd,
    /// Position among the keys that are not the window's.
    Group(usize),
}

#[derive(Clone, Debug)]
pub struct Layout {
    pub keys: Vec<Key>,
    pub digits: u8,
    pub schema: Arc<Schema>,
}

impl Layout {
    /// The answer of `chosen` groups of one window.
    pub fn rows(&self, span: Span, groups: &mut Groups, chosen: &[u32]) -> Result<Delta> {
        let keys = groups.keys(chosen)?;
        let constant = |ticks: i64| time_array(self.digits, vec![ticks; chosen.len()]);
        let mut columns = Vec::with_capacity(self.schema.len());
        for key in &self.keys {
            columns.push(match key {
                Key::WindowStart => constant(span.start),
                Key::WindowEnd => constant(span.end),
                Key::Group(at) => Arc::clone(&keys[*at]),
            });
        }
        columns.extend(groups.answers(chosen)?);
        Ok(Delta::insert(Batch::new(Arc::clone(&self.schema), columns, chosen.len())))
    }

    /// Answers of several windows as one; `None` when there is none.
    pub fn together(&self, parts: Vec<Delta>) -> Result<Option<Delta>> {
        if parts.is_empty() { Ok(None) } else { concat_deltas(&parts).map(Some) }
    }
}
