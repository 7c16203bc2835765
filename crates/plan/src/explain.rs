//! Plan and syntax to text: what EXPLAIN shows.
//!
//! In reading order: [`plan`] (the bound plan as an indented tree), [`tree`] (the syntax tree). The text of a query as it was
//! understood is `pretty()` of the sql room; the operators of a running stream are told by the runtime that builds them.

mod plan;
mod tree;

pub use plan::plan_text;
pub use tree::tree_text;
