//! The narrow waist: a statement becomes a typed plan that both runtimes read.
//!
//! In reading order: [`catalog`] (what the binder asks of the outside), [`dictionary`] (a view that is asked by key), [`expr`] (typed expressions), [`join_engine`] (tables made for one kind of join), [`node`] (typed plans), [`span`] (the arithmetic of windows),
//! `bind` (syntax to plan), `rewrite` (plan to better plan), `eval` (expressions over batches), `explain` (plan to text).

pub mod bind;
mod build;
pub mod catalog;
pub mod dictionary;
pub mod eval;
pub mod explain;
pub mod expr;
pub mod join_engine;
pub mod node;
pub mod rewrite;
pub mod span;
pub mod syntax;

pub use bind::{Bound, bind_columns, bind_scalar_expr, bind_select, bind_select_in, source_names};
pub use catalog::{Catalog, ColumnDefault, ColumnInfo, Source, StreamInfo, StreamKind, StreamMode, ViewInfo};
pub use dictionary::DictionaryInfo;
pub use eval::{Projection, eval_all};
pub use expr::{AggCall, Expr, ExprKind};
pub use join_engine::JoinEngine;
pub use node::{Change, Emit, Node, Plan, Scan, ScanColumn, Seek, SortKey, Trigger, WindowKind, WindowSpec};
