//! Plan and syntax to text: what EXPLAIN shows.
//!
//! In reading order: [`names`] (expressions with the names of their columns), [`plan`] (the bound plan as an indented tree),
//! [`tree`] (the syntax tree). The text of a query as it was
//! understood is `pretty()` of the sql room; the operators of a running stream are told by the runtime that builds them.

mod names;
mod plan;
mod tree;

pub use names::{Names, emit_text, forget_text, interval_text, lags_text};
pub use plan::{plan_text, seek_text, window_text};
pub use tree::tree_text;
